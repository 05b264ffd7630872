"""Flows of the matching core that use what few orders use, made beforehand with NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.core_flows import Commands, resting
from novate.model.commands import (
    COMMAND,
    EXTENSION,
    CommandKind,
    Flag,
    OrderType,
    Phase,
    SelfTrade,
    Side,
    TimeInForce,
)

EXTENDED = np.dtype([("head", COMMAND), ("more", EXTENSION)])
"""A command with its extension behind it and no text."""

MIDDLE = 10_000_000
FAR_NS = 10**18


def extended(heads: Commands) -> NDArray[np.void]:
    """The same commands, each with an extension of zeros."""
    rows = np.zeros(len(heads), EXTENDED)
    rows["head"] = heads
    rows["head"]["flags"] |= np.uint8(Flag.EXTENDED)
    return rows


def phase(to: Phase) -> bytes:
    """The change of instrument 0's phase."""
    rows = np.zeros(1, EXTENDED)
    rows["head"]["kind"], rows["head"]["flags"] = CommandKind.SET_PHASE, Flag.EXTENDED
    rows["more"]["phase"] = to
    return bytes(rows.tobytes())


def one(side: Side, quantity: int, number: int, price: int) -> bytes:
    """One limit order."""
    row = np.zeros(1, COMMAND)
    row["kind"], row["side"], row["order_number"] = CommandKind.PLACE, side, number
    row["price_ticks"], row["quantity_lots"] = price, quantity
    return bytes(row.tobytes())


def cascade(stops: int, at_once: bool) -> tuple[bytes, bytes]:
    """Bids and sell stops, and the sale that sets all of the stops off.

    Each stop finds one bid. `at_once`: all wait for one price; else each for the trade of the one
    before it, so that every step triggers the next.
    """
    bids = np.zeros(stops + 1, COMMAND)
    bids["kind"], bids["side"], bids["quantity_lots"] = CommandKind.PLACE, Side.BUY, 1
    bids["order_number"] = 1 + np.arange(stops + 1)
    bids["price_ticks"] = MIDDLE - np.arange(stops + 1)
    waiting = np.zeros(stops, COMMAND)
    waiting["kind"], waiting["side"], waiting["quantity_lots"] = CommandKind.PLACE, Side.SELL, 1
    waiting["order_type"] = OrderType.STOP
    waiting["order_number"] = stops + 2 + np.arange(stops)
    rows = extended(waiting)
    rows["more"]["stop_price_ticks"] = MIDDLE - (0 if at_once else np.arange(stops))
    setting = bids.tobytes() + rows.tobytes()
    return setting, one(Side.SELL, 1, 2 * stops + 2, MIDDLE)


def crossed(orders: int, levels: int) -> Commands:
    """Buyers over and sellers under a middle, evenly over `levels` levels a side."""
    rows = resting(orders, levels, MIDDLE)
    rows["price_ticks"] = 2 * MIDDLE - rows["price_ticks"].astype(np.int64)
    return rows


def marked(orders: int, levels: int, seed: int = 7) -> NDArray[np.void]:
    """Resting orders of which each has something few have.

    A quarter are icebergs, a quarter end at a time, a quarter wait for a stop price, and all of
    them name a group and a self-trade mode.
    """
    chance = np.random.default_rng(seed)
    rows = extended(resting(orders, levels, MIDDLE))
    head, more = rows["head"], rows["more"]
    kind = chance.integers(0, 4, orders)
    more["group"] = 1 + head["client"]
    more["self_trade"] = SelfTrade.CANCEL_OLDEST
    iceberg, timed, waits = kind == 1, kind == 2, kind == 3
    head["quantity_lots"][iceberg] += 10
    more["display_lots"][iceberg] = 10
    head["time_in_force"][timed] = TimeInForce.GTD
    more["expire_ns"][timed] = FAR_NS + chance.integers(0, FAR_NS, int(timed.sum()))
    head["order_type"][waits] = OrderType.STOP_LIMIT
    more["stop_price_ticks"][waits] = head["price_ticks"][waits]
    return rows
