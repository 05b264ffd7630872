"""Reason codes: why an order ended or was refused, and why a command was refused.

One table. Numbers are journaled in events and never change their meaning. Ranges by owner:

    1-31     an order ended (it was accepted before)
    32-63    a rule of the book refused an order: the order exists, with status rejected (422)
    64-95    the registry refused the command: no order came of it
    96-127   an administrative command was refused
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple


class Reason(IntEnum):
    """Reason code of an event; `NONE` where nothing needs a reason."""

    NONE = 0
    # an order ended
    BY_CLIENT = 1
    IMMEDIATE_OR_CANCEL = 2
    FILL_OR_KILL = 3
    BOOK_EXHAUSTED = 4
    QUOTE_QUANTITY_TOO_SMALL = 5
    MASS_CANCEL = 6
    # a rule of the book refused
    POST_ONLY_WOULD_CROSS = 32
    OPEN_ORDERS_LIMIT = 33
    LEVEL_FULL = 34
    PRICE_LEVELS_LIMIT = 35
    # the registry refused
    DUPLICATE_ORDER_ID = 64
    UNKNOWN_ORDER = 65
    ALREADY_CLOSED = 66
    AMEND_QUANTITY_TOO_LOW = 67
    AMEND_WOULD_CROSS = 68
    AMEND_LEVEL_FULL = 69
    IDEMPOTENCY_KEY_REPEATED = 70
    IDEMPOTENCY_KEY_REUSED = 71
    IDEMPOTENCY_WINDOW_FULL = 72
    CLIENTS_LIMIT = 73
    UNKNOWN_INSTRUMENT = 74
    OUT_OF_BOUNDS = 75
    # administrative
    INSTRUMENT_EXISTS = 96
    INSTRUMENTS_LIMIT = 97
    MALFORMED_COMMAND = 98


class ReasonRow(NamedTuple):
    """One row of the table: HTTP status of the answer, and a sentence for people."""

    status: int
    text: str


REASONS: Final[dict[Reason, ReasonRow]] = {
    Reason.NONE: ReasonRow(200, "nothing to say"),
    Reason.BY_CLIENT: ReasonRow(200, "cancelled by its client"),
    Reason.IMMEDIATE_OR_CANCEL: ReasonRow(201, "the rest of an immediate-or-cancel order"),
    Reason.FILL_OR_KILL: ReasonRow(201, "a fill-or-kill order that can't be filled whole"),
    Reason.BOOK_EXHAUSTED: ReasonRow(201, "the book held no more for this market order"),
    Reason.QUOTE_QUANTITY_TOO_SMALL: ReasonRow(201, "the quote quantity is worth under one lot"),
    Reason.MASS_CANCEL: ReasonRow(200, "cancelled together with others by its client"),
    Reason.POST_ONLY_WOULD_CROSS: ReasonRow(422, "a post-only order would have traded"),
    Reason.OPEN_ORDERS_LIMIT: ReasonRow(422, "the exchange holds as many open orders as it may"),
    Reason.LEVEL_FULL: ReasonRow(422, "the price level's total would pass 2^63-1 lots"),
    Reason.PRICE_LEVELS_LIMIT: ReasonRow(422, "this side of the book has as many levels as it may"),
    Reason.DUPLICATE_ORDER_ID: ReasonRow(409, "the order_id is taken"),
    Reason.UNKNOWN_ORDER: ReasonRow(404, "no order has this order_id"),
    Reason.ALREADY_CLOSED: ReasonRow(409, "the order is closed already"),
    Reason.AMEND_QUANTITY_TOO_LOW: ReasonRow(422, "the new quantity is not above what is filled"),
    Reason.AMEND_WOULD_CROSS: ReasonRow(422, "a post-only order's amendment would have traded"),
    Reason.AMEND_LEVEL_FULL: ReasonRow(422, "the new price level has no room for the order"),
    Reason.IDEMPOTENCY_KEY_REPEATED: ReasonRow(200, "the key was used before: same answer"),
    Reason.IDEMPOTENCY_KEY_REUSED: ReasonRow(422, "the idempotency key came with another body"),
    Reason.IDEMPOTENCY_WINDOW_FULL: ReasonRow(429, "no room for another idempotency key"),
    Reason.CLIENTS_LIMIT: ReasonRow(503, "the exchange knows as many clients as it may"),
    Reason.UNKNOWN_INSTRUMENT: ReasonRow(400, "no instrument has this number"),
    Reason.OUT_OF_BOUNDS: ReasonRow(400, "a price or quantity is out of the instrument's bounds"),
    Reason.INSTRUMENT_EXISTS: ReasonRow(409, "an instrument with this name exists"),
    Reason.INSTRUMENTS_LIMIT: ReasonRow(503, "the exchange has as many instruments as it may"),
    Reason.MALFORMED_COMMAND: ReasonRow(400, "a command record that has no meaning"),
}
"""Every reason with its HTTP status; `name.lower()` is the code that clients see."""
