"""The channel candles: a snapshot, changes at ticks, final candles, slow consumers."""

from __future__ import annotations

from typing import Any

import pytest

from novate.model.instrument import Instrument
from novate.streams.candle_window import CandleWindow
from novate.streams.publisher import Publisher
from tests.unit.stream_fakes import BookFake, Counts, ManualLoop, Receiver, StreamOptions
from tests.unit.test_candle_window import SECOND, START_S, Batch

BTC = Instrument(name="BTC-USD", base="BTC", quote="USD", index=0, tick_exponent=0, lot_exponent=0)
ETH = Instrument(name="ETH-USD", base="ETH", quote="USD", index=1, tick_exponent=0, lot_exponent=0)
MINUTE = 60 * SECOND


class AppliedFake(Batch):
    updates = ()
    changes = ()


class Stage:
    """A publisher with a window, among fakes; the wall clock is moved by hand."""

    def __init__(self, **options: float) -> None:
        self.loop = ManualLoop()
        self.window = CandleWindow(self.loop, 86_400, 100_000)
        self.wall = float(START_S)
        self.seq = 0
        self.publisher = Publisher(
            BookFake(),  # type: ignore[arg-type]
            self.loop,
            StreamOptions(**options),  # type: ignore[arg-type]
            Counts(),
            clock=self.loop.time,
            wall_clock=lambda: self.wall,
            window=self.window,
        )

    def trade(self, second: int, *trades: tuple[int, int, int]) -> None:
        """A batch of (instrument, price, quantity) that happened at a second; then a tick."""
        self.seq += 1
        time_ns = (START_S + second) * SECOND
        made = [(instrument, time_ns, price, lots) for instrument, price, lots in trades]
        batch = AppliedFake(made, self.seq, time_ns)
        self.window.on_applied(batch)
        self.publisher.on_applied(batch)

    def tick(self) -> None:
        self.loop.run(0.1)

    def follow(
        self, instrument: Instrument = BTC, interval_ns: int = MINUTE, receiver: Any = None
    ) -> Receiver:
        receiver = receiver or Receiver()
        self.publisher.subscribe_candles(receiver, instrument, interval_ns)
        self.tick()
        return receiver


@pytest.fixture
def stage() -> Stage:
    return Stage()


def brief(message: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (each["time"][11:19], each["open"], each["high"], each["low"], each["close"],
         each["volume"], each["final"])
        for each in message["candles"]
    ]  # fmt: skip


def test_a_snapshot_comes_first_and_changes_follow_on_it(stage: Stage) -> None:
    stage.trade(0, (0, 10, 1))
    stage.trade(61, (0, 12, 2), (0, 11, 1))
    client = stage.follow()
    stage.trade(62, (0, 13, 5))
    stage.tick()
    snapshot, change = client.messages
    assert (snapshot["type"], change["type"]) == ("candles_snapshot", "candles")
    assert (snapshot["sequence"], change["prev_sequence"], change["sequence"]) == (2, 2, 3)
    assert snapshot["complete_from"] is None
    assert brief(snapshot) == [
        ("00:00:00", 10, 10, 10, 10, 1, True), ("00:01:00", 12, 12, 11, 11, 3, False),
    ]  # fmt: skip
    assert brief(change) == [("00:01:00", 12, 13, 11, 13, 8, False)]
    (candle,) = change["candles"]
    assert (candle["trade_count"], candle["notional"], candle["vwap"]) == (3, 100, 12.5)
    assert (change["interval"], change["instrument"]) == ("1m", "BTC-USD")


def test_trades_of_one_interval_go_out_as_one_message(stage: Stage) -> None:
    client = stage.follow()
    assert brief(client.messages[0]) == []
    for price in range(10, 20):
        stage.trade(1, (0, price, 1))
        stage.loop.run(0.001)
    stage.tick()
    first, rest = client.of_type("candles")
    assert brief(first) == [("00:00:00", 10, 10, 10, 10, 1, False)], "after a quiet time, at once"
    assert brief(rest) == [("00:00:00", 10, 19, 10, 19, 10, False)]


