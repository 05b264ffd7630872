"""Statistics over trades: weighted price, a window's figures, volatility, ratios, markouts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from novate.analytics.exact import columns, sums, sums_of_products

YEAR_NS: Final = 31_557_600 * 10**9
"""A year of 365.25 days of 24 hours: a venue that never closes trades in all of it."""

BASIS_POINTS: Final = 10_000.0

Floats = NDArray[np.float64]
_WHOLE: Final = np.zeros(1, np.int64)


@dataclass(frozen=True, slots=True)
class WindowStatistics:
    """What was traded in a window of time; prices None where nothing was.

    Attributes:
        trade_count: Number of trades.
        volume_lots: Quantity traded, exact.
        notional: Sum of price times quantity, in ticks times lots, exact; over `volume_lots` it is
            the VWAP.
        open_ticks, high_ticks, low_ticks, last_ticks: First, dearest, cheapest and last price.
    """

    trade_count: int = 0
    volume_lots: int = 0
    notional: int = 0
    open_ticks: int | None = None
    high_ticks: int | None = None
    low_ticks: int | None = None
    last_ticks: int | None = None

    @property
    def change_ticks(self) -> int | None:
        """Last price less the first, in ticks."""
        if self.last_ticks is None or self.open_ticks is None:
            return None
        return self.last_ticks - self.open_ticks


def vwap(price_ticks: Any, quantity_lots: Any) -> tuple[int, int]:
    """The volume-weighted average price as an exact fraction (numerator, denominator).

    VWAP = sum(price x quantity) / sum(quantity).

    Args:
        price_ticks: Price of each trade, ticks.
        quantity_lots: Its quantity, lots.

    Returns:
        (sum of price times quantity in ticks times lots, sum of lots); (0, 0) without trades.
    """
    prices, quantities = columns(price_ticks=price_ticks, quantity_lots=quantity_lots)
    if not len(prices):
        return 0, 0
    return int(sums_of_products(prices, quantities, _WHOLE)[0]), int(sums(quantities, _WHOLE)[0])


def window_statistics(
    timestamp_ns: Any, price_ticks: Any, quantity_lots: Any, end_ns: int, window_ns: int
) -> WindowStatistics:
    """The figures of the trades with `end_ns - window_ns < time <= end_ns`.

    Args:
        timestamp_ns: Time of each trade, ns since 1970 UTC, never going back.
        price_ticks: Its price, ticks.
        quantity_lots: Its quantity, lots.
        end_ns: End of the window, itself in it.
        window_ns: Length of the window; 24 hours for a ticker.
    """
    times, prices, quantities = columns(
        timestamp_ns=timestamp_ns, price_ticks=price_ticks, quantity_lots=quantity_lots
    )
    first = int(np.searchsorted(times, end_ns - window_ns, side="right"))
    last = int(np.searchsorted(times, end_ns, side="right"))
    if first >= last:
        return WindowStatistics()
    prices, quantities = prices[first:last], quantities[first:last]
    notional, volume = vwap(prices, quantities)
    return WindowStatistics(
        trade_count=last - first,
        volume_lots=volume,
        notional=notional,
        open_ticks=int(prices[0]),
        high_ticks=int(prices.max()),
        low_ticks=int(prices.min()),
        last_ticks=int(prices[-1]),
    )


def realized_volatility(
    price_ticks: Any, interval_ns: int | None = None, year_ns: int = YEAR_NS
) -> float:
    """Realized volatility of a series of prices: a statistic, float64; 0.0 under two prices.

    sigma = sqrt(sum of r_i squared), r_i = ln(p_i / p_(i-1)): the square root of the realized
    variance. Annualised, it is multiplied by sqrt(year / (interval x n)), n the number of returns.
    The mean is not taken off: over short intervals it is next to nothing, and its estimate noise.

    Source: T. Andersen, T. Bollerslev, F. Diebold, P. Labys, "Modeling and Forecasting Realized
    Volatility", Econometrica 71 (2003), section 2.

    Args:
        price_ticks: Prices at equal distances in time, ticks, over 0 (closes of `with_gaps`).
        interval_ns: That distance; None: not annualised, over the whole series.
        year_ns: What counts as a year; default 365.25 days.

    Raises:
        ValueError: a price is not over 0.
    """
    (prices,) = columns(price_ticks=price_ticks)
    if len(prices) < 2:
        return 0.0
    if int(prices.min()) <= 0:
        raise ValueError(f"price_ticks: expected over 0, got {int(prices.min())}")
    returns = np.diff(np.log(prices.astype(np.float64)))
    variance = float(np.dot(returns, returns))
    if interval_ns is not None:
        variance *= year_ns / (interval_ns * len(returns))
    return math.sqrt(variance)


def order_to_trade_ratio(orders: int, amendments: int, cancels: int, trades: int) -> float | None:
    """Messages about orders for each trade, less one: a statistic, float64; None without trades.

    OTR = (orders + amendments + cancels) / trades - 1, in numbers (not in volume).

    Source: Commission Delegated Regulation (EU) 2017/566 (RTS 9), article 3, by number: an order
    counts 1, an amendment and a cancel are counted as messages of their own.
    """
    if trades <= 0:
        return None
    return (orders + amendments + cancels) / trades - 1.0


def effective_spread(price_ticks: Any, taker_sign: Any, mid_twice_ticks: Any) -> Floats:
    """Effective spread of each trade: what its taker paid beyond the middle, twice; float64, ticks.

    ES = 2 x D x (P - M), D = +1 for a buying taker and -1 for a selling one, P the price, M the
    middle of the book just before the trade. Below 0 where the taker got better than the middle.

    Source: R. Huang and H. Stoll, "Dealer versus auction markets", Journal of Financial Economics
    41 (1996), section 4.

    Args:
        price_ticks: Price of each trade, ticks.
        taker_sign: +1 where the taker bought, -1 where it sold, 0 in an auction (its spread is 0).
        mid_twice_ticks: Best bid plus best ask before it, ticks: twice the middle, so an integer.
    """
    prices, signs, mids = columns(
        price_ticks=price_ticks, taker_sign=taker_sign, mid_twice_ticks=mid_twice_ticks
    )
    return (signs * (2 * prices - mids)).astype(np.float64)


def markouts(
    trade_time_ns: Any,
    price_ticks: Any,
    taker_sign: Any,
    mid_time_ns: Any,
    mid_twice_ticks: Any,
    horizon_ns: int,
) -> Floats:
    """How far the middle stands from each trade's price a time later, for its taker; float64.

    Markout = D x (M(t + h) - P), in ticks; over 0: the market went the taker's way, and against the
    maker. M(t + h) is the last middle at or before that time; NaN where the series ends before it
    (it can't be known whether the middle moved again) or begins after.

    Source: the "realized spread" of R. Huang and H. Stoll (1996), section 4, is -2 x markout.

    Args:
        trade_time_ns: Time of each trade, ns.
        price_ticks: Its price, ticks.
        taker_sign: +1 where the taker bought, -1 where it sold.
        mid_time_ns: Times of the changes of the middle, ns, never going back.
        mid_twice_ticks: Best bid plus best ask from that time on, ticks.
        horizon_ns: h, not below 0.
    """
    times, prices, signs = columns(
        trade_time_ns=trade_time_ns, price_ticks=price_ticks, taker_sign=taker_sign
    )
    changed, mids = columns(mid_time_ns=mid_time_ns, mid_twice_ticks=mid_twice_ticks)
    if horizon_ns < 0:
        raise ValueError(f"horizon_ns: expected at least 0, got {horizon_ns}")
    found = np.full(len(times), np.nan)
    if not len(changed):
        return found
    at = np.searchsorted(changed, times + horizon_ns, side="right") - 1
    known = (at >= 0) & (times + horizon_ns <= changed[-1])
    moved = signs[known] * (mids[at[known]] - 2 * prices[known])
    found[known] = moved / 2.0
    return found
