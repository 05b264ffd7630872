"""Messages for each trade and markouts: the functions, and the window that is kept of them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from novate.analytics import markouts
from novate.analytics.activity import (
    HORIZONS_S,
    Messages,
    Quotes,
    mean_markout,
    messages_of,
    taker_seconds,
)
from novate.model.events import AUCTION_TRADE, EVENT, EventKind
from novate.model.instrument import Instrument
from novate.model.rejects import Reason
from novate.streams.activity_window import MARKOUTS_WINDOW_S, ActivityWindow
from novate.streams.waiting_events import UNFOLDED_BYTES_MAX
from tests.unit.stream_fakes import ManualLoop
from tests.unit.test_sequencer import Rig, run

NS = 10**9
START_S = 1_767_225_600
KINDS = [
    (EventKind.ORDER_ACCEPTED, Reason.NONE, "orders"),
    (EventKind.ORDER_REJECTED, Reason.POST_ONLY_WOULD_CROSS, "rejected"),
    (EventKind.ORDER_AMENDED, Reason.NONE, "amendments"),
    (EventKind.ORDER_AMENDED, Reason.SELF_TRADE_PREVENTED, None),
    (EventKind.ORDER_ENDED, Reason.BY_CLIENT, "cancels"),
    (EventKind.ORDER_ENDED, Reason.MASS_CANCEL, "cancels"),
    (EventKind.ORDER_ENDED, Reason.EXPIRED, None),
    (EventKind.ORDER_ENDED, Reason.IMMEDIATE_OR_CANCEL, None),
    (EventKind.TRADE, Reason.NONE, "trades"),
    (EventKind.COMMAND_REFUSED, Reason.UNKNOWN_ORDER, None),
    (EventKind.MASS_CANCELLED, Reason.NONE, None),
]


def test_what_an_event_counts_as() -> None:
    names = ("orders", "rejected", "amendments", "cancels", "trades", None)
    kinds, reasons, expected = zip(*KINDS, strict=True)
    found = [names[each] for each in messages_of(kinds, reasons).tolist()]
    assert found == list(expected)


def test_the_ratio_is_of_messages_accepted_and_trades() -> None:
    assert Messages(orders=10, rejected=7, amendments=5, cancels=5, trades=4).ratio == 4.0
    assert Messages(orders=10).ratio is None


def test_a_markout_by_hand() -> None:
    # A buyer takes 2 at 101, the middle goes to 103 within a second: (103 - 101) each.
    traded = taker_seconds([START_S * NS + 5], [101], [2], [1])
    quotes = Quotes([START_S - 9, START_S + 1], [99, 102], [101, 104])
    found = mean_markout(traded, quotes, START_S + 2, 1)
    assert (found.trades, found.lots, found.moved_twice) == (1, 2, 8)
    assert found.average_ticks == 2.0
    assert found.basis_points == pytest.approx(10_000 * 2 / 101)
    # At its own end the second had the older middle, 100: one tick against the taker.
    assert mean_markout(traded, quotes, START_S + 2, 0).average_ticks == -1.0
    # What is at the end of the second that is running is not known.
    assert mean_markout(traded, quotes, START_S + 1, 1).average_ticks is None
    with pytest.raises(ValueError, match="horizon_s: expected at least 0, got -1"):
        mean_markout(traded, quotes, START_S, -1)


@pytest.mark.parametrize(("bid", "ask"), [(0, 100), (100, 0), (0, 0), (101, 100), (100, 100)])
def test_a_middle_that_is_none_is_not_known(bid: int, ask: int) -> None:
    traded = taker_seconds([START_S * NS], [100], [1], [-1])
    quotes = Quotes([START_S - 1, START_S], [90, bid], [110, ask])
    assert mean_markout(traded, quotes, START_S + 9, 5).lots == 0


def test_trades_of_an_auction_have_no_taker() -> None:
    traded = taker_seconds([START_S * NS] * 2, [100, 100], [3, 4], [0, -1])
    assert (traded.trades.tolist(), traded.lots.tolist()) == ([1], [4])
    assert len(taker_seconds([], [], [], []).second) == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_mean_is_that_of_each_trades_markout(seed: int) -> None:
    chance = np.random.default_rng(seed)
    most = int(chance.choice([100, 10**15]))
    times = np.sort(START_S * NS + chance.integers(0, 600 * NS, 300))
    prices, lots = chance.integers(1, most, 300), chance.integers(1, most, 300)
    signs = chance.choice([-1, 1], 300)
    seconds = np.unique(START_S + chance.integers(-5, 400, 80))
    bids = chance.integers(1, most, len(seconds))
    quotes = Quotes(seconds, bids, bids + chance.integers(1, 9, len(seconds)))
    end_s = int(seconds[-1]) + 1
    for horizon in HORIZONS_S:
        found = mean_markout(taker_seconds(times, prices, lots, signs), quotes, end_s, horizon)
        # What was at the end of a second counts from there on, up to the end of the last one.
        ends = (times // NS + 1) * NS
        each = markouts(
            ends, prices, signs, (seconds + 1) * NS, quotes.bid_ticks + quotes.ask_ticks,
            horizon * NS,
        )  # fmt: skip
        known = ~np.isnan(each)
        assert (found.trades, found.lots) == (known.sum(), sum(lots[known].tolist()))
        total = sum(
            Fraction(int(one * 2), 2) * int(lot)
            for one, lot in zip(each[known].tolist(), lots[known].tolist(), strict=True)
        )
        if most == 100:
            assert Fraction(found.moved_twice, 2) == total
        elif found.lots:
            assert found.average_ticks == pytest.approx(float(total / found.lots), rel=1e-9)


@dataclass
class Batch:
    """An applied batch: (kind, reason, instrument, price, lots, side, flags) of each event."""

    rows: list[tuple[int, ...]]
    timestamp_ns: int
    last_seq: int

    @property
    def events(self) -> bytes:
        found = np.zeros(len(self.rows), EVENT)
        names = ("kind", "reason", "instrument", "price_ticks", "quantity_lots", "side", "flags")
        for at, row in enumerate(self.rows):
            for name, value in zip(names, row, strict=True):
                found[at][name] = value
        return found.tobytes()


@dataclass
class EngineFake:
    """Best prices as they are set."""

    last_seq: int = 0
    last_timestamp_ns: int = 0
    prices: dict[int, tuple[int, int]] = field(default_factory=dict)
    looks: int = 0

    def instruments(self) -> list[Instrument]:
        return []

    def best(self, instrument: int) -> tuple[int, int, int, int]:
        self.looks += 1
        bid, ask = self.prices.get(instrument, (0, 0))
        return bid, 1, ask, 1


class Market:
    """A window, and all that it was told."""

    def __init__(self, rows_max: int = 10_000) -> None:
        self.loop, self.engine = ManualLoop(), EngineFake()
        self.window = ActivityWindow(self.loop, self.engine, rows_max)
        self.rows: list[tuple[int, tuple[int, ...]]] = []
        self.quotes: dict[int, dict[int, tuple[int, int]]] = {}
        self.second = self.seq = 0

    def play(self, second: int, *rows: tuple[int, ...], bid: int = 0, ask: int = 0) -> None:
        """A batch at a second, behind which instrument 0 stands at these prices."""
        if second != self.second:
            self.window.before_second((START_S + second) * NS)
        self.second = second
        self.seq += 1
        self.engine.prices[0] = bid, ask
        self.quotes.setdefault(0, {})[START_S + second] = bid, ask
        batch = Batch(list(rows), (START_S + second) * NS + self.seq, self.seq)
        self.rows += [(batch.timestamp_ns, row) for row in rows]
        self.window.on_applied(batch)

    def messages(self, instrument: int, from_s: int) -> list[int]:
        kinds, reasons, names = zip(*KINDS, strict=True)
        meant = dict(zip(zip(kinds, reasons, strict=True), names, strict=True))
        found = dict.fromkeys(("orders", "rejected", "amendments", "cancels", "trades"), 0)
        for time_ns, row in self.rows:
            name = meant[row[0], row[1]]  # type: ignore[index]
            if name and row[2] == instrument and time_ns // (60 * NS) >= from_s // 60:
                found[name] += 1
        return list(found.values())

    def markout(self, horizon: int) -> tuple[int, int]:
        """(lots, twice what they moved) of every trade of instrument 0, one by one."""
        lots = moved = 0
        listed = sorted(self.quotes[0].items())
        for time_ns, row in self.rows:
            later = time_ns // NS + horizon
            held = [prices for second, prices in listed if second <= later]
            if row[0] != EventKind.TRADE or row[2] != 0 or row[6] or not held:
                continue
            bid, ask = held[-1]
            if later < START_S + self.second and 0 < bid < ask:
                lots += row[4]
                moved += (bid + ask - 2 * row[3]) * row[4] * (1 if row[5] == 0 else -1)
        return lots, moved


def found_of(window: ActivityWindow, instrument: int, from_s: int) -> list[int]:
    found = window.messages(instrument, from_s)
    return [found.orders, found.rejected, found.amendments, found.cancels, found.trades]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_window_gives_what_the_events_give(seed: int) -> None:
    chance, market, second = random.Random(seed), Market(), 0
    for _ in range(400):
        second += chance.choice([0, 0, 1, 1, 2, 7])
        rows: list[Any] = []
        for _ in range(chance.randrange(5)):
            kind, reason, _ = chance.choice(KINDS)
            flags = AUCTION_TRADE if chance.random() < 0.1 and kind == EventKind.TRADE else 0
            price, lots = chance.randint(1, 10**15), chance.randint(1, 10**15)
            rows.append(
                (kind, reason, chance.randrange(2), price, lots, chance.randrange(2), flags)
            )
        bid = chance.randint(0, 10**6)
        # Only an event of the book moves its prices.
        moves = (EventKind.ORDER_ACCEPTED, Reason.NONE, 0, 1, 1, 0, 0)
        market.play(second, moves, *rows, bid=bid, ask=bid + chance.randint(-1, 5))
        if chance.random() < 0.1:
            market.loop.run(1.0)
    for instrument in range(3):
        for from_s in (0, START_S + second - 200):
            expected = market.messages(instrument, from_s)
            assert found_of(market.window, instrument, from_s) == expected
    _, each = market.window.markouts(0, 0)
    assert [(one.lots, one.moved_twice) for one in each] == [
        market.markout(horizon) for horizon in HORIZONS_S
    ]
    assert each[0].lots > 0
    assert market.window.sequence == market.seq


ORDER = (int(EventKind.ORDER_ACCEPTED), 0, 0, 100, 1, 0, 0)
TRADE = (int(EventKind.TRADE), 0, 0, 100, 1, 0, 0)


def test_best_prices_are_looked_at_once_a_second_and_where_something_moved() -> None:
    market = Market()
    for _ in range(50):
        market.play(1, ORDER, bid=99, ask=101)
    assert market.engine.looks == 0
    market.play(2, (int(EventKind.COMMAND_REFUSED), int(Reason.UNKNOWN_ORDER), 0, 0, 0, 0, 0))
    market.play(3, (int(EventKind.COMMAND_REFUSED), int(Reason.UNKNOWN_ORDER), 0, 0, 0, 0, 0))
    market.play(9, ORDER)
    assert market.engine.looks == 1


def test_batches_wait_for_one_timer_and_not_past_a_bound() -> None:
    market = Market()
    for _ in range(3):
        market.play(0, ORDER)
    assert market.window.rows == 0
    market.loop.run(0.3)
    assert (market.window.rows, market.loop.turns) == (1, 1)
    many = UNFOLDED_BYTES_MAX // EVENT.itemsize + 1
    events = np.zeros(many, EVENT)
    events["kind"], events["instrument"] = EventKind.ORDER_ACCEPTED, 1

    class Large:
        timestamp_ns, last_seq = START_S * NS, 9

    Large.events = events.tobytes()  # type: ignore[attr-defined]
    market.window.on_applied(Large())  # type: ignore[arg-type]
    assert market.window.rows == 2


def test_what_is_older_than_the_windows_is_forgotten() -> None:
    market = Market()
    for second in range(0, 3 * MARKOUTS_WINDOW_S, 600):
        market.play(second, ORDER, TRADE, bid=99 + second, ask=101 + second)
    held = market.window.rows
    for second in range(3 * MARKOUTS_WINDOW_S, 60 * MARKOUTS_WINDOW_S, 600):
        market.play(second, ORDER, TRADE, bid=99, ask=101 + second)
    market.window.fold()
    # A minute each of a day, trades of an hour, its quotes but for the second that is running.
    assert market.window.rows == 145 + 7 + 6
    assert market.window.rows > held
    assert market.window.complete_s(0) == 0
    assert found_of(market.window, 0, 0)[0] == 145


@pytest.mark.slow
def test_past_the_bound_the_one_with_most_forgets_and_says_so() -> None:
    market = Market(rows_max=100)
    for second in range(500):
        market.play(second, ORDER, TRADE, bid=99 + second, ask=101 + second)
        if second % 50 == 0:
            market.play(second, (*ORDER[:2], 1, *ORDER[3:]), bid=99, ask=101)
    market.window.fold()
    assert market.window.rows <= 100
    assert market.window.complete_s(0) > START_S
    assert market.window.complete_s(1) == 0
    kept = market.window.complete_s(0)
    traded, _ = market.window.markouts(0, kept)
    assert int(traded.trades.sum()) == START_S + 500 - kept


def test_a_window_that_begins_late_says_since_when_it_is_whole() -> None:
    engine = EngineFake(last_seq=7, last_timestamp_ns=START_S * NS + 1)
    window = ActivityWindow(ManualLoop(), engine, 100)
    assert window.complete_s(0) == START_S + 1
    assert window.messages(0, 0) == Messages()
    assert window.markouts(0, 0)[1][0].average_ticks is None


@pytest.mark.slow
def test_a_later_second_is_told_of_before_its_first_batch_is_applied() -> None:
    told: list[tuple[int, int]] = []

    async def scenario(rig: Rig) -> None:
        def broken(timestamp_ns: int) -> None:
            raise RuntimeError("a subscriber's own fault")

        rig.sequencer.on_second += [
            broken,
            lambda timestamp_ns: told.append((timestamp_ns, len(rig.reporter.applied))),
        ]
        first = rig.clock.now_ns
        for count, seconds in enumerate((0.0, 0.4, 0.7, 0.1, -3.0, 5.0), 1):
            rig.clock.advance(seconds)
            rig.submit(f"c{count}")
            await rig.answered(count)
        assert told == [
            (first, 0),
            (first + 1_100_000_000, 2),
            (first + 3_200_000_000, 5),
        ]

    run(scenario)