def test_a_candle_is_final_when_a_command_comes_after_its_end(stage: Stage) -> None:
    client = stage.follow()
    stage.trade(30, (0, 10, 1))
    stage.tick()
    stage.trade(59)
    stage.tick()
    assert len(client.of_type("candles")) == 1, "nothing changed"
    stage.trade(60)
    stage.tick()
    stage.trade(61)
    stage.tick()
    _, ended = client.of_type("candles")
    assert brief(ended) == [("00:00:00", 10, 10, 10, 10, 1, True)]


def test_several_candles_may_end_between_two_ticks(stage: Stage) -> None:
    client = stage.follow()
    for second in (0, 60, 120, 121):
        stage.trade(second, (0, 10 + second, 1))
    stage.tick()
    (change,) = client.of_type("candles")
    assert [(row[0], row[-1]) for row in brief(change)] == [
        ("00:00:00", True), ("00:01:00", True), ("00:02:00", False),
    ]  # fmt: skip


def test_the_heartbeat_ends_candles_of_a_silent_market_for_display(stage: Stage) -> None:
    client = Receiver()
    stage.publisher.join(client)
    stage.follow(receiver=client)
    stage.trade(30, (0, 10, 1))
    stage.tick()
    stage.wall = START_S + 61.0
    stage.loop.run(15)
    assert [brief(each)[-1][-1] for each in client.of_type("candles")] == [False, True]
    late = stage.follow()
    assert brief(late.messages[0])[-1][-1] is True, "a newcomer is told the same"
    stage.trade(59, (0, 11, 1))  # it was on its way
    stage.tick()
    assert brief(client.of_type("candles")[-1]) == [("00:00:00", 10, 11, 10, 11, 2, False)]
    stage.trade(60)
    stage.tick()
    assert brief(client.of_type("candles")[-1])[-1][-1] is True


def test_intervals_and_instruments_are_followed_apart(stage: Stage) -> None:
    minutes, hours = stage.follow(), stage.follow(interval_ns=60 * MINUTE)
    other = stage.follow(ETH)
    stage.trade(0, (0, 10, 1))
    stage.trade(60, (0, 20, 1))
    stage.tick()
    assert [row[0] for row in brief(minutes.of_type("candles")[-1])] == ["00:00:00", "00:01:00"]
    assert brief(hours.of_type("candles")[-1]) == [("00:00:00", 10, 20, 10, 20, 2, False)]
    assert hours.messages[0]["interval"] == "1h"
    assert other.of_type("candles") == []
    assert stage.publisher.unsubscribe_candles(hours, 0, 60 * MINUTE)
    assert not stage.publisher.unsubscribe_candles(hours, 0, 60 * MINUTE)
    assert not stage.publisher.unsubscribe_candles(hours, 1, 60 * MINUTE)
    count = len(hours.messages)
    stage.publisher.leave(minutes)
    stage.trade(61, (0, 21, 1), (1, 5, 1))
    stage.tick()
    assert (len(hours.messages), len(minutes.of_type("candles"))) == (count, 1)
    assert brief(other.of_type("candles")[-1]) == [("00:01:00", 5, 5, 5, 5, 1, False)]


def test_a_snapshot_has_the_last_hundred_candles(stage: Stage) -> None:
    for second in range(150):
        stage.trade(second, (0, 10 + second, 1))
    client = stage.follow(interval_ns=SECOND)
    rows = brief(client.messages[0])
    assert [row[1] for row in rows] == list(range(60, 160))
    assert [row[-1] for row in rows] == [True] * 99 + [False]


def test_a_slow_consumer_gets_a_new_snapshot_once_it_has_read() -> None:
    stage = Stage(websocket_buffer_bytes=500)
    slow, quick = stage.follow(), stage.follow()
    slow.reads = False
    for second in range(10):
        stage.trade(second, (0, 10 + second, 1))
        stage.tick()
    assert len(quick.of_type("candles")) == 10
    got = len(slow.of_type("candles"))
    assert got < 10
    assert not slow.closed
    slow.read_all()
    stage.loop.run(0.2)
    assert slow.messages[-1]["type"] == "candles_snapshot"
    assert brief(slow.messages[-1]) == [("00:00:00", 10, 19, 10, 19, 10, False)]
    stage.trade(11, (0, 30, 1))
    stage.tick()
    assert slow.messages[-1]["prev_sequence"] == slow.messages[-2]["sequence"]
    assert brief(slow.messages[-1]) == brief(quick.messages[-1])
