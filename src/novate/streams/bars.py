"""Bars of one second: what the live window keeps of the trades of an instrument.

A second without a trade has none. Amounts are exact: volume and notional are 128 bits, in two
halves each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from novate.analytics.candles import SECOND_NS, Candles, group_starts

ROW: Final = np.dtype(
    [
        ("start_s", "<i8"), ("open", "<i8"), ("high", "<i8"), ("low", "<i8"), ("close", "<i8"),
        ("count", "<i8"), ("volume_low", "<u8"), ("volume_high", "<i8"), ("notional_low", "<u8"),
        ("notional_high", "<i8"),
    ]
)  # fmt: skip
"""A bar as it is kept, 80 bytes; times in seconds, prices in ticks, volume in lots, notional in
ticks times lots."""

ROWS_FIRST: Final = 16
HALF: Final = 64
MASK: Final = (1 << HALF) - 1
QUARTER: Final = 32


@dataclass(slots=True)
class Bar:
    """What was traded in a span of time: one second, or one bucket of a candle."""

    start_s: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    notional: int
    count: int

    def add(self, later: Bar) -> None:
        """Take in what was traded later in the same span."""
        self.high = max(self.high, later.high)
        self.low = min(self.low, later.low)
        self.close = later.close
        self.volume += later.volume
        self.notional += later.notional
        self.count += later.count

    def starting(self, start_s: int) -> Bar:
        """A copy that begins at another time."""
        return Bar(
            start_s, self.open, self.high, self.low, self.close, self.volume, self.notional,
            self.count,
        )  # fmt: skip


class BarRows:
    """The bars of one instrument, oldest first, in one array that grows and forgets its head."""

    __slots__ = ("_end", "_first", "_last", "_rows")

    def __init__(self) -> None:
        self._rows: NDArray[Any] = np.empty(ROWS_FIRST, ROW)
        self._first = self._end = 0
        self._last: Bar | None = None

    def __len__(self) -> int:
        return self._end - self._first

    @property
    def last(self) -> Bar | None:
        """The newest bar; not to be changed."""
        return self._last

    def add(self, bar: Bar) -> int:
        """Take in what was traded in a second, the newest or that after; the rows it made."""
        last = self._last
        if last is not None and bar.start_s <= last.start_s:
            last.add(bar)
            self._write(self._end - 1, last)
            return 0
        if self._end == len(self._rows):
            self._make_room()
        self._last = bar
        self._write(self._end, bar)
        self._end += 1
        return 1

    def _write(self, at: int, bar: Bar) -> None:
        self._rows[at] = (
            bar.start_s, bar.open, bar.high, bar.low, bar.close, bar.count, bar.volume & MASK,
            bar.volume >> HALF, bar.notional & MASK, bar.notional >> HALF,
        )  # fmt: skip

    def _make_room(self) -> None:
        """Twice the room, or the same again where half of it is free at the head."""
        held = self._rows[self._first : self._end]
        size = len(self._rows) if 2 * len(held) <= len(self._rows) else 2 * len(self._rows)
        rows = np.empty(size, ROW)
        rows[: len(held)] = held
        self._rows, self._first, self._end = rows, 0, len(held)

    def forget_before(self, start_s: int) -> int | None:
        """Forget the bars before a time, never the newest; when the last of them began."""
        held = self._rows[self._first : self._end]
        if not len(held) or held[0]["start_s"] >= start_s:
            return None
        return self.forget(int(np.searchsorted(held["start_s"], start_s)))

    def forget(self, count: int) -> int | None:
        """Forget so many of the oldest, never the newest; when the last of them began."""
        count = min(count, len(self) - 1)
        if count <= 0:
            return None
        self._first += count
        return int(self._rows[self._first - 1]["start_s"])

    def since(self, start_s: int) -> NDArray[Any]:
        """The rows from a time on; a view that is good until the next change."""
        held = self._rows[self._first : self._end]
        return held[int(np.searchsorted(held["start_s"], start_s)) :]


def merged(rows: NDArray[Any], interval_s: int, limit: int) -> Candles:
    """The last `limit` candles of bars, of a length in whole seconds."""
    starts = group_starts(rows["start_s"] // interval_s)
    if len(starts) > limit:
        rows = rows[starts[-limit] :]
        starts = starts[-limit:] - starts[-limit]
    if not len(starts):
        none: NDArray[Any] = np.empty(0, np.int64)
        return Candles(interval_s * SECOND_NS, *[none] * 9)
    ends = np.append(starts[1:], len(rows)) - 1
    return Candles(
        interval_ns=interval_s * SECOND_NS,
        start_ns=rows["start_s"][starts] // interval_s * interval_s * SECOND_NS,
        open_ticks=rows["open"][starts],
        high_ticks=np.maximum.reduceat(rows["high"], starts),
        low_ticks=np.minimum.reduceat(rows["low"], starts),
        close_ticks=rows["close"][ends],
        volume_lots=_sums(rows, "volume", starts),
        notional=_sums(rows, "notional", starts),
        price_sum_ticks=np.zeros(len(starts), object),
        trade_count=np.add.reduceat(rows["count"], starts),
    )


def _sums(rows: NDArray[Any], name: str, starts: NDArray[np.int64]) -> NDArray[np.object_]:
    """Exact sums of 128 bits: of the halves, the lower one in quarters that can't overflow."""
    low = rows[f"{name}_low"]
    parts = (rows[f"{name}_high"], low >> np.uint64(QUARTER), low & np.uint64((1 << QUARTER) - 1))
    high, middle, least = (np.add.reduceat(part, starts).astype(object) for part in parts)
    found: NDArray[np.object_] = (high << HALF) + (middle << QUARTER) + least
    return found
