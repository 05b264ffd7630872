"""The live window of what clients ask of a market: messages by minute, trades and quotes by second.

As with candles the order path only hands batches over; a few times a second their events are
counted, many at once. Time is the commands' own. Best prices are looked at when a second ends:
before the first batch of a later second is applied, of the instruments that changed in it.

A restart begins with nothing; `complete_from` says since when the window is whole. Its size has
limits: a length of time, and a number of rows for all instruments together; past that the
instrument with the most of them forgets its older half.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from novate.analytics.activity import (
    HORIZONS_S,
    MESSAGES,
    MeanMarkout,
    Messages,
    Quotes,
    TakerSeconds,
    mean_markout,
    messages_of,
    taker_seconds,
)
from novate.analytics.candles import SECOND_NS
from novate.model.commands import Side
from novate.model.events import AUCTION_TRADE, BOOK_KINDS, EventKind
from novate.streams.candle_window import TradeEngine
from novate.streams.sources import AppliedEvents, Timers
from novate.streams.waiting_events import WaitingEvents

MINUTE_S: Final = 60
MESSAGES_WINDOW_S: Final = 86_400
MARKOUTS_WINDOW_S: Final = 3_600

_MOVING: Final = np.isin(np.arange(256), BOOK_KINDS)

Row = list[int]


class QuotedEngine(TradeEngine, Protocol):
    """What the window asks of an engine."""

    def best(self, instrument: int) -> tuple[int, int, int, int]:
        """(bid ticks, bid lots, ask ticks, ask lots) of the best levels; 0: an empty side."""


@dataclass(eq=False, slots=True)
class Kept:
    """The rows of one instrument, each kind oldest first and with its time in front.

    Attributes:
        minutes: A minute, and its count of each of `MESSAGES`.
        seconds: A second, and the other columns of `TakerSeconds`.
        quotes: A second, best bid and best ask at its end, where they became others.
        complete_s: Since when nothing is missing, in seconds since 1970.
    """

    complete_s: int
    minutes: deque[Row] = field(default_factory=deque)
    seconds: deque[Row] = field(default_factory=deque)
    quotes: deque[Row] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self.minutes) + len(self.seconds) + len(self.quotes)

    def forget_before(self, now_s: int) -> None:
        """Forget what is older than the windows; the quote that holds at their begin stays."""
        _drop(self.minutes, (now_s - MESSAGES_WINDOW_S) // MINUTE_S)
        _drop(self.seconds, now_s - MARKOUTS_WINDOW_S)
        while len(self.quotes) > 1 and self.quotes[1][0] <= now_s - MARKOUTS_WINDOW_S:
            self.quotes.popleft()

    def forget_half(self) -> None:
        """Forget the older half of each kind."""
        lost_s = self.complete_s
        for rows, length in ((self.minutes, MINUTE_S), (self.seconds, 1)):
            for _ in range(-(-len(rows) // 2)):
                lost_s = max(lost_s, (rows.popleft()[0] + 1) * length)
        for _ in range(len(self.quotes) // 2):
            self.quotes.popleft()
        self.complete_s = lost_s


class ActivityWindow:
    """The window of one partition. All calls come from the event loop's thread.

    Args:
        timers: The event loop.
        engine: Whose best prices are looked at.
        rows_max: Rows of all instruments together.

    Attributes:
        time_ns: Time of the last command applied.
        sequence: Sequence of the last command counted.
        rows: Rows kept.
    """

    def __init__(self, timers: Timers, engine: QuotedEngine, rows_max: int) -> None:
        self._engine = engine
        self._rows_max = rows_max
        self._kept: dict[int, Kept] = {}
        self._waiting = WaitingEvents(timers, self.fold)
        # Their best prices are looked at when a second ends; at first those of all.
        self._moved = {each.index for each in engine.instruments()}
        self.time_ns = engine.last_timestamp_ns
        self.sequence = self._applied_seq = engine.last_seq
        # Of the second that is running, and of the minute too, some may have gone by.
        self._begin_s = self.time_ns // SECOND_NS + 1 if self.time_ns else 0
        self.rows = 0

    # --- what happened ----------------------------------------------------------------------------

    def before_second(self, _timestamp_ns: int) -> None:
        """A batch of a later second is about to be applied: look at the best prices as they are."""
        self.fold()
        second = self.time_ns // SECOND_NS
        for instrument in self._moved:
            bid, _, ask, _ = self._engine.best(instrument)
            kept = self._of(instrument)
            if not kept.quotes or kept.quotes[-1][1:] != [bid, ask]:
                kept.quotes.append([second, bid, ask])
                self._count(kept, 1)
        self._moved.clear()

    def on_applied(self, applied: AppliedEvents) -> None:
        """Take what a durable batch did; in the order of sequence."""
        self.time_ns = applied.timestamp_ns
        self._applied_seq = applied.last_seq
        self._waiting.add(applied)

    def fold(self) -> None:
        """Count all that was applied."""
        self.sequence = self._applied_seq
        waited = self._waiting.take()
        if waited is None:
            return
        events, times = waited
        kinds, instruments = events["kind"], events["instrument"].astype(np.int64)
        self._moved.update(_distinct(instruments[_MOVING[kinds]]))
        self._count_messages(messages_of(kinds, events["reason"]), instruments, times)
        self._add_trades(events[kinds == EventKind.TRADE], times[kinds == EventKind.TRADE])

    def _count_messages(
        self,
        messages: NDArray[np.int8],
        instruments: NDArray[np.int64],
        times: NDArray[np.int64],
    ) -> None:
        which = np.flatnonzero(messages >= 0)
        keys = instruments[which] << 32 | times[which] // (MINUTE_S * SECOND_NS)
        unique = np.array(_distinct(keys), np.int64)
        groups = np.searchsorted(unique, keys)
        kinds = len(MESSAGES)
        counts = np.bincount(groups * kinds + messages[which], minlength=len(unique) * kinds)
        for key, row in zip(unique.tolist(), counts.reshape(-1, kinds).tolist(), strict=True):
            kept = self._of(key >> 32)
            self._add(kept, kept.minutes, [key & 0xFFFFFFFF, *row])

    def _add_trades(self, trades: NDArray[Any], times: NDArray[np.int64]) -> None:
        signs = np.where(trades["side"] == Side.BUY, 1, -1)
        signs[trades["flags"] & AUCTION_TRADE != 0] = 0
        for instrument in _distinct(trades["instrument"].astype(np.int64)):
            own = trades["instrument"] == instrument
            made = taker_seconds(
                times[own], trades["price_ticks"][own], trades["quantity_lots"][own], signs[own]
            )
            kept = self._of(instrument)
            for row in _rows(made):
                self._add(kept, kept.seconds, row)

    def _of(self, instrument: int) -> Kept:
        kept = self._kept.get(instrument)
        if kept is None:
            kept = self._kept[instrument] = Kept(self._begin_s)
        return kept

    def _add(self, kept: Kept, rows: deque[Row], row: Row) -> None:
        """Add a row to the newest one, if it is of the same time, else behind it."""
        if rows and rows[-1][0] == row[0]:
            rows[-1][1:] = [old + new for old, new in zip(rows[-1][1:], row[1:], strict=True)]
            return
        rows.append(row)
        before = len(kept)
        kept.forget_before(self.time_ns // SECOND_NS)
        self._count(kept, 1 + len(kept) - before)

    def _count(self, kept: Kept, more: int) -> None:
        self.rows += more
        if self.rows > self._rows_max:
            kept = max(self._kept.values(), key=len)
            before = len(kept)
            kept.forget_half()
            self.rows += len(kept) - before

    # --- what is asked ----------------------------------------------------------------------------

    def messages(self, instrument: int, start_s: int) -> Messages:
        """Messages and trades from the minute on that holds a second."""
        self.fold()
        counts = [0] * len(MESSAGES)
        for row in _since(self._of_asked(instrument).minutes, start_s // MINUTE_S):
            counts = [old + new for old, new in zip(counts, row[1:], strict=True)]
        return Messages(*counts)

    def markouts(self, instrument: int, start_s: int) -> tuple[TakerSeconds, list[MeanMarkout]]:
        """Trades from a second on, and their markouts at each of `HORIZONS_S`."""
        self.fold()
        kept = self._of_asked(instrument)
        traded = taken(_since(kept.seconds, start_s))
        quotes = Quotes(*np.array(kept.quotes, np.int64).reshape(-1, 3).T)
        # What a second ended with is known when the next one has begun.
        end_s = self.time_ns // SECOND_NS
        return traded, [mean_markout(traded, quotes, end_s, each) for each in HORIZONS_S]

    def complete_s(self, instrument: int) -> int:
        """Since when nothing of an instrument is missing, in seconds."""
        return self._of_asked(instrument).complete_s

    def _of_asked(self, instrument: int) -> Kept:
        return self._kept.get(instrument) or Kept(self._begin_s)


def _distinct(values: NDArray[np.int64]) -> list[int]:
    """The different ones, ascending; mostly there is one, and then nothing is sorted."""
    if not len(values):
        return []
    if values.min() == values.max():
        return [int(values[0])]
    return [int(each) for each in np.unique(values)]


def _drop(rows: deque[Row], before: int) -> None:
    while rows and rows[0][0] < before:
        rows.popleft()


def _since(rows: deque[Row], first: int) -> Iterable[Row]:
    return itertools.dropwhile(lambda row: row[0] < first, rows)


def _rows(made: TakerSeconds) -> Iterable[Row]:
    each = (
        made.second, made.trades, made.lots, made.notional, made.signed_lots, made.signed_notional,
    )  # fmt: skip
    return map(list, zip(*(column.tolist() for column in each), strict=True))


def taken(rows: Iterable[Row]) -> TakerSeconds:
    """Rows as columns."""
    columns = list(zip(*rows, strict=True)) or [()] * 6
    second, trades = (np.array(each, np.int64) for each in columns[:2])
    wide = (np.array(each, object) for each in columns[2:])
    return TakerSeconds(second, trades, *wide)
