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
- ADVANCE_TIME, SET_RULES, SET_CLIENT_LIMITS, SESSION_OPEN: `TIME_ADVANCED`, `RULES_SET`,
  `CLIENT_LIMITS_SET`, `SESSION_OPENED`, or `COMMAND_REFUSED`.
- SET_CLEARING, SET_MARK, SET_TIER, DEPOSIT, WITHDRAW, SETTLE, MOVE_SETTLEMENT, SET_CUTOFF,
  CORRECT_TRADE: the event of their name, or `COMMAND_REFUSED`; `docs/clearing.md`.
- SKIP_COMMAND: `COMMAND_SKIPPED`; it also stands in the place of a command that was skipped.
- ADOPT_RULES: `RULES_ADOPTED`, or `COMMAND_REFUSED`.
- SET_PHASE, CANCEL_AFTER, KILL, SESSION_CLOSE, SESSIONS_LOST: `docs/matching.md`.

Before all of these stand the events of what was due at the command's time; behind the trades of a
step stand those of the stop orders that it triggered. `docs/matching.md` has every order of events.

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
    ORDER_TRIGGERED = 11
    PHASE_CHANGED = 12
    AUCTION_UNCROSSED = 13
    RULES_SET = 14
    CLIENT_LIMITS_SET = 15
    SESSION_OPENED = 16
    SESSION_CLOSED = 17
    SESSIONS_LOST = 18
    TIMER_SET = 19
    TIMER_EXPIRED = 20
    KILL_SWITCHED = 21
    TIME_ADVANCED = 22
    CLEARING_SET = 23
    MARK_SET = 24
    TIER_SET = 25
    DEPOSITED = 26
    WITHDRAWN = 27
    FEE_CHARGED = 28
    CYCLE_CLOSED = 29
    SETTLEMENT_MOVED = 30
    CUTOFF_SET = 31
    TRADE_BUSTED = 32
    TRADE_CORRECTED = 33
    COMMAND_SKIPPED = 34
    RULES_ADOPTED = 35
    CUTOFF_MISSED = 36


BOOK_KINDS: Final = (
    int(EventKind.ORDER_ACCEPTED),
    int(EventKind.TRADE),
    int(EventKind.ORDER_ENDED),
    int(EventKind.ORDER_AMENDED),
    int(EventKind.ORDER_TRIGGERED),
)
"""Kinds of events that change a book."""

EVENT: Final = np.dtype(
    {
        "names": [
            "seq",  # sequence of the command that caused it
            "kind",  # EventKind
            "side",  # side of `order`; of a TRADE: the taker's side; 255 where none (below: of a
            # TRADE of an auction BUY, and `taker` is the buyer, `order` the seller)
            "order_type",  # OrderType of `order`; of a TRADE 0
            "time_in_force",  # TimeInForce of `order`; of a TRADE 0
            "reason",  # Reason
            "flags",  # Flag bits POST_ONLY, BY_QUOTE and EXTENDED of an ORDER_ACCEPTED or
            # _REJECTED; AUCTION_TRADE of a TRADE in an auction; else 0
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

Beyond orders and trades:

| kind | bears |
|---|---|
| ORDER_TRIGGERED | what an ORDER_AMENDED of the stop order would |
| ORDER_AMENDED with reason SELF_TRADE_PREVENTED | the total and remaining after a decrement |
| PHASE_CHANGED | `instrument`; `index`: the new Phase; `taker_client`: the Phase before; `order`: |
| | when it ends by itself (ns, 0: when told); `reason`: why (128-159; NONE: by the operator) |
| AUCTION_UNCROSSED | `instrument`, `price_ticks`, `quantity_lots`: volume; `remaining_lots`: |
| | surplus, over 0 of buyers; volume and surplus end at +-(2^63-1) |
| RULES_SET | `instrument` |
| CLIENT_LIMITS_SET | `instrument`, `client` |
| SESSION_OPENED | `order`: the session |
| SESSION_CLOSED | `order`: the session; `quantity_lots`: orders that ended with it; `reason` |
| SESSIONS_LOST | `quantity_lots`: sessions that were open |
| TIMER_SET | `client`; `order`: the deadline in ns, 0: none |
| TIMER_EXPIRED | `client`; `quantity_lots`: orders that ended with it |
| KILL_SWITCHED | `client` (0: venue); `index`: KillSwitch bits; `quantity_lots`: orders ended |
| TIME_ADVANCED | nothing |
| CLEARING_SET | `instrument` |
| MARK_SET | `instrument`; `price_ticks`: 0 where the operator sets none |
| TIER_SET | `client`; `quantity_lots`: the tier |
| DEPOSITED, WITHDRAWN | `client`; `instrument`: the asset; the amount (below) |
| FEE_CHARGED | `client`, its `side`, `instrument`; `index`: of the trade; `taker_client`: the |
| | asset; the amount (below), under 0 where it is paid to the client |
| CYCLE_CLOSED | `order`: the cycle's number; `quantity_lots`: its obligations |
| SETTLEMENT_MOVED | `order`: the cycle; `index`: the new state; `taker_client`: the one before; |
| | `quantity_lots`: its obligations |
| CUTOFF_SET | `quantity_lots`: seconds after 00:00 UTC, -1: none |
| CUTOFF_MISSED | `reason`: why no cycle closed at the cut-off; `order`: the number it was to have |
| TRADE_BUSTED | `order`, `index`: seq and index of the trade; `client`: the buyer; |
| | `taker_client`: the seller; `price_ticks`, `quantity_lots` |
| TRADE_CORRECTED | the same of the trade that takes its place; its own id is this `seq`, 0 |
| COMMAND_SKIPPED | `order`: seq of the command that is skipped; its own `seq`: it was this one |
| RULES_ADOPTED | `order`: the version of the rules from the next command on |

An amount is 128 bits of units: the low half in `price_ticks`, the high half in `quantity_lots`.
"""

AUCTION_TRADE: Final = 64
"""Bit of a TRADE's `flags`: an auction made it, so that nobody is maker or taker."""

LEVEL: Final = np.dtype(
    [("price_ticks", "<i8"), ("quantity_lots", "<i8"), ("orders", "<u4"), ("reserved", "<u4")]
)
"""A price level: price, total displayed quantity, number of orders; 24 bytes."""
