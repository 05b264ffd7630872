"""The session: every op, the form of every reply, and what malformed messages are answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from novate.gateway.problems import ProblemError, problem
from novate.gateway.websocket import Session, StreamDesk
from novate.model.instrument import Instrument
from novate.streams.publisher import Publisher
from tests.unit.stream_fakes import (
    BookFake,
    Counts,
    ManualLoop,
    Receiver,
    StreamOptions,
    parse_frames,
)

ORDER = b'{"order_id":"o1","status":"open"}'
REJECTED = b'{"order_id":"o1","status":"rejected","reason":"post_only_would_cross"}'
INSTRUMENTS = {
    name: Instrument(name=name, base=name[:3], quote="USD", index=index)
    for index, name in enumerate(["BTC-USD", "ETH-USD"])
}


class InstrumentsFake:
    def find(self, name: str | None) -> Instrument | None:
        return INSTRUMENTS.get(name or "BTC-USD")


@dataclass
class OperationsFake:
    """Remembers what was asked; answers at once with what it was given, or later."""

    answer: tuple[Any, ...] | None = (201, ORDER, False)
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    waiting: list[Callable[..., None]] = field(default_factory=list)

    def _take(self, *asked: Any, reply: Callable[..., None]) -> None:
        self.asked.append(asked)
        if self.answer is None:
            self.waiting.append(reply)
        else:
            reply(*self.answer)

    def place(self, body: bytes, key: str | None, reply: Callable[..., None]) -> None:
        self._take("place", json.loads(body), key, reply=reply)

    def cancel(self, order: str, body: bytes, key: str | None, reply: Callable[..., None]) -> None:
        self._take("cancel", order, json.loads(body), key, reply=reply)

    def amend(self, order: str, body: bytes, key: str | None, reply: Callable[..., None]) -> None:
        self._take("amend", order, json.loads(body), key, reply=reply)

    def batch(self, body: bytes, key: str | None, reply: Callable[..., None]) -> None:
        self._take("batch", json.loads(body), key, reply=reply)

    def mass_cancel(self, *asked: Any) -> None:
        self._take("mass_cancel", *asked[:-1], reply=asked[-1])

    def cancel_after(self, body: bytes, key: str | None, reply: Callable[..., None]) -> None:
        self._take("cancel_after", json.loads(body), key, reply=reply)


class OrdersFake:
    """Knows o1; of an id that begins with `old` it answers later, as the ledger does."""

    def __init__(self) -> None:
        self.waiting: list[Callable[..., None]] = []

    def order(self, order_id: str, reply: Callable[..., None]) -> None:
        if order_id == "o1":
            reply(200, ORDER)
        elif order_id.startswith("old"):
            self.waiting.append(reply)
        else:
            raise ProblemError(404, "unknown_order", "no order has this order_id")


class OutletFake(Receiver):
    def reply(self, frame: bytes) -> None:
        self.push(frame)

    def flush(self) -> None:
        pass


class AccountsFake:
    """Remembers whose accounts were followed."""

    has_ready = False

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def subscribe(self, _consumer: Receiver, client_id: str) -> None:
        self.asked.append(("on", client_id))

    def unsubscribe(self, _consumer: Receiver, client_id: str) -> bool:
        self.asked.append(("off", client_id))
        return True


class Stage:
    def __init__(self, subscriptions_max: int = 1000, accounts: AccountsFake | None = None) -> None:
        self.loop = ManualLoop()
        self.book = BookFake()
        self.orders = OrdersFake()
        self.operations = OperationsFake()
        self.counts = Counts()
        self.outlet = OutletFake()
        self.publisher = Publisher(
            self.book, self.loop, StreamOptions(), self.counts, clock=self.loop.time,
            accounts=accounts,  # type: ignore[arg-type]
        )  # fmt: skip
        desk = StreamDesk(
            self.operations,
            self.orders.order,
            self.publisher,
            InstrumentsFake(),  # type: ignore[arg-type]
            self.counts,  # type: ignore[arg-type]
            subscriptions_max,
            cancel_after=self.operations.cancel_after,
        )
        self.desk = desk
        self.session = Session(desk, self.outlet)

    def say(self, message: object) -> list[dict[str, Any]]:
        """Send a message and give what comes back at once."""
        text = message if isinstance(message, bytes) else json.dumps(message).encode()
        before = len(self.outlet.frames)
        self.session.receive(text)
        return [each for frame in self.outlet.frames[before:] for each in parse_frames(frame)]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_the_session_opens_and_closes(stage: Stage) -> None:
    stage.session.open("abc", 0.0)
    assert stage.outlet.messages == [
        {"type": "connected", "session": "abc", "time": "1970-01-01T00:00:00.000000Z"}
    ]
    assert stage.counts.websocket_connections == 1
    stage.session.close()
    stage.session.close()
    assert stage.counts.websocket_connections == 0


@pytest.mark.parametrize("request_id", ["1", 7, -3, "x" * 64, "é" * 64, '"\\', None])
def test_place_is_answered_with_the_order_and_the_request_id(
    stage: Stage, request_id: str | int | None
) -> None:
    reply = stage.say({"op": "place", "request_id": request_id, "order": {"side": "buy"}})
    expected = {"type": "order_accepted", "order": json.loads(ORDER)}
    assert reply == [expected | ({} if request_id is None else {"request_id": request_id})]
    assert stage.operations.asked == [("place", {"side": "buy"}, None)]
    assert stage.session.outstanding == 0


@pytest.mark.parametrize("request_id", [1.5, "x" * 65, [1], {}, True, 10**20])
def test_a_request_id_that_is_none_is_refused(stage: Stage, request_id: object) -> None:
    [reply] = stage.say({"op": "place", "request_id": request_id, "order": {}})
    assert reply["type"] == "error"
    assert reply["problem"]["errors"][0]["field"] == "request_id"
    assert stage.operations.asked == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((201, ORDER, True), {"type": "order_accepted", "replayed": True}),
        ((422, REJECTED, False), {"type": "order_rejected"}),
        ((409, problem(409, "already_closed", "x"), False), {"type": "error"}),
        ((422, problem(422, "idempotency_key_reused", "x"), False), {"type": "error"}),
        ((429, problem(429, "rate_limited", "x"), False, 3), {"type": "error", "retry_after": 3}),
    ],
)
def test_the_reply_tells_what_http_would_have_told(
    stage: Stage, answer: tuple[Any, ...], expected: dict[str, Any]
) -> None:
    stage.operations.answer = answer
    [reply] = stage.say({"op": "cancel", "order_id": "o1", "request_id": "r"})
    body = json.loads(answer[1])
    member = "problem" if expected["type"] == "error" else "order"
    assert reply == {**expected, "request_id": "r", member: body}


def test_status_is_answered_when_the_ledger_has_answered(stage: Stage) -> None:
    old = b'{"order_id":"old-1","status":"filled","ledger_sequence":9}'
    away = problem(503, "ledger_away", "no")
    for order_id in ("old-1", "old-2"):
        assert stage.say({"op": "status", "order_id": order_id, "request_id": order_id}) == []
    assert stage.session.outstanding == 2
    first, second = stage.orders.waiting
    second(503, away, retry_after=2)
    first(200, old)
    expected: list[dict[str, Any]] = [
        {"type": "error", "request_id": "old-2", "problem": json.loads(away), "retry_after": 2},
        {"type": "order_accepted", "request_id": "old-1", "order": json.loads(old)},
    ]
    assert stage.outlet.messages == expected
    assert stage.say({"op": "status", "order_id": "o2"})[0]["type"] == "error"
    assert stage.session.outstanding == 0
    assert stage.counts.reasons == []


@pytest.mark.parametrize(("code", "seconds"), [("clients_limit", 3600), ("queue_full", None)])
def test_a_lasting_condition_asks_for_patience(
    stage: Stage, code: str, seconds: int | None
) -> None:
    stage.operations.answer = (503, problem(503, code, "no"), False)
    (reply,) = stage.say({"op": "place", "order": {}})
    assert reply.get("retry_after") == seconds


def test_cancel_amend_batch_and_status(stage: Stage) -> None:
    stage.say({"op": "cancel", "order_id": "o1", "client_id": "A", "idempotency_key": "k"})
    stage.say(b'{"op":"amend","order_id":"o1","price":1.10,"quantity":"2"}')
    stage.operations.answer = (200, b'{"outcomes":[{"status":201,"order":{}}]}', False)
    [batch] = stage.say({"op": "batch", "request_id": 1, "operations": [{"op": "place"}]})
    assert batch == {
        "type": "batch_result",
        "request_id": 1,
        "outcomes": [{"status": 201, "order": {}}],
    }
    assert stage.operations.asked == [
        ("cancel", "o1", {"client_id": "A", "idempotency_key": "k"}, None),
        (
            "amend",
            "o1",
            {"price": 1.1, "quantity": "2", "client_id": None, "idempotency_key": None},
            None,
        ),
        (
            "batch",
            {"operations": [{"op": "place"}], "client_id": None, "idempotency_key": None},
            None,
        ),
    ]
    [status] = stage.say({"op": "status", "order_id": "o1", "request_id": 2})
    assert status == {"type": "order_accepted", "request_id": 2, "order": json.loads(ORDER)}
    [unknown] = stage.say({"op": "status", "order_id": "o2", "request_id": 3})
    assert (unknown["request_id"], unknown["problem"]["code"]) == (3, "unknown_order")


def test_mass_cancel_and_the_dead_mans_timer(stage: Stage) -> None:
    cancelled = {"client_id": "A", "cancelled_count": 1, "order_ids": ["o1"], "sequence": 7}
    stage.operations.answer = (200, json.dumps(cancelled).encode(), True)
    ask = {"op": "mass_cancel", "client_id": "A", "side": "buy", "idempotency_key": "k"}
    [reply] = stage.say(ask | {"request_id": 1})
    assert reply == {"type": "mass_cancelled", "request_id": 1, "replayed": True} | cancelled
    timer = {"client_id": "A", "cancels_at": None, "sequence": 8}
    stage.operations.answer = (200, json.dumps(timer).encode(), False)
    [reply] = stage.say(b'{"op":"cancel_all_after","client_id":"A","seconds":0.50}')
    assert reply == {"type": "cancel_all_after"} | timer
    assert stage.operations.asked == [
        ("mass_cancel", "A", None, "buy", "k"),
        ("cancel_after", {"client_id": "A", "seconds": 0.5}, None),
    ]
    stage.operations.answer = (429, problem(429, "rate_limited", "x"), False, 3)
    for op in ("mass_cancel", "cancel_all_after"):
        [reply] = stage.say({"op": op, "request_id": 2})
        assert (reply["type"], reply["request_id"], reply["retry_after"]) == ("error", 2, 3)
    assert stage.session.outstanding == 0


def test_answers_that_come_after_the_end_go_nowhere(stage: Stage) -> None:
    stage.operations.answer = None
    stage.say({"op": "place", "order": {}})
    assert stage.session.outstanding == 1
    stage.session.close()
    stage.operations.waiting[0](201, ORDER, False)
    assert stage.outlet.frames == []


def test_ping(stage: Stage) -> None:
    assert stage.say({"op": "ping"}) == [{"type": "pong"}]
    assert stage.say({"op": "ping", "request_id": 1}) == [{"type": "pong", "request_id": 1}]


@pytest.mark.parametrize("word", ["op", "type"])
def test_subscribe_is_confirmed_before_anything_comes(stage: Stage, word: str) -> None:
    stage.book.set_level(0, "bids", 100, 1)
    channels = ["orderbook_deltas", "trades", "orders"]
    [reply] = stage.say(
        {word: "subscribe", "channels": channels, "client_id": "A", "request_id": "7"}
    )
    assert reply == {
        "type": "subscribed",
        "request_id": "7",
        "channels": channels,
        "instrument": "BTC-USD",
        "trades_sequence": 1,
        "client_id": "A",
    }
    stage.loop.run(0.1)
    assert stage.outlet.messages[-1]["type"] == "orderbook_snapshot"
    [reply] = stage.say({word: "unsubscribe", "channels": channels, "client_id": "A"})
    assert reply == {"type": "unsubscribed", "channels": channels, "instrument": "BTC-USD"}
    assert stage.book.watched == {}
    assert not stage.book.want_updates


def test_channel_names_with_instruments_are_confirmed_by_instrument(stage: Stage) -> None:
    replies = stage.say({"op": "subscribe", "channels": ["book.ETH-USD", "trades.BTC-USD"]})
    assert [(each["instrument"], each["channels"]) for each in replies] == [
        ("ETH-USD", ["orderbook_deltas"]),
        ("BTC-USD", ["trades"]),
    ]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (b'{"op":"ping","request_id":7,"op":"ping"}', "op"),
        (b'{"op":"place","request_id":7,"order":{"a":1},"order":{"b":1}}', "order"),
        (b'{"op":"place","request_id":7,"order":{"a":1},"\\u006frder":{"b":1}}', "order"),
        (b'{"op":"cancel","request_id":7,"order_id":"o1","order_id":"o2"}', "order_id"),
        (b'{"type":"subscribe","request_id":7,"channels":["trades"],"channels":[]}', "channels"),
    ],
)
def test_a_member_that_stands_twice_is_refused(stage: Stage, text: bytes, field: str) -> None:
    stage.session.receive(text)
    [reply] = stage.outlet.messages
    assert (reply["type"], reply["request_id"]) == ("error", 7)
    assert (reply["problem"]["status"], reply["problem"]["code"]) == (400, "duplicate_field")
    assert reply["problem"]["errors"][0]["field"] == field
    assert stage.operations.asked == []
    about_an_order = b'"place"' in text or b'"cancel"' in text
    assert stage.counts.reasons == (["duplicate_field"] if about_an_order else [])


def test_from_trade_id_replays_after_the_confirmation(stage: Stage) -> None:
    for _ in range(3):
        stage.book.trade()
    replies = stage.say({"op": "subscribe", "channels": ["trades"], "from_trade_id": "0-1-0"})
    assert [each["type"] for each in replies] == ["subscribed", "trades"]
    assert [each["trade_id"] for each in replies[1]["trades"]] == ["0-2-0", "0-3-0"]


@pytest.mark.parametrize(
    "trade_id",
    ["", "bad", "0-2", "0-2-0-0", "0-4-0", "0-2-1", "1-2-0", "0-02-0", "0-2-00", "\u0664", "\0"],
)
@pytest.mark.parametrize("forgets", [False, True])
def test_from_trade_id_of_no_trade_is_refused(stage: Stage, trade_id: str, forgets: bool) -> None:
    """Where trades have left memory too: none of these is older than all that are left."""
    stage.book.trade()
    if forgets:
        stage.book.history.clear()
        stage.book.forgets = True
    for _ in range(2):
        stage.book.trade()
    [reply] = stage.say({"op": "subscribe", "channels": ["trades"], "from_trade_id": trade_id})
    assert reply["problem"]["code"] == "unknown_trade"
    assert reply["problem"]["errors"][0]["field"] == "from_trade_id"
    stage.book.trade()
    stage.loop.run(1.0)
    assert stage.outlet.of_type("trades") == []


def test_from_trade_id_older_than_memory_is_incomplete(stage: Stage) -> None:
    stage.book.trade()
    stage.book.history.clear()
    stage.book.forgets = True
    stage.book.trade()
    replies = stage.say({"op": "subscribe", "channels": ["trades"], "from_trade_id": "0-1-0"})
    assert [each["type"] for each in replies] == ["subscribed", "trades"]
    assert replies[1]["complete"] is False
    assert [each["trade_id"] for each in replies[1]["trades"]] == ["0-2-0"]


@pytest.mark.parametrize("channels", [["orderbook"], ["orders", "book.BTC-USD"]])
def test_from_trade_id_without_trades_is_refused(stage: Stage, channels: list[str]) -> None:
    stage.book.trade()
    [reply] = stage.say({"op": "subscribe", "channels": channels, "from_trade_id": "0-1-0"})
    assert reply["problem"]["code"] == "unexpected_field"
    stage.book.set_level(0, "bids", 1, 1)
    stage.loop.run(1.0)
    assert stage.outlet.of_type("orderbook_snapshot") == []


def test_subscriptions_are_bounded() -> None:
    stage = Stage(subscriptions_max=2)
    stage.say({"op": "subscribe", "channels": ["orders"], "client_id": "A"})
    stage.say({"op": "subscribe", "channels": ["orders"], "client_id": "B"})
    [reply] = stage.say({"op": "subscribe", "channels": ["orders"], "client_id": "C"})
    assert reply["problem"]["code"] == "too_many_subscriptions"
    stage.say({"op": "unsubscribe", "channels": ["orders"], "client_id": "A"})
    [reply] = stage.say({"op": "subscribe", "channels": ["orders"], "client_id": "C"})
    assert reply["type"] == "subscribed"


@pytest.mark.parametrize(
    ("members", "code", "field"),
    [
        ({}, "missing_field", "client_id"),
        ({"client_id": "a b"}, "invalid_id", "client_id"),
        ({"client_id": "bob", "channels": ["account.bob"]}, "unknown_channel", "channels"),
        ({"client_id": "bob", "channels": ["account."]}, "unknown_channel", "channels"),
    ],
)
def test_an_account_is_of_one_client_and_of_no_instrument(
    members: dict[str, Any], code: str, field: str
) -> None:
    stage = Stage(accounts=AccountsFake())
    for op in ("subscribe", "unsubscribe"):
        [reply] = stage.say({"op": op, "channels": ["account"], **members})
        assert reply["problem"]["code"] == code
        assert reply["problem"]["errors"][0]["field"] == field
    assert stage.publisher.accounts.asked == []  # type: ignore[union-attr]


def test_an_account_is_confirmed_by_itself_and_before_anything_comes() -> None:
    stage = Stage(subscriptions_max=2, accounts=AccountsFake())
    asked = {"op": "subscribe", "channels": ["orders", "account"], "client_id": "bob"}
    replies = stage.say(asked)
    assert replies == [
        {
            "type": "subscribed", "channels": ["orders"], "instrument": "BTC-USD",
            "client_id": "bob",
        },
        {"type": "subscribed", "channels": ["account"], "client_id": "bob"},
    ]  # fmt: skip
    assert stage.publisher.accounts.asked == [("on", "bob")]  # type: ignore[union-attr]
    [reply] = stage.say({"op": "subscribe", "channels": ["account"], "client_id": "ann"})
    assert reply["problem"]["code"] == "too_many_subscriptions"
    stage.say({**asked, "op": "unsubscribe", "channels": ["account"]})
    assert stage.publisher.accounts.asked[1:] == [("off", "bob")]  # type: ignore[union-attr]


def test_resync(stage: Stage) -> None:
    [reply] = stage.say({"op": "resync", "request_id": 1})
    assert (reply["problem"]["code"], reply["request_id"]) == ("not_subscribed", 1)
    stage.say({"op": "subscribe", "channels": ["orderbook"]})
    stage.loop.run(0.1)
    assert stage.say({"op": "resync"}) == []
    stage.loop.run(0.1)
    assert len(stage.outlet.of_type("orderbook_snapshot")) == 2


@pytest.mark.parametrize(
    ("text", "code", "field"),
    [
        (b"", "malformed_json", None),
        (b"hello", "malformed_json", None),
        (b"[]", "invalid_type", None),
        (b"1", "invalid_type", None),
        (b"null", "invalid_type", None),
        (b"{}", "missing_field", "op"),
        (b'{"op":null}', "missing_field", "op"),
        (b'{"op":"buy"}', "invalid_value", "op"),
        (b'{"op":1}', "invalid_value", "op"),
        (b'{"type":"place","order":{}}', "missing_field", "op"),
        (b'{"op":"ping","x":1}', "unknown_field", "x"),
        (b'{"op":"place","order":{}', "malformed_json", None),
        (b'{"op":"place"}', "missing_field", "order"),
        (b'{"op":"place","order":null}', "missing_field", "order"),
        (b'{"op":"place"}{}', "malformed_json", None),
        (b'{"op":"cancel"}', "missing_field", "order_id"),
        (b'{"op":"cancel","order_id":"a b"}', "invalid_id", "order_id"),
        (b'{"op":"cancel","order_id":7}', "invalid_type", "order_id"),
        (b'{"op":"mass_cancel","client_id":7}', "invalid_type", "client_id"),
        (b'{"op":"mass_cancel","order_id":"o1"}', "unknown_field", "order_id"),
        (b'{"op":"cancel_all_after","at":1}', "unknown_field", "at"),
        (b'{"op":"amend"}', "missing_field", "order_id"),
        (b'{"op":"status"}', "missing_field", "order_id"),
        (b'{"op":"subscribe"}', "invalid_value", "channels"),
        (b'{"op":"subscribe","channels":[]}', "invalid_value", "channels"),
        (b'{"op":"subscribe","channels":"trades"}', "invalid_type", "channels"),
        (b'{"op":"subscribe","channels":["tickers"]}', "unknown_channel", "channels"),
        (b'{"op":"subscribe","channels":["candles"],"interval":"2d"}', "invalid_value", "interval"),
        (b'{"op":"subscribe","channels":["book.X"]}', "unknown_instrument", "instrument"),
        (b'{"op":"subscribe","channels":["orders"],"client_id":""}', "invalid_id", "client_id"),
        (b'{"op":"resync","instrument":"X"}', "unknown_instrument", "instrument"),
        (b"[" * 100_000, "too_deep", None),
        (b'{"op":"place","order":' + b"[" * 50 + b"]" * 50 + b"}", "too_deep", None),
        (b'{"op":"place","order":{"a":"[[', "malformed_json", None),
    ],
)
def test_malformed_messages_are_explained(
    stage: Stage, text: bytes, code: str, field: str | None
) -> None:
    [reply] = stage.say(text)
    assert reply["type"] == "error"
    found = reply["problem"]
    assert (found["status"], found["code"]) == (400, code)
    if field is not None:
        assert found["errors"][0]["field"] == field
    assert stage.operations.asked == []
    others = (b'"subscribe"', b'"status"', b'"resync"', b'"ping"')
    about_no_order = any(op in text for op in others)
    assert stage.counts.reasons == ([] if about_no_order else [code])


def test_brackets_in_texts_are_not_nesting(stage: Stage) -> None:
    stage.say({"op": "place", "order": {"client_id": "[" * 100 + '"{'}})
    assert stage.operations.asked[0][1]["client_id"] == "[" * 100 + '"{'


def test_an_error_bears_the_request_id_where_it_can_be_read(stage: Stage) -> None:
    [reply] = stage.say(b'{"op":"buy","request_id":"r1"}')
    assert reply["request_id"] == "r1"
    [reply] = stage.say(b'{"op":"ping","request_id":5,"more":1}')
    assert reply["request_id"] == 5
