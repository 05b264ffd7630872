"""Order entry: the form of what is sent, waiting, and never doing a thing twice."""

import asyncio
import json
import random
from decimal import Decimal

import httpx
import pytest
from websockets.asyncio.server import serve

from novate.feeds import FeedError
from novate.feeds.binance.backoff import Backoff
from novate.feeds.binance.grid import Grid
from novate.feeds.binance.operations import (
    Fill,
    Kind,
    Operation,
    OrderState,
    Side,
    TopOfBook,
)
from novate.feeds.binance.order_entry import (
    ApiOrderEntry,
    BatchReply,
    ensure_instrument,
    retry_after_seconds,
)
from novate.feeds.binance.session import ExchangeSession
from novate.feeds.binance.wire import encode
from tests.conftest import wait_until_async

GRID = Grid(Decimal("0.01"), Decimal("0.0001"))
PLACE = Operation(Kind.PLACE, "m-1", "mirror", Side.BUY, 268380, 20)
TAKER = Operation(Kind.PLACE, "t-1", "taker", Side.SELL, 0, 20)
AMEND = Operation(Kind.AMEND, "m-1", "mirror", Side.BUY, 268380, 30)
CANCEL = Operation(Kind.CANCEL, "m-1", "mirror", Side.BUY, 0, 0)


def order_json(order_id="m-1", **fields):
    order = {
        "order_id": order_id,
        "client_id": "mirror",
        "instrument": "ETH-USDT",
        "side": "buy",
        "price": 2683.8,
        "quantity": 0.002,
        "filled_quantity": 0,
        "working": True,
        "reason": None,
        "sequence": 5,
        "trades": [],
        "trade_count": 0,
    }
    return order | fields


