"""The order log: a line for what happens, all of them when there are few, a number of the rest."""

from __future__ import annotations

from typing import Any

import pytest

from novate.order_log import OrderLog
from tests.unit.stream_fakes import Batch, Counts, ManualLoop

ACCEPTED = (
    b'{"order_id":"o1","client_id":"A","instrument":"BTC-USD","side":"buy","type":"limit",'
    b'"price":70150.10,"quantity":0.25,"filled_quantity":0.1,"status":"partially_filled",'
    b'"reason":null,"trades":[]}'
)
CANCELLED = (
    b'{"order_id":"o1","client_id":"A","instrument":"BTC-USD","filled_quantity":0.1,'
    b'"status":"cancelled","reason":"by_client"}'
)
REJECTED = (
    b'{"order_id":"o2","client_id":"A","instrument":"BTC-USD","status":"rejected",'
    b'"reason":"post_only_would_cross"}'
)
PROBLEM = b'{"type":"about:blank","status":404,"detail":"x","code":"unknown_order"}'
FAULT = b'{"type":"about:blank","status":503,"detail":"stopped","code":"journal_failed"}'
TRADE = (
    b'{"trade_id":"T1","instrument":"BTC-USD","price":70150.10,"quantity":0.1,'
    b'"buy_order_id":"o1","sell_order_id":"o0","taker_side":"buy","timestamp":"t","sequence":7}'
)


class Lines:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def info(self, event: str, **context: Any) -> None:
        self.lines.append(("info", event, context))

    def warning(self, event: str, **context: Any) -> None:
        self.lines.append(("warning", event, context))

    def error(self, event: str, **context: Any) -> None:
        self.lines.append(("error", event, context))

    @property
    def events(self) -> list[str]:
        return [event for _, event, _ in self.lines]


class Stage:
    def __init__(self, per_second: int = 500) -> None:
        self.loop = ManualLoop()
        self.lines = Lines()
        self.counts = Counts()
        self.log = OrderLog(
            self.lines, per_second, self.counts, self.loop.call_later, self.loop.time
        )

    def apply(self, *replies: tuple[int, bytes | None, int], **more: Any) -> None:
        self.log.on_applied(Batch(replies=list(replies), **more))


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_an_order_and_its_trade(stage: Stage) -> None:
    stage.apply((201, ACCEPTED, 0), first_seq=7, trades=[(0, 7, TRADE)])
    submitted, matched = stage.lines.lines
    assert submitted[1] == "submitted"
    assert submitted[2] == {
        "seq": 7,
        "order_id": "o1",
        "client_id": "A",
        "instrument": "BTC-USD",
        "side": "buy",
        "type": "limit",
        "price": "70150.10",
        "quantity": "0.25",
        "filled_quantity": "0.1",
        "status": "partially_filled",
        "reason": None,
    }
    assert matched[1] == "matched"
    assert matched[2]["price"] == "70150.10"
    assert (matched[2]["trade_id"], matched[2]["sell_order_id"]) == ("T1", "o0")


@pytest.mark.parametrize(
    ("reply", "level", "event", "reason"),
    [
        ((200, CANCELLED, 0), "info", "cancelled", None),
        ((200, ACCEPTED, 0), "info", "amended", None),
        ((422, REJECTED, 0), "info", "rejected", "post_only_would_cross"),
        ((404, PROBLEM, 0), "info", "rejected", "unknown_order"),
        ((503, FAULT, 0), "error", "error", None),
        ((200, b'{"cancelled":2,"orders":[]}', 0), "info", "applied", None),
    ],
)
def test_what_else_happens(
    stage: Stage, reply: tuple[int, bytes, int], level: str, event: str, reason: str | None
) -> None:
    stage.apply(reply)
    [(found_level, found_event, context)] = stage.lines.lines
    assert (found_level, found_event, context.get("reason")) == (level, event, reason)


def test_a_repeat_of_a_key_is_no_new_order(stage: Stage) -> None:
    stage.apply((0, None, 3))
    assert stage.lines.lines == []


def test_nothing_is_left_out_below_the_limit(stage: Stage) -> None:
    for _ in range(5):
        for seq in range(100):
            stage.apply((201, ACCEPTED, 0), first_seq=seq)
        stage.loop.run(1)
    assert stage.lines.events == ["submitted"] * 500
    assert stage.counts.orders_unlogged == 0


def test_above_the_limit_the_number_left_out_is_said_each_second() -> None:
    stage = Stage(per_second=10)
    for _ in range(3):
        stage.apply(*[(201, ACCEPTED, 0)] * 25)
        stage.loop.run(1)
    assert stage.lines.events == (["submitted"] * 10 + ["sampled"]) * 3
    sampled = [context for _, event, context in stage.lines.lines if event == "sampled"]
    assert [each["left_out"] for each in sampled] == [15, 15, 15]
    assert stage.counts.orders_unlogged == 45


def test_the_trades_of_what_is_left_out_are_left_out() -> None:
    stage = Stage(per_second=1)
    trades = [(0, 1, TRADE), (0, 2, TRADE)]
    stage.apply((201, ACCEPTED, 0), (201, ACCEPTED, 0), first_seq=1, trades=trades)
    assert stage.lines.events == ["submitted", "matched"]


def test_refusals_of_a_gateway_and_faults(stage: Stage) -> None:
    stage.log.refused("malformed_json")
    stage.log.error("journal stalled", seconds=2)
    assert stage.lines.lines == [
        ("info", "rejected", {"reason": "malformed_json"}),
        ("error", "error", {"what": "journal stalled", "seconds": 2}),
    ]


def test_of_a_command_with_very_many_trades_the_first_are_lines_and_the_rest_a_number(
    stage: Stage,
) -> None:
    for _ in range(3):
        stage.log.on_part([(0, 7, TRADE)] * 800, [])
    stage.apply(
        (201, ACCEPTED, 0), (201, ACCEPTED, 0), first_seq=7, trades=[(0, 7, TRADE), (0, 8, TRADE)]
    )
    events = stage.lines.events
    assert events == ["submitted", *["matched"] * 1000, "matched_more", "submitted", "matched"]
    assert stage.lines.lines[1001][2] == {"seq": 7, "left_out": 1401}


def test_parts_of_a_batch_that_is_left_out_are_forgotten() -> None:
    stage = Stage(per_second=2)
    stage.apply(*[(201, ACCEPTED, 0)] * 2)
    stage.log.on_part([(0, seq, TRADE) for seq in range(3, 1000)], [])
    stage.apply(*[(201, ACCEPTED, 0)] * 997, first_seq=3)
    stage.loop.run(1)
    stage.apply((201, ACCEPTED, 0), first_seq=1000)
    assert "matched" not in stage.lines.events
