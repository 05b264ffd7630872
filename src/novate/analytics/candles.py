"""Candles: what was traded in each interval of time, from arrays of trades.

A bucket begins at a whole multiple of the interval since 1970-01-01T00:00Z (so that days begin at
00:00 UTC) and holds the trades from its beginning up to, and not including, its end. A bucket
without a trade has no candle; `with_gaps` puts in flat ones of volume 0 for those who want them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from novate.analytics.exact import Int64s, Integers, columns, sums, sums_of_products

SECOND_NS: Final = 10**9
MINUTE_NS: Final = 60 * SECOND_NS
DAY_NS: Final = 86_400 * SECOND_NS
GAPS_MAX: Final = 10_000_000
"""Most candles that `with_gaps` makes."""


class TimeOrderError(ValueError):
    """Trades that are not in the order of their times."""


@dataclass(frozen=True, slots=True)
class Candles:
    """Candles of one instrument, oldest first; columns of one length.

    Attributes:
        interval_ns: Length of a bucket.
        start_ns: Beginning of each bucket, ns since 1970 UTC (int64).
        open_ticks, high_ticks, low_ticks, close_ticks: Prices of the first, the dearest, the
            cheapest and the last trade (int64).
        volume_lots: Quantity traded (Python integers: exact beyond 64 bits).
        notional: Sum of price times quantity, in ticks times lots (Python integers).
        price_sum_ticks: Sum of the prices, for the unweighted average (Python integers).
        trade_count: Number of trades (int64).
    """

    interval_ns: int
    start_ns: Int64s
    open_ticks: Int64s
    high_ticks: Int64s
    low_ticks: Int64s
    close_ticks: Int64s
    volume_lots: Integers
    notional: Integers
    price_sum_ticks: Integers
    trade_count: Int64s

    def __len__(self) -> int:
        return len(self.start_ns)

    def vwap_ticks(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Volume-weighted average price, ticks, float64, NaN without volume: a statistic.

        VWAP = sum(price x quantity) / sum(quantity). The exact quotient is `notional` over
        `volume_lots`; `novate.analytics.decimals.Amounts.average` rounds that.
        """
        pairs = zip(self.notional.tolist(), self.volume_lots.tolist(), strict=True)
        return np.array([top / below if below else np.nan for top, below in pairs], np.float64)

    def take(self, which: slice) -> Candles:
        """Some of them."""
        return dataclasses.replace(self, **{name: getattr(self, name)[which] for name in COLUMNS})


COLUMNS: Final = tuple(each.name for each in dataclasses.fields(Candles))[1:]