class FakeBatches:
    """Answers batches from a list: a reply, a list of outcomes, or an exception to raise."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.sent = []

    async def send(self, texts):
        self.sent.append(texts)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, BatchReply):
            return answer
        return BatchReply(200, json.dumps({"outcomes": answer}).encode())


def no_http(request):
    raise AssertionError(request.url)


def quick_backoff():
    return Backoff(random.Random(1), base_seconds=0.0001, seconds_max=0.001)


def run(action, batches=None, handler=no_http):
    """Run `action(entry)` against an exchange that answers by `batches` and `handler`."""

    async def go():
        transport = httpx.MockTransport(handler)
        async with httpx.AsyncClient(transport=transport, base_url="http://exchange") as http:
            entry = ApiOrderEntry(http, batches, "ETH-USDT", GRID, quick_backoff(), 4)
            return await action(entry)

    return asyncio.run(go())


def submit(batches, *operations, handler=no_http):
    return run(lambda entry: entry.submit(operations), batches, handler)


def test_operations_have_the_form_of_the_api():
    texts = [json.loads(encode(each, "ETH-USDT", GRID)) for each in (PLACE, TAKER, AMEND, CANCEL)]
    assert texts == [
        {
            "op": "place",
            "order": {
                "order_id": "m-1",
                "client_id": "mirror",
                "instrument": "ETH-USDT",
                "side": "buy",
                "type": "limit",
                "price": 2683.80,
                "quantity": 0.002,
            },
        },
        {
            "op": "place",
            "order": {
                "order_id": "t-1",
                "client_id": "taker",
                "instrument": "ETH-USDT",
                "side": "sell",
                "type": "market",
                "idempotency_key": "t-1",
                "quantity": 0.002,
            },
        },
        {"op": "amend", "order_id": "m-1", "client_id": "mirror", "quantity": 0.003},
        {"op": "cancel", "order_id": "m-1", "client_id": "mirror"},
    ]
    assert '"price":2683.8,"quantity":0.002' in encode(PLACE, "ETH-USDT", GRID)


def test_outcomes_are_read_with_their_trades():
    trade = {"quantity": 0.0015, "buy_order_id": "m-9", "sell_order_id": "t-1", "sequence": 7}
    taken = order_json("t-1", side="sell", filled_quantity=0.0015, working=False, trades=[trade])
    taken |= {"sequence": 7, "trade_count": 1, "reason": "book_exhausted"}
    closed = {"code": "already_closed", "order": order_json(working=False)}
    answer = [{"status": 201, "order": taken}, {"status": 409, "problem": closed}]
    first, second = submit(FakeBatches(answer), TAKER, CANCEL)
    assert first.order == OrderState("t-1", 20, 15, False, 7)
    assert first.fills == (Fill("m-9", 15, 7),)
    assert (first.accepted, first.code, first.trade_count) == (True, "book_exhausted", 1)
    assert (second.status, second.code, second.order.working) == (409, "already_closed", False)


@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_for_want_of_room_is_waited_out(status):
    refusal = BatchReply(status, b"queue_full", 0.001)
    batches = FakeBatches(refusal, refusal, [{"status": 201, "order": order_json()}])
    (outcome,) = submit(batches, PLACE)
    assert (outcome.status, len(batches.sent)) == (201, 3)


def test_single_operations_refused_for_want_of_room_are_sent_again():
    limited = {"status": 429, "problem": {"code": "rate_limited"}}
    batches = FakeBatches(
        [{"status": 200, "order": order_json()}, limited],
        [{"status": 201, "order": order_json("t-1")}],
    )
    first, second = submit(batches, CANCEL, TAKER)
    assert ([len(each) for each in batches.sent], first.status, second.status) == ([2, 1], 200, 201)


DUPLICATE = [{"status": 409, "problem": {"code": "duplicate_order_id"}}]


def test_a_place_whose_reply_was_lost_is_found_again_and_not_doubled():
    def handler(request):
        assert request.url.path == "/orders/t-1"
        return httpx.Response(200, json=order_json("t-1", side="sell", filled_quantity=0.002))

    (outcome,) = submit(FakeBatches(ConnectionError(), DUPLICATE), TAKER, handler=handler)
    assert (outcome.status, outcome.order.filled_lots) == (201, 20)


def test_a_cancel_whose_reply_was_lost_counts_as_done():
    closed = {"code": "already_closed", "order": order_json(working=False)}
    answer = [{"status": 409, "problem": closed}]
    (outcome,) = submit(FakeBatches(ConnectionError(), answer), CANCEL)
    assert (outcome.accepted, outcome.order.working) == (True, False)
    (outcome,) = submit(FakeBatches(answer), CANCEL)
    assert (outcome.accepted, outcome.code) == (False, "already_closed")


def test_a_duplicate_that_was_never_sent_twice_stays_a_refusal():
    (outcome,) = submit(FakeBatches(DUPLICATE), TAKER)
    assert (outcome.status, outcome.accepted) == (409, False)


def test_an_exchange_that_never_answers_ends_the_run():
    with pytest.raises(FeedError, match="found none in time"):
        submit(FakeBatches(ConnectionError()), PLACE)

    def handler(request):
        raise httpx.ConnectError("refused")

    with pytest.raises(FeedError, match="found none in time"):
        run(lambda entry: entry.top_of_book(), handler=handler)


@pytest.mark.parametrize(
    "reply",
    [
        BatchReply(400, b"malformed"),
        BatchReply(200, b"<html>"),
        BatchReply(200, b'{"outcomes":[]}'),
        BatchReply(200, b'{"outcomes":[{"status":"x"}]}'),
    ],
)
def test_an_answer_that_is_none_ends_the_run(reply):
    with pytest.raises(FeedError, match="expected"):
        submit(FakeBatches(reply), PLACE)


def test_the_top_of_book_is_read_in_ticks_and_lots():
    book = {"bids": [{"price": 2683.8, "quantity": 3.0292}], "asks": []}
    top = run(
        lambda entry: entry.top_of_book(), handler=lambda request: httpx.Response(200, json=book)
    )
    assert top == TopOfBook(268380, 30292, 0, 0)


def test_working_orders_are_listed_page_by_page():
    pages = {
        ("open", None): {"orders": [order_json("m-1")], "next_cursor": "x"},
        ("open", "x"): {"orders": [order_json("m-2")], "next_cursor": None},
        ("partially_filled", None): {
            "orders": [order_json("m-3", filled_quantity=0.001), order_json("t", working=False)],
            "next_cursor": None,
        },
    }

    def handler(request):
        asked = request.url.params
        return httpx.Response(200, json=pages[asked["status"], asked.get("cursor")])

    states = run(lambda entry: entry.working_orders("mirror"), handler=handler)
    assert [(each.order_id, each.filled_lots) for each in states] == [
        ("m-1", 0),
        ("m-2", 0),
        ("m-3", 10),
    ]


def test_the_instrument_is_created_if_absent_and_its_own_grid_is_used():
    created = []

    def handler(request):
        if request.method == "POST":
            created.append(json.loads(request.content))
            return httpx.Response(201, json={})
        if not created:
            return httpx.Response(404, json={"code": "unknown_instrument"})
        return httpx.Response(200, json={"tick_size": 0.01, "lot_size": 0.0001})

    async def go():
        transport = httpx.MockTransport(handler)
        async with httpx.AsyncClient(transport=transport, base_url="http://exchange") as http:
            return await ensure_instrument(http, "ETH-USDT", "ETH", "USDT", GRID)

    assert asyncio.run(go()) == GRID
    assert created == [
        {
            "name": "ETH-USDT",
            "base": "ETH",
            "quote": "USDT",
            "tick_size": "0.01",
            "lot_size": "0.0001",
        }
    ]


UPDATE = {"type": "order_update", "sequence": 9, "order": order_json(filled_quantity=0.001)}


def test_a_session_carries_batches_and_order_updates_and_survives_a_cut():
    updates, cuts, asked = [], [], []

    async def exchange(socket):
        await socket.send('{"type":"connected","session":"1"}')
        async for text in socket:
            request = json.loads(text)
            asked.append(request["op"])
            if request["op"] == "subscribe":
                await socket.send(json.dumps(UPDATE))
                continue
            answer = {"request_id": request["request_id"]}
            if asked.count("batch") == 1:
                problem = {"status": 429, "code": "rate_limited", "detail": "too much"}
                answer |= {"type": "error", "problem": problem, "retry_after": 2}
                await socket.send(json.dumps({"type": "error", "request_id": "other"} | answer))
            elif asked.count("batch") == 2:
                await socket.close()
                return
            else:
                outcome = {"status": 201, "order": order_json()}
                await socket.send(json.dumps({"type": "heartbeat"}))
                await socket.send(
                    json.dumps(answer | {"type": "batch_result", "outcomes": [outcome]})
                )

    async def go():
        async with serve(exchange, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            session = ExchangeSession(
                f"http://127.0.0.1:{port}",
                "ETH-USDT",
                GRID,
                quick_backoff(),
                client_id="mirror",
                on_update=updates.append,
                on_cut=lambda: cuts.append(len(asked)),
            )
            task = asyncio.create_task(session.run())
            refused = await session.send(["{}"])
            assert (refused.status, refused.retry_after_seconds) == (429, 2.0)
            assert b"rate_limited" in refused.body
            with pytest.raises(ConnectionError):
                await session.send(["{}"])
            answered = await session.send(["{}", "{}"])
            assert answered.status == 200
            await wait_until_async(lambda: len(updates) == 2)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(go())
    assert updates == [OrderState("m-1", 20, 10, True, 9)] * 2
    assert len(cuts) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3.0), ("100000", 60.0), ("soon", 0.0), ("-1", 0.0), ("9" * 400, 0.0)],
)
def test_retry_after_is_honoured_within_reason(value, seconds):
    assert retry_after_seconds(httpx.Response(503, headers={"retry-after": value})) == seconds
