"""Measures of an order book at one moment, from arrays of its price levels.

A side is two columns, best level first: prices in ticks (bids falling, asks rising) and the
quantity shown there, lots over 0. An empty side is two empty columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from novate.analytics.exact import Int64s, columns, sums, sums_of_products

_WHOLE: Final = np.zeros(1, np.int64)


@dataclass(frozen=True, slots=True)
class Spread:
    """The quoted spread.

    Attributes:
        bid_ticks, ask_ticks: Best prices.
        ticks: Ask less bid: the absolute spread; 0 or below only in a book that is no continuous
            market's (an auction's).
        mid_twice_ticks: Bid plus ask: twice the middle, so that it is an integer.
        relative: Spread over the middle (2 x (ask - bid) / (ask + bid)), a ratio, float64; NaN
            where the middle is 0.
    """

    bid_ticks: int
    ask_ticks: int

    @property
    def ticks(self) -> int:
        """Ask less bid."""
        return self.ask_ticks - self.bid_ticks

    @property
    def mid_twice_ticks(self) -> int:
        """Bid plus ask."""
        return self.bid_ticks + self.ask_ticks

    @property
    def relative(self) -> float:
        """Spread over the middle."""
        middle = self.mid_twice_ticks
        return 2 * self.ticks / middle if middle else float("nan")


@dataclass(frozen=True, slots=True)
class Depth:
    """What stands on one side of a book, up to some level.

    Attributes:
        levels: Price levels.
        lots: Their quantity, exact.
        notional: Sum of price times quantity, in ticks times lots, exact.
    """

    levels: int
    lots: int
    notional: int


@dataclass(frozen=True, slots=True)
class Slippage:
    """What a market order would get.

    Attributes:
        filled_lots: What would be filled, at most what the book has.
        unfilled_lots: The rest.
        notional: Sum of price times quantity of what is filled, in ticks times lots, exact.
        levels: Price levels it would reach.
        worst_ticks: Price of the last of them; None where nothing is filled.
        slippage: What it costs beyond the best price, in ticks times lots, exact, never below 0:
            |notional - best price x filled lots|.
        average_slippage_ticks: That for each lot, ticks, float64: a statistic; NaN where nothing is
            filled.
    """

    filled_lots: int
    unfilled_lots: int
    notional: int
    levels: int
    worst_ticks: int | None
    slippage: int

    @property
    def average_slippage_ticks(self) -> float:
        """Slippage for each lot."""
        return self.slippage / self.filled_lots if self.filled_lots else float("nan")


def spread(bid_ticks: Any, ask_ticks: Any) -> Spread | None:
    """The quoted spread of a book, None where a side is empty.

    Args:
        bid_ticks: Prices of the bids, ticks, highest first.
        ask_ticks: Prices of the asks, ticks, lowest first.
    """
    (bids,), (asks,) = columns(bid_ticks=bid_ticks), columns(ask_ticks=ask_ticks)
    if not len(bids) or not len(asks):
        return None
    return Spread(int(bids[0]), int(asks[0]))


def depth_within(
    price_ticks: Any,
    quantity_lots: Any,
    *,
    levels: int | None = None,
    distance_ticks: int | None = None,
) -> Depth:
    """How much stands on a side: in its first levels, within a distance of its best, or both.

    Args:
        price_ticks: Prices of the side, ticks, best first.
        quantity_lots: What is shown at each, lots.
        levels: So many levels at most; None: all.
        distance_ticks: So far from the best price at most, itself in it; None: any distance.
    """
    prices, quantities = columns(price_ticks=price_ticks, quantity_lots=quantity_lots)
    count = len(prices) if levels is None else min(levels, len(prices))
    if distance_ticks is not None and len(prices):
        near = int(np.searchsorted(np.abs(prices - prices[0]), distance_ticks, side="right"))
        count = min(count, near)
    if count <= 0:
        return Depth(0, 0, 0)
    prices, quantities = prices[:count], quantities[:count]
    notional = sums_of_products(prices, quantities, _WHOLE)[0]
    return Depth(count, int(sums(quantities, _WHOLE)[0]), int(notional))


def imbalance(bid_lots: int, ask_lots: int) -> float:
    """Order book imbalance: (bids - asks) / (bids + asks); a ratio, float64, from -1 to 1.

    Over 0: more is bid for than is offered. 0.0 for an empty book.

    Source: R. Cont, A. Kukanov, S. Stoikov, "The price impact of order book events", Journal of
    Financial Econometrics 12 (2014); as a ratio of depths in M. Gould and J. Bonart, "Queue
    imbalance as a one-tick-ahead price predictor" (2016), equation 1.

    Args:
        bid_lots: Depth of the bids, lots.
        ask_lots: Depth of the asks, over as many levels or as far.
    """
    total = bid_lots + ask_lots
    return (bid_lots - ask_lots) / total if total else 0.0


def slippage(price_ticks: Any, quantity_lots: Any, order_lots: int) -> Slippage:
    """What a market order of `order_lots` would get of this side of a book, level by level.

    Args:
        price_ticks: Prices of the side it takes from (asks for a buyer), ticks, best first.
        quantity_lots: What is shown at each, lots; what icebergs hide is not known here.
        order_lots: The order's quantity, lots, at least 0.
    """
    prices, quantities = columns(price_ticks=price_ticks, quantity_lots=quantity_lots)
    if order_lots < 0:
        raise ValueError(f"order_lots: expected at least 0, got {order_lots}")
    taken = _taken(quantities, order_lots)
    reached = len(taken)
    if not reached:
        return Slippage(0, order_lots, 0, 0, None, 0)
    prices = prices[:reached]
    notional = int(sums_of_products(prices, taken, _WHOLE)[0])
    filled = int(sums(taken, _WHOLE)[0])
    cost = abs(notional - int(prices[0]) * filled)
    return Slippage(filled, order_lots - filled, notional, reached, int(prices[-1]), cost)


def _taken(quantities: Int64s, order_lots: int) -> Int64s:
    """What is taken of each level that is reached."""
    taken = []
    for shown in quantities.tolist():
        if order_lots <= 0:
            break
        taken.append(min(shown, order_lots))
        order_lots -= shown
    return np.array(taken, np.int64)