def candles(
    timestamp_ns: Any, price_ticks: Any, quantity_lots: Any, interval_ns: int = MINUTE_NS
) -> Candles:
    """The candles of trades in the order in which they happened.

    Args:
        timestamp_ns: Time of each trade, ns since 1970 UTC, never going back.
        price_ticks: Its price, ticks.
        quantity_lots: Its quantity, lots, over 0.
        interval_ns: Length of a bucket, over 0; any length, a second to a day being usual.

    Raises:
        TimeOrderError: a time is before the one before it.
        ValueError: the columns differ in length or are no integers, or the interval is not over 0.
    """
    times, prices, quantities = columns(
        timestamp_ns=timestamp_ns, price_ticks=price_ticks, quantity_lots=quantity_lots
    )
    if interval_ns <= 0:
        raise ValueError(f"interval_ns: expected over 0, got {interval_ns}")
    if len(times) and bool((times[1:] < times[:-1]).any()):
        at = int(np.argmax(times[1:] < times[:-1])) + 1
        expected = f"expected times that never go back, got {times[at]} after {times[at - 1]}"
        raise TimeOrderError(f"{expected} (trade {at})")
    starts = group_starts(times // interval_ns)
    start_ns = times[starts] // interval_ns * interval_ns
    return grouped_candles(start_ns, prices, quantities, starts, interval_ns)


def grouped_candles(
    start_ns: Int64s, prices: Int64s, quantities: Int64s, starts: Int64s, interval_ns: int
) -> Candles:
    """A candle for each group of trades, whatever it is that makes them a group.

    Args:
        start_ns: Beginning of each group's bucket, ns.
        prices: Price of each trade, ticks.
        quantities: Its quantity, lots.
        starts: Where each group begins among the trades; no group is empty.
        interval_ns: Length of a bucket.
    """
    return Candles(
        interval_ns=interval_ns,
        start_ns=start_ns,
        open_ticks=prices[starts],
        high_ticks=_reduced(np.maximum, prices, starts),
        low_ticks=_reduced(np.minimum, prices, starts),
        close_ticks=prices[np.append(starts[1:], len(prices))[: len(starts)] - 1],
        volume_lots=sums(quantities, starts),
        notional=sums_of_products(prices, quantities, starts),
        price_sum_ticks=sums(prices, starts),
        trade_count=np.diff(starts, append=len(prices)).astype(np.int64),
    )


def join_candles(earlier: Candles, later: Candles) -> Candles:
    """Candles of one interval, one after the other; `merge_candles` puts equal buckets together."""
    if earlier.interval_ns != later.interval_ns:
        expected = f"expected candles of {earlier.interval_ns} ns"
        raise ValueError(f"{expected}, got {later.interval_ns}")
    joined = {
        name: np.concatenate((getattr(earlier, name), getattr(later, name))) for name in COLUMNS
    }
    return Candles(earlier.interval_ns, **joined)


def merge_candles(finer: Candles, interval_ns: int) -> Candles:
    """Candles of a longer interval from those of a shorter one.

    Args:
        finer: Candles in the order of time, whose interval divides `interval_ns`.
        interval_ns: Length of the longer bucket.

    Returns:
        What `candles` gives of the trades themselves.

    Raises:
        ValueError: the shorter interval does not divide the longer.
    """
    if interval_ns <= 0 or interval_ns % finer.interval_ns:
        expected = f"expected an interval that {finer.interval_ns} ns divides"
        raise ValueError(f"{expected}, got {interval_ns}")
    starts = group_starts(finer.start_ns // interval_ns)
    ends = np.append(starts[1:], len(finer))[: len(starts)] - 1
    return Candles(
        interval_ns=interval_ns,
        start_ns=finer.start_ns[starts] // interval_ns * interval_ns,
        open_ticks=finer.open_ticks[starts],
        high_ticks=_reduced(np.maximum, finer.high_ticks, starts),
        low_ticks=_reduced(np.minimum, finer.low_ticks, starts),
        close_ticks=finer.close_ticks[ends],
        volume_lots=_added(finer.volume_lots, starts),
        notional=_added(finer.notional, starts),
        price_sum_ticks=_added(finer.price_sum_ticks, starts),
        trade_count=_reduced(np.add, finer.trade_count, starts),
    )


def with_gaps(found: Candles, first_ns: int | None = None, end_ns: int | None = None) -> Candles:
    """The same with a candle for every bucket: one without a trade is flat at the close before.

    Args:
        found: Candles as `candles` gives them.
        first_ns: Beginning of the first bucket wanted; by default the first candle's. Buckets
            before the first trade have no price and stay out.
        end_ns: End of the last bucket wanted; by default the last candle's.

    Raises:
        ValueError: more than 10,000,000 candles would be made.
    """
    if not len(found):
        return found
    interval = found.interval_ns
    first = max(int(found.start_ns[0]), first_ns if first_ns is not None else -(2**63))
    first = first // interval * interval
    end = end_ns if end_ns is not None else int(found.start_ns[-1]) + interval
    count = max(0, -((first - end) // interval))
    if count > GAPS_MAX:
        raise ValueError(f"expected at most {GAPS_MAX} candles, got {count}")
    start_ns = first + interval * np.arange(count, dtype=np.int64)
    at = np.searchsorted(found.start_ns, start_ns, side="right") - 1
    traded = found.start_ns[at] == start_ns
    made = {name: getattr(found, name)[at] for name in COLUMNS}
    for name in ("open_ticks", "high_ticks", "low_ticks"):
        made[name] = np.where(traded, made[name], made["close_ticks"])
    for name in ("volume_lots", "notional", "price_sum_ticks", "trade_count"):
        made[name] = np.where(traded, made[name], 0)
    return Candles(**{**made, "interval_ns": interval, "start_ns": start_ns})


def group_starts(keys: Int64s) -> Int64s:
    """Where each run of equal keys begins."""
    if not len(keys):
        return np.empty(0, np.int64)
    return np.flatnonzero(np.append(True, keys[1:] != keys[:-1])).astype(np.int64)


def _reduced(how: np.ufunc, values: Int64s, starts: Int64s) -> Int64s:
    if not len(starts):
        return np.empty(0, np.int64)
    found: Int64s = how.reduceat(values, starts)
    return found


def _added(values: Integers, starts: Int64s) -> Integers:
    if not len(starts):
        return np.empty(0, object)
    found: Integers = np.add.reduceat(values, starts)
    return found
