"""Flows for the matching core's figures, made beforehand with NumPy.

`challenge` follows the public matching-engine challenge (flash1-dev/matching-engine-benchmark),
whose files it was measured on: 15% of the new orders are IOC; of the others 95% are cancelled,
mostly within a message or two, and 20% are modified before; quantities from 1 to 100; the middle is
fixed, or swings by up to 60%. `liquibook` is the workload that Liquibook publishes its figures of:
sides in turn, ten prices each, orders added and nothing else.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from novate.model.commands import COMMAND, CommandKind, Flag, OrderType, Side, TimeInForce

Commands = NDArray[np.void]

MIDDLE = 33_500
SWINGS = {"fixed": 0.0, "0.1%": 0.001, "1%": 0.01, "10%": 0.1, "60%": 0.6}
"""How far the middle goes from where it began, as a part of it."""

IOC, CANCELLED, MODIFIED = 0.15, 0.95, 0.20
LATER = 0.55
"""Chance that a cancel or a modification comes at the next message: the median is one."""


def challenge(orders: int, swing: float, seed: int = 23) -> Commands:
    """About 1.97 messages for each of `orders` new orders, of one instrument."""
    chance = np.random.default_rng(seed)
    placed = _placed(chance, orders, swing)
    ioc = chance.random(orders) < IOC
    placed["time_in_force"] = np.where(ioc, TimeInForce.IOC, TimeInForce.GTC)
    born = np.arange(orders, dtype=np.float64)
    modified = np.flatnonzero(~ioc & (chance.random(orders) < MODIFIED))
    cancelled = np.flatnonzero(~ioc & (chance.random(orders) < CANCELLED))
    modified_at = born[modified] + chance.geometric(LATER, len(modified)) - 0.7
    cancelled_at = born[cancelled] + chance.geometric(LATER, len(cancelled)) - 0.4
    times = np.concatenate([born, modified_at, cancelled_at])
    amends = _amends(chance, placed[modified])
    cancels = _cancels(placed["order_number"][cancelled])
    rows = np.zeros(len(times), COMMAND)
    rows[:orders] = placed
    rows[orders : orders + len(amends)] = amends
    rows[orders + len(amends) :] = cancels
    return np.ascontiguousarray(rows[np.argsort(times, kind="stable")])


def _placed(chance: np.random.Generator, orders: int, swing: float) -> Commands:
    rows = np.zeros(orders, COMMAND)
    rows["kind"] = CommandKind.PLACE
    rows["order_type"] = OrderType.LIMIT
    rows["side"] = chance.integers(0, 2, orders)
    rows["client"] = chance.integers(0, 1000, orders)
    rows["order_number"] = np.arange(1, orders + 1)
    rows["quantity_lots"] = chance.integers(1, 101, orders)
    phase = np.linspace(0, 12 * np.pi, orders)
    middle = MIDDLE * (1 + swing * np.sin(phase) * np.sin(phase / 7))
    away = np.where(rows["side"] == Side.BUY, -8.0, 8.0)
    rows["price_ticks"] = np.maximum(1, middle + away + chance.normal(0, 20, orders))
    return rows


def _amends(chance: np.random.Generator, placed: Commands) -> Commands:
    """Each to the same price and another quantity, which loses its place where it is larger."""
    rows = np.zeros(len(placed), COMMAND)
    rows["kind"] = CommandKind.AMEND
    rows["flags"] = Flag.SET_PRICE | Flag.SET_QUANTITY
    rows["order_number"] = placed["order_number"]
    rows["price_ticks"] = placed["price_ticks"]
    rows["quantity_lots"] = chance.integers(1, 101, len(placed))
    return rows


def _cancels(numbers: NDArray[np.integer]) -> Commands:
    rows = np.zeros(len(numbers), COMMAND)
    rows["kind"] = CommandKind.CANCEL
    rows["order_number"] = numbers
    return rows


def liquibook(orders: int, seed: int = 1) -> Commands:
    """Buyers at 1880 to 1889 and sellers at 1884 to 1893 in turn, 100 to 1,000 lots."""
    chance = np.random.default_rng(seed)
    rows = np.zeros(orders, COMMAND)
    rows["kind"] = CommandKind.PLACE
    rows["side"] = np.arange(orders) % 2
    rows["order_number"] = np.arange(1, orders + 1)
    lowest = np.where(rows["side"] == Side.BUY, 1880, 1884)
    rows["price_ticks"] = lowest + chance.integers(0, 10, orders)
    rows["quantity_lots"] = chance.integers(1, 11, orders) * 100
    return rows


def resting(orders: int, levels: int, middle: int = 10_000_000, seed: int = 5) -> Commands:
    """Orders on both sides of a middle, evenly over `levels` levels a side."""
    chance = np.random.default_rng(seed)
    rows = np.zeros(orders, COMMAND)
    rows["kind"] = CommandKind.PLACE
    rows["side"] = chance.integers(0, 2, orders)
    rows["client"] = chance.integers(0, 1000, orders)
    rows["order_number"] = np.arange(1, orders + 1)
    rows["quantity_lots"] = chance.integers(1, 101, orders)
    away = 1 + np.arange(orders) % levels
    rows["price_ticks"] = middle + np.where(rows["side"] == Side.BUY, -away, away)
    return rows


def churn(
    book: Commands, count: int, near: int | None = None, middle: int = 10_000_000, seed: int = 6
) -> Commands:
    """New orders and cancels in turn: any resting order is cancelled, the new one stands `near`
    levels from the best, or anywhere in the book; so that as many rest after it as before.
    """
    chance = np.random.default_rng(seed)
    levels = int(np.abs(book["price_ticks"].astype(np.int64) - middle).max())
    rows = np.zeros(2 * count, COMMAND)
    fresh = rows[0::2]
    fresh["kind"] = CommandKind.PLACE
    fresh["side"] = chance.integers(0, 2, count)
    fresh["client"] = chance.integers(0, 1000, count)
    fresh["order_number"] = len(book) + np.arange(1, count + 1)
    fresh["quantity_lots"] = chance.integers(1, 101, count)
    away = 1 + chance.integers(0, min(levels, near or levels), count)
    fresh["price_ticks"] = middle + np.where(fresh["side"] == Side.BUY, -away, away)
    rows[0::2] = fresh
    order = chance.permutation(len(book) + count)[:count] + 1
    born = np.maximum(0, order - len(book))  # an order is cancelled after it was placed
    late = born > np.arange(1, count + 1)
    order[late] = chance.integers(1, len(book) + 1, int(late.sum()))
    rows["kind"][1::2] = CommandKind.CANCEL
    rows["order_number"][1::2] = order
    return rows


def over_instruments(rows: Commands, instruments: int, seed: int = 9) -> Commands:
    """The same orders spread over instruments by a Pareto law: few get most of them."""
    chance = np.random.default_rng(seed)
    spread = rows.copy()
    numbers = np.minimum(chance.pareto(1.16, len(rows)) * 20, instruments - 1)
    order = chance.permutation(instruments)
    spread["instrument"] = order[numbers.astype(np.int64)]
    return spread
