"""The flow of the engine's own bench, made beforehand with NumPy and the plainest of loops.

40% new limit orders, 45% cancels, 15% marketable orders, around a price that walks; about 100,000
orders rest all the while. New orders stand off the price by an exponential distance; marketable
ones take a third of a resting order on average; four cancels in forty-five name an order that has
gone already, as happens where many clients act at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from novate.model.commands import COMMAND, CommandKind, OrderType, Side, TimeInForce

RESTING = 100_000
GONE = 80_000
"""Orders that a client still thinks open though they were filled: cancels of them come too late.
With so many from the start, as many orders rest at the end of the flow as at its beginning."""

NEW, CANCEL = 0.40, 0.45
LATE_CANCEL = 0.05
CLIENTS = 1_000
MIDDLE_TICKS = 1_000_000
WALK_TICKS_MAX = 300
DISTANCE_TICKS_MEAN = 60.0
THROUGH_TICKS = 2_000
LOTS_MAX = 100
MARKETABLE_LOTS_MAX = 33


def make_flow(count: int, seed: int = 1) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """(commands that fill the book, `count` commands to be timed): arrays of COMMAND."""
    chance = np.random.default_rng(seed)
    filling = _new_orders(chance, np.full(RESTING, MIDDLE_TICKS), first_number=1)
    timed = _timed(chance, count, RESTING + GONE)
    return filling, timed


def _new_orders(
    chance: np.random.Generator, middles: NDArray[np.int64], first_number: int
) -> NDArray[np.void]:
    count = len(middles)
    orders = np.zeros(count, dtype=COMMAND)
    orders["kind"] = CommandKind.PLACE
    orders["order_type"] = OrderType.LIMIT
    orders["time_in_force"] = TimeInForce.GTC
    orders["side"] = chance.integers(0, 2, count)
    orders["client"] = chance.integers(0, CLIENTS, count)
    orders["order_number"] = np.arange(first_number, first_number + count)
    orders["quantity_lots"] = chance.integers(1, LOTS_MAX + 1, count)
    distance = 1 + chance.exponential(DISTANCE_TICKS_MEAN, count).astype(np.int64)
    orders["price_ticks"] = middles + np.where(orders["side"] == Side.BUY, -distance, distance)
    return orders


def _timed(chance: np.random.Generator, count: int, resting: int) -> NDArray[np.void]:
    middles = MIDDLE_TICKS + _walk(chance, count)
    commands = _new_orders(chance, middles, first_number=resting + 1)
    drawn = chance.random(count)
    marketable = drawn >= NEW + CANCEL
    through = np.where(commands["side"] == Side.BUY, THROUGH_TICKS, -THROUGH_TICKS)
    commands["time_in_force"][marketable] = TimeInForce.IOC
    commands["price_ticks"][marketable] = (middles + through)[marketable]
    sizes = chance.integers(1, MARKETABLE_LOTS_MAX + 1, count)
    commands["quantity_lots"][marketable] = sizes[marketable]
    cancels = (drawn >= NEW) & ~marketable
    _aim_cancels(chance, commands, cancels, drawn < NEW, resting)
    return commands


def _walk(chance: np.random.Generator, count: int) -> NDArray[np.int64]:
    """A walk of one tick every fiftieth command, turned back at its bounds."""
    steps = chance.choice(np.repeat(np.array([-1, 0, 1]), (1, 98, 1)), count)
    path = (np.cumsum(steps) + WALK_TICKS_MAX) % (4 * WALK_TICKS_MAX)
    folded: NDArray[np.int64] = np.abs(path - 2 * WALK_TICKS_MAX) - WALK_TICKS_MAX
    return folded


def _aim_cancels(
    chance: np.random.Generator,
    commands: NDArray[np.void],
    cancels: NDArray[np.bool_],
    news: NDArray[np.bool_],
    resting: int,
) -> None:
    """Give each cancel an order: one of those placed and not cancelled yet, or a late one."""
    numbers = commands["order_number"].tolist()
    picks = chance.random(len(commands)).tolist()
    late = (chance.random(len(commands)) < LATE_CANCEL / CANCEL).tolist()
    live = list(range(1, resting + 1))
    last_cancelled = 1
    targets = []
    for number, is_new, is_cancel, pick, is_late in zip(
        numbers, news.tolist(), cancels.tolist(), picks, late, strict=True
    ):
        if is_new:
            live.append(number)
        elif is_cancel and not is_late:
            at = int(pick * len(live))
            last_cancelled, live[at] = live[at], live[-1]
            live.pop()
        if is_cancel:
            targets.append(last_cancelled)
    blank = np.zeros(len(targets), dtype=COMMAND)
    blank["kind"] = CommandKind.CANCEL
    blank["order_number"] = targets
    commands[cancels] = blank
