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
        ((200, CANCELLED, 0), "info", "cancelled", "by_client"),
        ((200, ACCEPTED, 0), "info", "amended", None),
        ((422, REJECTED, 0), "info", "rejected", "post_only_would_cross"),
        ((404, PROBLEM, 0), "info", "rejected", "unknown_order"),
        ((503, FAULT, 0), "error", "error", None),
        ((200, b'{"sequence":7}', 0), "info", "applied", None),
        ((200, b'{"on":true,"cancelled_count":1}', 0), "info", "kill_switched", None),
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
    stage.log.refused("not_multiple", "price", "A")
    stage.log.error("journal stalled", seconds=2)
    assert stage.lines.lines == [
        ("info", "rejected", {"client_id": None, "field": None, "reason": "malformed_json"}),
        ("info", "rejected", {"client_id": "A", "field": "price", "reason": "not_multiple"}),
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


def ended(order_id: str, reason: str, status: str = "cancelled") -> bytes:
    return (
        b'{"order_id":"%b","client_id":"B","instrument":"BTC-USD","quantity":2,'
        b'"filled_quantity":0.5,"status":"%b","reason":"%b"}'
        % (order_id.encode(), status.encode(), reason.encode())
    )


def updates(seq: int, *orders: bytes) -> list[tuple[int, int, str, bytes]]:
    return [(0, seq, "B", order) for order in orders]


def test_orders_that_another_command_ended_are_lines_with_the_reason(stage: Stage) -> None:
    changed = updates(
        7, ended("o8", "expired"), ended("o9", "self_trade_prevented"), ended("o0", "", "filled")
    )
    stage.apply((201, ACCEPTED, 0), first_seq=7, updates=[*changed, *updates(7, ACCEPTED)])
    assert stage.lines.events == ["submitted", "cancelled", "cancelled"]
    assert stage.lines.lines[1][2] == {
        "seq": 7,
        "order_id": "o8",
        "client_id": "B",
        "instrument": "BTC-USD",
        "filled_quantity": "0.5",
        "reason": "expired",
    }
    assert stage.lines.lines[2][2]["reason"] == "self_trade_prevented"


def test_an_order_that_ends_with_its_own_command_is_one_line(stage: Stage) -> None:
    stage.apply((200, CANCELLED, 0), first_seq=7, updates=updates(7, CANCELLED))
    assert stage.lines.events == ["cancelled"]


def test_an_order_that_ends_as_it_comes_is_submitted_and_cancelled(stage: Stage) -> None:
    stage.apply(
        (201, ended("o3", "fill_or_kill"), 0),
        first_seq=7,
        updates=updates(7, ended("o3", "fill_or_kill")),
    )
    assert stage.lines.events == ["submitted", "cancelled"]
    assert stage.lines.lines[1][2]["reason"] == "fill_or_kill"


def test_a_mass_cancel_says_whose_orders_and_how_many(stage: Stage) -> None:
    swept = b'{"client_id":"B","cancelled_count":2,"order_ids":["o1","o2"],"sequence":9}'
    stage.apply(
        (200, swept, 0),
        first_seq=9,
        updates=updates(9, ended("o1", "mass_cancel"), ended("o2", "mass_cancel")),
    )
    assert stage.lines.events == ["mass_cancelled", "cancelled", "cancelled"]
    assert stage.lines.lines[0][2] == {"seq": 9, "client_id": "B", "count": 2}


def test_of_a_command_that_ended_very_many_the_first_are_lines_and_the_rest_a_number(
    stage: Stage,
) -> None:
    for part in range(3):
        names = range(part * 800, part * 800 + 800)
        stage.log.on_part([], updates(7, *(ended(f"o{name}", "mass_cancel") for name in names)))
    stage.apply((200, b'{"sequence":7}', 0), first_seq=7)
    assert stage.lines.events == ["applied", *["cancelled"] * 1000, "cancelled_more"]
    assert stage.lines.lines[-1][2] == {"seq": 7, "left_out": 1400}


def test_a_batch_that_leads_to_very_much_has_a_bound_of_its_own(stage: Stage) -> None:
    for seq in range(1, 21):
        stage.log.on_part([(0, seq, TRADE)] * 900, [])
    stage.apply(*[(201, ACCEPTED, 0)] * 20, first_seq=1)
    events = stage.lines.events
    assert events.count("matched") == 10_000
    more = [line[2]["left_out"] for line in stage.lines.lines if line[1] == "matched_more"]
    assert sum(more) == 20 * 900 - 10_000


def test_updates_are_not_asked_for_while_lines_are_left_out() -> None:
    stage = Stage(per_second=10)
    wanted: list[bool] = []
    stage.log.want_updates = wanted.append
    stage.apply(*[(201, ACCEPTED, 0)] * 9)
    stage.apply(*[(201, ACCEPTED, 0)] * 9)
    assert wanted == [True, False]
    stage.loop.run(1)
    assert wanted == [True, False, True]
