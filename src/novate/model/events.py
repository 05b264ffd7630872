"""Events: what happened. Fixed-size records, documented field by field.

For each command the engine writes its events in this order:

- PLACE: `ORDER_ACCEPTED`, a `TRADE` per maker in the order of matching, then `ORDER_ENDED` where a
  rest is left that does not stay in the book (IOC, FOK, market). Or one `ORDER_REJECTED` (a rule of
  the book; the order exists with status rejected), or one `COMMAND_REFUSED`.
- CANCEL: one `ORDER_ENDED` (reason BY_CLIENT), or `COMMAND_REFUSED`.
- AMEND: `ORDER_AMENDED`, then its `TRADE`s if it crosses, or `COMMAND_REFUSED`.
- MASS_CANCEL: an `ORDER_ENDED` (reason MASS_CANCEL) per order, newest order first, then
  `MASS_CANCELLED` with their number.
- CREATE_INSTRUMENT, CONFIGURE, TAKE_SNAPSHOT: `INSTRUMENT_CREATED`, `CONFIGURED`,
  `SNAPSHOT_REQUESTED`, or `COMMAND_REFUSED`.

An order's `order` is its number: the caller's `order_number`, or, where it is named by text, the
seq of the command that placed it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np


class EventKind(IntEnum):
    """What an event says."""

    ORDER_ACCEPTED = 1
    ORDER_REJECTED = 2
    TRADE = 3
    ORDER_ENDED = 4
    ORDER_AMENDED = 5
    COMMAND_REFUSED = 6
    MASS_CANCELLED = 7
    INSTRUMENT_CREATED = 8
    CONFIGURED = 9
    SNAPSHOT_REQUESTED = 10


EVENT: Final = np.dtype(
    {
        "names": [
            "seq",  # sequence of the command that caused it
            "kind",  # EventKind
            "side",  # side of `order`; of a TRADE: the taker's side; 255 where none
            "order_type",  # OrderType of `order`; of a TRADE 0
            "time_in_force",  # TimeInForce of `order`; of a TRADE 0
            "reason",  # Reason
            "flags",  # Flag bits POST_ONLY and BY_QUOTE of an ORDER_ACCEPTED or _REJECTED, else 0
            "instrument",  # dense number
            "index",  # of a TRADE: its place among the command's trades, from 0; else 0
            "order",  # the order's number; of a TRADE: the maker's
            "taker",  # of a TRADE: the taker order's number; else 0
            "client",  # number of the order's client; of a TRADE: the maker's
            "taker_client",  # of a TRADE: the taker's; else 0
            "price_ticks",  # limit price (0: market); of a TRADE: the maker's price
            "quantity_lots",  # accepted/amended/rejected: the order's total; TRADE: traded;
            # ended: the unfilled rest; MASS_CANCELLED: number of orders
            "remaining_lots",  # what `order` has open after the event (maker's, of a TRADE)
        ],
        "formats": [
            "<u8", "u1", "u1", "u1", "u1", "u1", "u1",
            "<u4", "<u4", "<u8", "<u8", "<u4", "<u4", "<i8", "<i8", "<i8",
        ],
        "offsets": [0, 8, 9, 10, 11, 12, 13, 16, 20, 24, 32, 40, 44, 48, 56, 64],
        "itemsize": 72,
    }
)  # fmt: skip
"""An event, little-endian, 72 bytes; bytes 14-15 are zero.

`ORDER_ACCEPTED` bears `remaining_lots` = quantity (0 for a quote quantity order, whose
`quantity_lots` is 0). `ORDER_AMENDED` bears the new price and quantity and the remaining before its
trades. `ORDER_ENDED` bears `remaining_lots` 0 and the unfilled rest (0 for a quote quantity order).
`COMMAND_REFUSED` bears the reason and, where an existing order is concerned, what an event of that
order bears: its shape, price, total and remaining (0 once closed); else zeros and side 255. With
INSTRUMENT_EXISTS it bears the existing `instrument`.
"""

LEVEL: Final = np.dtype(
    [("price_ticks", "<i8"), ("quantity_lots", "<i8"), ("orders", "<u4"), ("reserved", "<u4")]
)
"""A price level: price, total open quantity, number of orders; 24 bytes."""
