"""The live window of what was traded: a day of one-second bars of each instrument, in memory.

The order path only hands batches over; a few times a second their trades are folded into bars, many
at once. Candles of any length from a second to a day, and the figures of the last 24 hours, are
made of the bars when they are asked for. Time is the commands' own: what falls into which bucket,
and when a bucket is over, is decided by it alone.

After a restart the window begins with the trades that the engine keeps, and says since when it is
complete. Its size has limits: a length of time, and a number of bars for all instruments together;
past that the instrument with the most of them forgets its older half.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from novate.analytics.candles import SECOND_NS, Candles, group_starts, grouped_candles
from novate.model.events import EventKind
from novate.model.instrument import Instrument
from novate.streams.bars import Bar, BarRows, merged
from novate.streams.sources import AppliedEvents, SequencedEngine, Timers
from novate.streams.waiting_events import WaitingEvents

FOREVER_S: Final = 1 << 40
"""Longer than any window, so that all of it is one bucket."""


class AppliedTrades(AppliedEvents, Protocol):
    """What the window reads of an applied batch."""

    @property
    def trades(self) -> list[tuple[int, int, bytes]]:
        """Empty where the batch made no trade."""


class WindowSettings(Protocol):
    """The settings that the window reads."""

    @property
    def candle_window_hours(self) -> int:
        """How far back it reaches."""

    @property
    def candle_rows_max(self) -> int:
        """Bars of all instruments together."""


class TradeEngine(SequencedEngine, Protocol):
    """What a window asks of an engine, once."""

    @property
    def last_timestamp_ns(self) -> int:
        """Its time."""

    def instruments(self) -> list[Instrument]:
        """Every instrument, by number."""


class TradeReader(Protocol):
    """What the window asks of a reporter, once."""

    @property
    def engine(self) -> TradeEngine:
        """The engine it reports of."""

    def counters(self, instrument: int, /) -> tuple[int, int, int, int, int]:
        """The first is the number of trades that there ever were."""

    def trades_kept(self, instrument: int, /) -> NDArray[np.int64]:
        """Time in us, price and quantity of the trades in memory, oldest first."""


@dataclass(eq=False, slots=True)
class Traded:
    """The bars of one instrument.

    Attributes:
        complete_s: Since when no trade is missing, in seconds since 1970; None: from the first.
    """

    rows: BarRows = field(default_factory=BarRows)
    complete_s: int | None = None

    def is_complete(self, start_s: int) -> bool:
        """Whether every trade from that second on is there."""
        return self.complete_s is None or start_s >= self.complete_s

    def lost(self, start_s: int | None) -> None:
        """Note that bars up to the one that began then were forgotten."""
        if start_s is not None:
            self.complete_s = max(self.complete_s or 0, start_s + 1)


class CandleWindow:
    """The window of one partition. All calls come from the event loop's thread.

    Args:
        timers: The event loop.
        window_seconds: How far back it reaches, by the commands' own time.
        rows_max: Bars of all instruments together.

    Attributes:
        time_ns: Time of the last command applied.
        sequence: Sequence of the last command folded.
        on_bar: Told of each bar that was folded: instrument, and what was traded in that second.
        rows: Bars kept.
    """

    def __init__(self, timers: Timers, window_seconds: int, rows_max: int) -> None:
        self._window_seconds = window_seconds
        self._rows_max = rows_max
        self._traded: dict[int, Traded] = {}
        self._waiting = WaitingEvents(timers, self.fold)
        self._part_traded = False
        self._applied_seq = 0
        self.time_ns = 0
        self.sequence = 0
        self.rows = 0
        self.on_bar: Callable[[int, Bar], None] | None = None

    @classmethod
    def warmed(cls, timers: Timers, settings: WindowSettings, reader: TradeReader) -> CandleWindow:
        """A window that begins with the trades that an engine keeps."""
        window = cls(timers, settings.candle_window_hours * 3600, settings.candle_rows_max)
        engine = reader.engine
        window.time_ns = engine.last_timestamp_ns
        window.sequence = window._applied_seq = engine.last_seq
        for instrument in engine.instruments():
            if total := reader.counters(instrument.index)[0]:
                window._warm(instrument.index, reader.trades_kept(instrument.index), total)
        return window

    def _warm(self, instrument: int, kept: NDArray[np.int64], total: int) -> None:
        traded = self._traded[instrument] = Traded()
        seconds = kept[:, 0] // 1_000_000
        if len(kept) < total:  # of the oldest second kept, trades may be missing
            newest = self.time_ns // SECOND_NS
            traded.complete_s = int(seconds[0]) + 1 if len(kept) else newest + 1
        self._add(np.full(len(kept), instrument), seconds, kept[:, 1], kept[:, 2])

    # --- what happened ----------------------------------------------------------------------------

    def on_applied(self, applied: AppliedTrades) -> None:
        """Take what a durable batch did; in the order of sequence."""
        self.time_ns = applied.timestamp_ns
        self._applied_seq = applied.last_seq
        if not (applied.trades or self._part_traded):
            return
        self._part_traded = False
        self._waiting.add(applied)

    def on_part(self, trades: Sequence[object], _updates: Sequence[object]) -> None:
        """Note whether a batch, of which a part is told before it is over, made trades."""
        self._part_traded = self._part_traded or bool(trades)

    def fold(self) -> None:
        """Bring the window up to the last batch applied."""
        self.sequence = self._applied_seq
        waited = self._waiting.take()
        if waited is None:
            return
        events, times = waited
        which = np.flatnonzero(events["kind"] == EventKind.TRADE)
        instruments = events["instrument"][which].astype(np.int64)
        if len(instruments) and instruments.min() != instruments.max():
            order = np.argsort(instruments, kind="stable")
            which, instruments = which[order], instruments[order]
        prices, quantities = events["price_ticks"][which], events["quantity_lots"][which]
        self._add(instruments, times[which] // SECOND_NS, prices, quantities)

    def _add(
        self,
        instruments: NDArray[np.int64],
        seconds: NDArray[np.int64],
        prices: NDArray[np.int64],
        quantities: NDArray[np.int64],
    ) -> None:
        """Fold trades, by instrument and in each by time, into bars."""
        changes = np.union1d(group_starts(instruments), group_starts(seconds))
        made = grouped_candles(seconds[changes], prices, quantities, changes, SECOND_NS)
        rows = zip(
            instruments[changes].tolist(), made.start_ns.tolist(), made.open_ticks.tolist(),
            made.high_ticks.tolist(), made.low_ticks.tolist(), made.close_ticks.tolist(),
            made.volume_lots.tolist(), made.notional.tolist(), made.trade_count.tolist(),
            strict=True,
        )  # fmt: skip
        for instrument, *amounts in rows:
            self._take(instrument, Bar(*amounts))

    def _take(self, instrument: int, bar: Bar) -> None:
        traded = self._traded.get(instrument)
        if traded is None:
            traded = self._traded[instrument] = Traded()
        if self.on_bar is not None:
            self.on_bar(instrument, bar.starting(bar.start_s))
        before = len(traded.rows)
        if traded.rows.add(bar):
            traded.lost(traded.rows.forget_before(bar.start_s - self._window_seconds + 1))
        self.rows += len(traded.rows) - before
        if self.rows > self._rows_max:
            self._shrink()

    def _shrink(self) -> None:
        """Have the instrument with the most bars forget its older half."""
        traded = max(self._traded.values(), key=lambda each: len(each.rows))
        before = len(traded.rows)
        traded.lost(traded.rows.forget(max(1, before // 2)))
        self.rows += len(traded.rows) - before

    # --- what is asked ----------------------------------------------------------------------------

    def candles(self, instrument: int, interval_ns: int, limit: int) -> Candles:
        """The last candles of an instrument, at most `limit`, oldest first; without gaps filled.

        Args:
            instrument: Its number.
            interval_ns: Whole seconds, 1 s to 1 d.
            limit: At least 1.
        """
        return self.between(instrument, interval_ns, limit, 0, FOREVER_S)

    def between(
        self, instrument: int, interval_ns: int, limit: int, start_s: int, end_s: int
    ) -> Candles:
        """The same of the trades from second `start_s` up to and without second `end_s`."""
        self.fold()
        rows = self._rows_since(instrument, start_s)
        rows = rows[: int(np.searchsorted(rows["start_s"], end_s))]
        return merged(rows, interval_ns // SECOND_NS, limit)

    def recent(self, instrument: int, seconds: int) -> Candles:
        """What was traded in the last so many seconds of the commands' time, as at most one candle.

        The second that is running counts; a trade leaves with its second.
        """
        self.fold()
        rows = self._rows_since(instrument, self.time_ns // SECOND_NS - seconds + 1)
        return merged(rows, FOREVER_S, 1)

    def bucket(self, instrument: int, interval_s: int) -> Bar | None:
        """What was traded in the bucket of the newest trade; None where there was none."""
        traded = self._traded.get(instrument)
        if traded is None or traded.rows.last is None:
            return None
        start_s = traded.rows.last.start_s // interval_s * interval_s
        made = merged(traded.rows.since(start_s), interval_s, 1)
        columns = (
            made.open_ticks, made.high_ticks, made.low_ticks, made.close_ticks, made.volume_lots,
            made.notional, made.trade_count,
        )  # fmt: skip
        return Bar(start_s, *(int(each[0]) for each in columns))

    def complete_s(self, instrument: int) -> int | None:
        """Since when an instrument's trades are all there, in seconds; None: from the first."""
        traded = self._traded.get(instrument)
        return traded.complete_s if traded else None

    def is_complete(self, instrument: int, start_s: int) -> bool:
        """Whether every trade of an instrument from that second on is there."""
        traded = self._traded.get(instrument)
        return traded is None or traded.is_complete(start_s)

    def _rows_since(self, instrument: int, start_s: int) -> NDArray[Any]:
        traded = self._traded.get(instrument)
        return (traded.rows if traded else BarRows()).since(start_s)
