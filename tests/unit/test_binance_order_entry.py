"""Order entry over HTTP: the form of requests, waiting, and never doing a thing twice."""

import asyncio
import json
import random
from decimal import Decimal

import httpx
import pytest

from novate.feeds import FeedError
from novate.feeds.binance.backoff import Backoff
from novate.feeds.binance.messages import Grid
from novate.feeds.binance.operations import Fill, Kind, Operation, OrderState, Side
from novate.feeds.binance.order_entry import (
    HttpOrderEntry,
    TopOfBook,
    decode_order_update,
    encode,
    ensure_instrument,
    retry_after_seconds,
)

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


def run(handler, action, attempts_max=4):
    """Run `action(entry)` against an exchange that answers by `handler`."""

    async def go():
        transport = httpx.MockTransport(handler)
        async with httpx.AsyncClient(transport=transport, base_url="http://exchange") as http:
            backoff = Backoff(random.Random(1), base_seconds=0.0001, seconds_max=0.001)
            return await action(HttpOrderEntry(http, "ETH-USDT", GRID, backoff, attempts_max))

    return asyncio.run(go())


def outcomes(*each):
    return httpx.Response(200, json={"outcomes": list(each)})


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
                "quantity": 0.002,
            },
        },
        {"op": "amend", "order_id": "m-1", "client_id": "mirror", "quantity": 0.003},
        {"op": "cancel", "order_id": "m-1", "client_id": "mirror"},
    ]
    assert '"price":2683.80,"quantity":0.0020' in encode(PLACE, "ETH-USDT", GRID)


def test_outcomes_are_read_with_their_trades():
    trade = {"quantity": 0.0015, "buy_order_id": "m-9", "sell_order_id": "t-1", "sequence": 7}
    taken = order_json("t-1", side="sell", filled_quantity=0.0015, working=False, trades=[trade])
    taken |= {"sequence": 7, "trade_count": 1, "reason": "book_exhausted"}
    closed = {"code": "already_closed", "order": order_json(working=False)}

    def handler(request):
        return outcomes({"status": 201, "order": taken}, {"status": 409, "problem": closed})

    first, second = run(handler, lambda entry: entry.submit([TAKER, CANCEL]))
    assert first.order == OrderState("t-1", 20, 15, False, 7)
    assert first.fills == (Fill("m-9", 15, 7),)
    assert (first.accepted, first.code, first.trade_count) == (True, "book_exhausted", 1)
    assert (second.status, second.code, second.order.working) == (409, "already_closed", False)


@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_for_want_of_room_is_waited_out(status):
    answers = [httpx.Response(status, headers={"retry-after": "0"}, json={"code": "queue_full"})]

    def handler(request):
        return answers.pop() if answers else outcomes({"status": 201, "order": order_json()})

    (outcome,) = run(handler, lambda entry: entry.submit([PLACE]))
    assert outcome.status == 201


def test_single_operations_refused_for_want_of_room_are_sent_again():
    sent = []

    def handler(request):
        operations = json.loads(request.content)["operations"]
        sent.append(len(operations))
        if len(sent) == 1:
            limited = {"status": 429, "problem": {"code": "rate_limited"}}
            return outcomes({"status": 200, "order": order_json()}, limited)
        return outcomes({"status": 201, "order": order_json("t-1")})

    first, second = run(handler, lambda entry: entry.submit([CANCEL, TAKER]))
    assert (sent, first.status, second.status) == ([2, 1], 200, 201)


def test_a_place_whose_reply_was_lost_is_found_again_and_not_doubled():
    placed = []

    def handler(request):
        if request.url.path == "/orders/t-1":
            return httpx.Response(200, json=order_json("t-1", side="sell", filled_quantity=0.002))
        if not placed:
            placed.append("t-1")
            raise httpx.ReadError("connection reset")
        duplicate = {"status": 409, "problem": {"code": "duplicate_order_id"}}
        return outcomes(duplicate)

    (outcome,) = run(handler, lambda entry: entry.submit([TAKER]))
    assert (outcome.status, outcome.order.filled_lots) == (201, 20)


def test_a_duplicate_that_was_never_sent_twice_stays_a_refusal():
    duplicate = {"status": 409, "problem": {"code": "duplicate_order_id"}}
    (outcome,) = run(lambda request: outcomes(duplicate), lambda entry: entry.submit([TAKER]))
    assert (outcome.status, outcome.accepted) == (409, False)


def test_an_exchange_that_never_answers_ends_the_run():
    def handler(request):
        raise httpx.ConnectError("refused")

    with pytest.raises(FeedError, match="found none in time"):
        run(handler, lambda entry: entry.submit([PLACE]))


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(400, json={"code": "malformed"}),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, json={"outcomes": []}),
    ],
)
def test_an_answer_that_is_none_ends_the_run(response):
    with pytest.raises(FeedError, match="expected"):
        run(lambda request: response, lambda entry: entry.submit([PLACE]))


def test_the_top_of_book_is_read_in_ticks_and_lots():
    book = {"bids": [{"price": 2683.8, "quantity": 3.0292}], "asks": []}
    top = run(lambda request: httpx.Response(200, json=book), lambda entry: entry.top_of_book())
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

    states = run(handler, lambda entry: entry.working_orders("mirror"))
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


def test_order_updates_are_read_and_other_messages_passed_over():
    update = {"type": "order_update", "sequence": 9, "order": order_json(filled_quantity=0.001)}
    assert decode_order_update(json.dumps(update), GRID) == OrderState("m-1", 20, 10, True, 9)
    assert decode_order_update('{"type":"heartbeat","time":"..."}', GRID) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3.0), ("100000", 60.0), ("soon", 0.0), ("-1", 0.0), ("9" * 400, 0.0)],
)
def test_retry_after_is_honoured_within_reason(value, seconds):
    assert retry_after_seconds(httpx.Response(503, headers={"retry-after": value})) == seconds
