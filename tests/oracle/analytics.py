"""Analytics in plain Python: one trade at a time, with integers and fractions, obviously right."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction

Trade = tuple[int, int, int]
"""Time in ns, price in ticks, quantity in lots."""


def candles(trades: list[Trade], interval_ns: int) -> list[dict[str, int]]:
    found: dict[int, dict[str, int]] = {}
    for time, price, lots in trades:
        start = time - time % interval_ns
        candle = found.setdefault(
            start,
            {"start": start, "open": price, "high": price, "low": price, "close": price,
             "volume": 0, "notional": 0, "price_sum": 0, "count": 0},
        )  # fmt: skip
        candle["high"] = max(candle["high"], price)
        candle["low"] = min(candle["low"], price)
        candle["close"] = price
        candle["volume"] += lots
        candle["notional"] += price * lots
        candle["price_sum"] += price
        candle["count"] += 1
    return list(found.values())


def half_even(value: Fraction) -> int:
    """Python's own rounding of a fraction is half-even."""
    return round(value)


@dataclass
class Position:
    net: int = 0
    cost: int = 0
    realized: int = 0
    bought: int = 0
    sold: int = 0
    fills: int = 0
    last: int = -1

    def fill(self, signed: int, price: int, trade: int) -> None:
        """Lot by lot would round differently, so: what is closed at once, then what is opened."""
        self.fills += 1
        self.last = trade
        self.bought += max(signed, 0)
        self.sold += max(-signed, 0)
        if self.net * signed < 0:
            closed = min(abs(signed), abs(self.net))
            removed = int(Fraction(self.cost * closed, abs(self.net)))  # toward zero
            came_in = price * closed * (1 if self.net > 0 else -1)
            self.realized += came_in - removed
            self.cost -= removed
            step = closed if signed > 0 else -closed
            self.net += step
            signed -= step
        self.net += signed
        self.cost += signed * price


def positions(trades: list[tuple[int, int, int, int, int]]) -> dict[tuple[int, int], Position]:
    """Of (price, lots, buyer, seller, instrument), by (instrument, client)."""
    found: dict[tuple[int, int], Position] = defaultdict(Position)
    for number, (price, lots, buyer, seller, instrument) in enumerate(trades):
        found[instrument, buyer].fill(lots, price, number)
        found[instrument, seller].fill(-lots, price, number)
    return dict(sorted(found.items()))


def slippage(levels: list[tuple[int, int]], lots: int) -> tuple[int, int, int, Fraction]:
    """(filled, notional, levels reached, cost beyond the best price), level by level."""
    filled = notional = reached = 0
    for price, shown in levels:
        taken = min(shown, lots - filled)
        if taken <= 0:
            break
        filled, notional, reached = filled + taken, notional + taken * price, reached + 1
    best = levels[0][0] if levels else 0
    return filled, notional, reached, abs(Fraction(notional) - best * filled)
