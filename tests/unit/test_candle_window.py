"""The live window: what was traded lately, the same as from the trades; bounded, honest."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from novate.engine import Applied, Engine, Reporter
from novate.model import codec
from novate.model.events import EVENT, EventKind
from novate.model.instrument import Instrument, Limits
from novate.streams.bars import Bar, BarRows
from novate.streams.candle_window import CandleWindow
from novate.streams.waiting_events import UNFOLDED_BYTES_MAX
from tests.oracle import analytics as naive
from tests.unit.stream_fakes import ManualLoop

SECOND = 10**9
START_S = 1_767_225_600
HOUR_S = 3600
Trade = tuple[int, int, int, int]
"""Instrument, time in ns, price in ticks, quantity in lots."""


@dataclass
class Batch:
    """An applied batch of trades of one time."""

    trades_made: list[Trade]
    last_seq: int
    timestamp_ns: int
    trades: list[tuple[int, int, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.trades = [(each[0], self.last_seq, b"{}") for each in self.trades_made]

    @property
    def events(self) -> bytes:
        found = np.zeros(2 * len(self.trades_made) + 1, EVENT)
        found["kind"] = EventKind.ORDER_ACCEPTED
        for at, (instrument, _, price, lots) in enumerate(self.trades_made):
            row = found[2 * at + 1]
            row["kind"], row["instrument"] = EventKind.TRADE, instrument
            row["price_ticks"], row["quantity_lots"] = price, lots
        return found.tobytes()


class Market:
    """A window, and everything that was ever traded into it."""

    def __init__(self, window_s: int = 10 * HOUR_S, rows_max: int = 100_000) -> None:
        self.loop = ManualLoop()
        self.window = CandleWindow(self.loop, window_s, rows_max)
        self.trades: list[Trade] = []
        self.seq = 0

    def trade(self, second: int, *trades: tuple[int, int, int]) -> None:
        """A batch of (instrument, price, quantity) at a second."""
        self.seq += 1
        time_ns = (START_S + second) * SECOND + 5
        made = [(instrument, time_ns, price, lots) for instrument, price, lots in trades]
        self.trades += made
        self.window.on_applied(Batch(made, self.seq, time_ns))

    def expected(self, instrument: int, interval_s: int) -> list[dict[str, int]]:
        own = [each[1:] for each in self.trades if each[0] == instrument]
        return naive.candles(own, interval_s * SECOND)

    def found(self, instrument: int, interval_s: int, limit: int = 1000) -> list[dict[str, int]]:
        made = self.window.candles(instrument, interval_s * SECOND, limit)
        names = {
            "start": "start_ns", "open": "open_ticks", "high": "high_ticks", "low": "low_ticks",
            "close": "close_ticks", "volume": "volume_lots", "notional": "notional",
            "count": "trade_count",
        }  # fmt: skip
        lists = {short: getattr(made, name).tolist() for short, name in names.items()}
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def without_sum(rows: list[dict[str, int]]) -> list[dict[str, int]]:
    return [{name: each[name] for name in each if name != "price_sum"} for each in rows]


def test_trades_that_were_told_in_parts_are_folded_too() -> None:
    market = Market()
    batch = Batch([(0, START_S * SECOND, 100, 3)], 1, START_S * SECOND)
    market.window.on_part(batch.trades, [])
    batch.trades = []
    market.window.on_applied(batch)
    market.loop.run(1.0)
    assert [each["volume"] for each in market.found(0, 60)] == [3]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_the_window_gives_the_candles_of_the_trades(seed: int) -> None:
    chance = random.Random(seed)
    market = Market()
    second = 0
    for _ in range(400):
        second += chance.choice([0, 0, 1, 1, 2, 7, 400])
        most = chance.choice([100, 10**15])
        made = [
            (chance.randrange(3), chance.randint(1, most), chance.randint(1, most))
            for _ in range(chance.randrange(4))
        ]
        market.trade(second, *made)
        if chance.random() < 0.1:
            market.loop.run(1.0)  # its own timer folds
    for instrument in range(3):
        for interval_s in (1, 60, 300, HOUR_S, 24 * HOUR_S):
            truth = without_sum(market.expected(instrument, interval_s))
            assert market.found(instrument, interval_s) == truth[-1000:]
            assert market.found(instrument, interval_s, 3) == truth[-3:]
        bar = market.window.bucket(instrument, 60)
        assert bar is not None
        last = market.expected(instrument, 60)[-1]
        assert (bar.start_s * SECOND, bar.notional) == (last["start"], last["notional"])
    assert market.window.sequence == market.seq


def test_trades_wait_for_the_timer_and_not_longer() -> None:
    market = Market()
    told: list[int] = []
    market.window.on_bar = lambda instrument, bar: told.append(bar.count)
    for number in range(3):
        market.trade(number // 2, (0, 10, 1))
    assert told == []
    assert market.loop.turns == 0
    market.loop.run(0.3)
    assert told == [2, 1]
    assert market.loop.turns == 1, "one timer for all"
    market.loop.run(10)
    assert market.loop.turns == 1, "none where nothing is traded"


@pytest.mark.slow
def test_a_burst_is_folded_before_it_grows_large() -> None:
    market = Market()
    size = len(Batch([(0, 0, 1, 1)] * 5000, 1, 0).events)
    for number in range(UNFOLDED_BYTES_MAX // size + 2):
        market.trade(number, *[(0, 1, 1)] * 5000)
    assert market.window.rows > 0
    assert market.loop.turns == 0


def test_what_is_older_than_the_window_is_forgotten_and_said() -> None:
    market = Market(window_s=60)
    for second in range(200):
        market.trade(second, (0, 10 + second, 1))
        market.window.fold()
    assert market.window.rows == 60
    assert [each["open"] for each in market.found(0, 1)] == list(range(150, 210))
    assert market.window.complete_s(0) == START_S + 140
    assert market.window.is_complete(0, START_S + 140)
    assert not market.window.is_complete(0, START_S + 120)
    assert market.window.complete_s(1) is None, "nothing was ever traded there"


def test_the_instrument_with_most_bars_makes_room_for_the_others() -> None:
    market = Market(rows_max=100)
    for second in range(90):
        market.trade(second, (0, 5, 1))
    for second in range(90, 120):
        market.trade(second, (1, 7, 1))
        market.window.fold()
        assert market.window.rows <= 100
    assert len(market.found(1, 1)) == 30, "it lost nothing"
    assert market.window.complete_s(1) is None
    left = market.found(0, 1)
    assert left == without_sum(market.expected(0, 1))[-len(left) :]
    assert market.window.complete_s(0) == left[0]["start"] // SECOND


def test_the_last_seconds_count_by_the_commands_time() -> None:
    market = Market()
    for second in (0, 10, 20):
        market.trade(second, (0, second + 1, 2))
    assert market.window.recent(0, 11).trade_count.tolist() == [2]
    assert market.window.recent(0, 10).trade_count.tolist() == [1]
    market.trade(25)  # a command without a trade moves the time on
    assert len(market.window.recent(0, 5)) == 0
    assert market.window.recent(0, 86_400).volume_lots.tolist() == [6]
    assert len(market.window.recent(7, 86_400)) == 0


def test_rows_keep_amounts_of_128_bits() -> None:
    rows = BarRows()
    wide = 2**100 + 12345
    for second in range(100):
        rows.add(Bar(second, 1, 1, 1, 1, wide, wide + second, 1))
        rows.add(Bar(second, 1, 2, 1, 2, 1, 1, 1))
    assert len(rows) == 100
    assert rows.last == Bar(99, 1, 2, 1, 2, wide + 1, wide + 100, 2)
    assert rows.forget_before(0) is None
    assert rows.forget_before(90) == 89
    assert rows.forget(1000) == 98, "the newest stays"
    assert (len(rows), rows.since(0)["start_s"].tolist()) == (1, [99])
    for second in range(100, 150):
        rows.add(Bar(second, 1, 1, 1, 1, wide, 1, 1))
        rows.forget_before(second - 5)
    assert rows.since(148)["start_s"].tolist() == [148, 149]


def engine_after(limit: int, orders: int) -> tuple[Engine, Reporter, list[Trade]]:
    """An engine that keeps `limit` trades, and every trade that it made."""
    engine = Engine(Limits(trades_per_instrument_max=limit))
    for name in ("BTC-USD", "ETH-USD", "OLD-USD"):
        engine.apply(codec.pack_create_instrument(Instrument(name=name, base="B", quote="USD")))
    reporter = Reporter(engine)
    made: list[Trade] = []
    chance = random.Random(1)
    for number in range(orders):
        time_ns = (START_S + number // 3) * SECOND + number
        price, lots = 100 + chance.randint(-3, 3), chance.randint(1, 9)
        command = codec.pack_place(
            number % 2, chance.randrange(2), 0, 0, 0, price, lots, 0, b"o%d" % number, b"c"
        )
        applied: Applied = reporter.apply(command, engine.last_seq + 1, time_ns)
        events: Any = np.frombuffer(applied.events, EVENT)
        made += [
            (number % 2, time_ns, int(each["price_ticks"]), int(each["quantity_lots"]))
            for each in events[events["kind"] == EventKind.TRADE]
        ]
    return engine, reporter, made


@dataclass
class Reach:
    candle_window_hours: int = 24
    candle_rows_max: int = 100_000


def test_a_restart_begins_with_the_trades_that_the_engine_keeps() -> None:
    engine, reporter, made = engine_after(limit=10_000, orders=300)
    market = Market()
    market.window = CandleWindow.warmed(market.loop, Reach(), reporter)
    market.trades = made
    for instrument in range(2):
        truth = without_sum(market.expected(instrument, 60))
        assert truth
        assert market.found(instrument, 60) == truth
        assert market.window.complete_s(instrument) is None, "it has them all"
    assert market.window.sequence == engine.last_seq
    assert market.window.time_ns == engine.last_timestamp_ns


def test_a_restart_with_fewer_trades_says_since_when_it_is_complete() -> None:
    _, reporter, made = engine_after(limit=20, orders=300)
    market = Market()
    market.window = CandleWindow.warmed(market.loop, Reach(), reporter)
    kept = [each for each in made if each[0] == 0][-20:]
    since = market.window.complete_s(0)
    assert since == kept[0][1] // SECOND + 1
    found = [each for each in market.found(0, 1) if each["start"] >= since * SECOND]
    market.trades = made
    truth = [each for each in market.expected(0, 1) if each["start"] >= since * SECOND]
    assert found == without_sum(truth)
    assert market.window.is_complete(0, since)
    assert not market.window.is_complete(0, since - 1)
