"""Reason codes: why an order ended or was refused, and why a command was refused.

One table. Numbers are journaled in events and never change their meaning. Ranges by owner:

    1-31     an order ended (it was accepted before)
    32-63    a rule of the venue refused an order: the order exists, with status rejected (422); or
             it refused an amendment, and the order stays as it was
    64-95    the registry refused the command: no order came of it
    96-127   an administrative command was refused
    128-159  why an instrument's phase changed, where no operator said so

Where several apply, the first in `PLACE_PRECEDENCE` or `AMEND_PRECEDENCE` is given.
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
    EXPIRED = 7
    SELF_TRADE_PREVENTED = 8
    PRICE_PROTECTION = 9
    MINIMUM_QUANTITY = 10
    ONE_CANCELS_OTHER = 11
    REPLACED = 12
    OUTSIDE_PRICE_BAND = 13
    SESSION_CLOSED = 14
    SESSION_LOST = 15
    CANCEL_AFTER = 16
    KILL_SWITCH = 17
    AUCTION_OVER = 18
    NO_ROOM = 19
    FUNDS_EXHAUSTED = 20
    # a rule of the venue refused
    POST_ONLY_WOULD_CROSS = 32
    OPEN_ORDERS_LIMIT = 33
    LEVEL_FULL = 34
    PRICE_LEVELS_LIMIT = 35
    LINK_NOT_OPEN = 36
    LINK_TAKEN = 37
    VENUE_KILLED = 38
    CLIENT_KILLED = 39
    SESSION_NOT_OPEN = 40
    CLOSED = 41
    HALTED = 42
    CANCEL_ONLY = 43
    PRE_OPEN = 44
    AUCTION = 45
    EXPIRES_IN_PAST = 46
    QUANTITY_TOO_SMALL = 47
    QUANTITY_TOO_LARGE = 48
    DISPLAY_TOO_SMALL = 49
    NOTIONAL_TOO_SMALL = 50
    NOTIONAL_TOO_LARGE = 51
    TOO_FAR_FROM_LAST = 52
    STATIC_BAND = 53
    DYNAMIC_BAND = 54
    CLIENT_ORDERS_LIMIT = 55
    INSUFFICIENT_FUNDS = 56
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
    AMEND_NOT_APPLICABLE = 76
    # administrative
    INSTRUMENT_EXISTS = 96
    INSTRUMENTS_LIMIT = 97
    MALFORMED_COMMAND = 98
    SESSION_EXISTS = 99
    UNKNOWN_SESSION = 100
    SESSIONS_LIMIT = 101
    CLIENT_LIMITS_LIMIT = 102
    ORDERS_OPEN = 103
    CYCLE_CLOSED_ALREADY = 104
    UNKNOWN_CYCLE = 105
    CYCLE_STATE = 106
    CYCLES_LIMIT = 107
    TRADE_BUSTED_ALREADY = 108
    BUSTS_LIMIT = 109
    BALANCE_LIMIT = 110
    UNKNOWN_ASSET = 111
    NOT_CLEARED = 112
    ASSET_CONFLICT = 113
    # why a phase changed
    BY_SCHEDULE = 128
    TIME_OVER = 129
    STATIC_BAND_LEFT = 130
    DYNAMIC_BAND_LEFT = 131


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
    Reason.EXPIRED: ReasonRow(200, "its time was over"),
    Reason.SELF_TRADE_PREVENTED: ReasonRow(201, "it would have traded with its own owner"),
    Reason.PRICE_PROTECTION: ReasonRow(201, "the book beyond is past the protection limit"),
    Reason.MINIMUM_QUANTITY: ReasonRow(201, "less than its minimum could trade at once"),
    Reason.ONE_CANCELS_OTHER: ReasonRow(200, "the order it was paired with traded or ended"),
    Reason.REPLACED: ReasonRow(200, "another order took its place"),
    Reason.OUTSIDE_PRICE_BAND: ReasonRow(201, "the next trade would leave the price band"),
    Reason.SESSION_CLOSED: ReasonRow(200, "its session closed"),
    Reason.SESSION_LOST: ReasonRow(200, "its session was lost in a restart"),
    Reason.CANCEL_AFTER: ReasonRow(200, "its client's dead-man timer ran out"),
    Reason.KILL_SWITCH: ReasonRow(200, "the operator's kill switch"),
    Reason.AUCTION_OVER: ReasonRow(201, "what the auction left of a market order"),
    Reason.NO_ROOM: ReasonRow(200, "it was triggered, and its price level had no room"),
    Reason.FUNDS_EXHAUSTED: ReasonRow(201, "its client's funds paid for no more"),
    Reason.POST_ONLY_WOULD_CROSS: ReasonRow(422, "a post-only order would have traded"),
    Reason.OPEN_ORDERS_LIMIT: ReasonRow(422, "the exchange holds as many open orders as it may"),
    Reason.LEVEL_FULL: ReasonRow(422, "the price level's total would pass 2^63-1 lots"),
    Reason.PRICE_LEVELS_LIMIT: ReasonRow(422, "this side of the book has as many levels as it may"),
    Reason.LINK_NOT_OPEN: ReasonRow(422, "the linked order is not an open one of this client"),
    Reason.LINK_TAKEN: ReasonRow(422, "the linked order is paired already"),
    Reason.VENUE_KILLED: ReasonRow(422, "the venue's kill switch is on"),
    Reason.CLIENT_KILLED: ReasonRow(422, "the client's kill switch is on"),
    Reason.SESSION_NOT_OPEN: ReasonRow(422, "the session is not open"),
    Reason.CLOSED: ReasonRow(422, "the instrument is closed"),
    Reason.HALTED: ReasonRow(422, "the instrument is halted"),
    Reason.CANCEL_ONLY: ReasonRow(422, "the instrument takes cancels alone"),
    Reason.PRE_OPEN: ReasonRow(422, "the order can't wait, and nothing trades before the open"),
    Reason.AUCTION: ReasonRow(422, "the order can't wait for the end of the auction"),
    Reason.EXPIRES_IN_PAST: ReasonRow(422, "the time it ends at is over"),
    Reason.QUANTITY_TOO_SMALL: ReasonRow(422, "under the least quantity"),
    Reason.QUANTITY_TOO_LARGE: ReasonRow(422, "over the most quantity"),
    Reason.DISPLAY_TOO_SMALL: ReasonRow(422, "too small a part of the quantity is displayed"),
    Reason.NOTIONAL_TOO_SMALL: ReasonRow(422, "under the least notional"),
    Reason.NOTIONAL_TOO_LARGE: ReasonRow(422, "over the most notional"),
    Reason.TOO_FAR_FROM_LAST: ReasonRow(422, "the price is too far from the last"),
    Reason.STATIC_BAND: ReasonRow(422, "the price is outside the static band"),
    Reason.DYNAMIC_BAND: ReasonRow(422, "the price is outside the dynamic band"),
    Reason.CLIENT_ORDERS_LIMIT: ReasonRow(422, "the client has as many open orders as it may"),
    Reason.INSUFFICIENT_FUNDS: ReasonRow(422, "the client's available funds don't cover it"),
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
    Reason.AMEND_NOT_APPLICABLE: ReasonRow(422, "the order has no such field to amend"),
    Reason.INSTRUMENT_EXISTS: ReasonRow(409, "an instrument with this name exists"),
    Reason.INSTRUMENTS_LIMIT: ReasonRow(503, "the exchange has as many instruments as it may"),
    Reason.MALFORMED_COMMAND: ReasonRow(400, "a command record that has no meaning"),
    Reason.SESSION_EXISTS: ReasonRow(409, "the session is open already"),
    Reason.UNKNOWN_SESSION: ReasonRow(404, "no such session is open"),
    Reason.SESSIONS_LIMIT: ReasonRow(503, "as many sessions are open as may be"),
    Reason.CLIENT_LIMITS_LIMIT: ReasonRow(503, "as many clients have own limits as may"),
    Reason.ORDERS_OPEN: ReasonRow(409, "open orders stand on the terms that would change"),
    Reason.CYCLE_CLOSED_ALREADY: ReasonRow(409, "a cycle of this number or a later one is closed"),
    Reason.UNKNOWN_CYCLE: ReasonRow(404, "no closed cycle that is kept has this number"),
    Reason.CYCLE_STATE: ReasonRow(409, "the settlement can't go from its state to this one"),
    Reason.CYCLES_LIMIT: ReasonRow(503, "as many cycles wait for their settlement as may"),
    Reason.TRADE_BUSTED_ALREADY: ReasonRow(409, "the trade was busted or corrected before"),
    Reason.BUSTS_LIMIT: ReasonRow(503, "as many trades have been busted as may"),
    Reason.BALANCE_LIMIT: ReasonRow(422, "an amount would pass what accounts hold"),
    Reason.UNKNOWN_ASSET: ReasonRow(404, "no instrument has this asset"),
    Reason.NOT_CLEARED: ReasonRow(409, "the instrument's trades are not cleared"),
    Reason.ASSET_CONFLICT: ReasonRow(409, "an asset of it has another scale elsewhere"),
    Reason.BY_SCHEDULE: ReasonRow(200, "the daily schedule"),
    Reason.TIME_OVER: ReasonRow(200, "the phase's own time was over"),
    Reason.STATIC_BAND_LEFT: ReasonRow(200, "a trade would have left the static band"),
    Reason.DYNAMIC_BAND_LEFT: ReasonRow(200, "a trade would have left the dynamic band"),
}
"""Every reason with its HTTP status; `name.lower()` is the code that clients see."""


class ReasonRange(NamedTuple):
    """The numbers of one owner: the first and the last, who gives them, and what that means."""

    first: int
    last: int
    owner: str
    text: str


RANGES: Final = (
    ReasonRange(1, 31, "An order ended", "It was accepted before."),
    ReasonRange(
        32, 63, "A rule of the venue refused", "A new order exists, with status `rejected`."
    ),
    ReasonRange(64, 95, "The registry refused", "No order came of the command."),
    ReasonRange(96, 127, "An operator's command was refused", "Nothing changed."),
    ReasonRange(128, 159, "Why a phase changed", "Where no operator said so."),
)
"""Every number but that of NONE is in one of these."""

PLACE_PRECEDENCE: Final = (
    # the form, before the key is looked at; a gateway answers these before they are journaled
    Reason.MALFORMED_COMMAND,
    Reason.UNKNOWN_INSTRUMENT,
    Reason.OUT_OF_BOUNDS,
    # the registry
    Reason.IDEMPOTENCY_KEY_REUSED,
    Reason.IDEMPOTENCY_KEY_REPEATED,
    Reason.IDEMPOTENCY_WINDOW_FULL,
    Reason.CLIENTS_LIMIT,
    Reason.DUPLICATE_ORDER_ID,
    # the venue's rules
    Reason.LINK_NOT_OPEN,
    Reason.LINK_TAKEN,
    Reason.VENUE_KILLED,
    Reason.CLIENT_KILLED,
    Reason.SESSION_NOT_OPEN,
    Reason.CLOSED,
    Reason.HALTED,
    Reason.CANCEL_ONLY,
    Reason.PRE_OPEN,
    Reason.AUCTION,
    Reason.EXPIRES_IN_PAST,
    Reason.QUANTITY_TOO_SMALL,
    Reason.QUANTITY_TOO_LARGE,
    Reason.DISPLAY_TOO_SMALL,
    Reason.NOTIONAL_TOO_SMALL,
    Reason.NOTIONAL_TOO_LARGE,
    Reason.TOO_FAR_FROM_LAST,
    Reason.STATIC_BAND,
    Reason.DYNAMIC_BAND,
    Reason.POST_ONLY_WOULD_CROSS,
    Reason.OPEN_ORDERS_LIMIT,
    Reason.CLIENT_ORDERS_LIMIT,
    Reason.LEVEL_FULL,
    Reason.PRICE_LEVELS_LIMIT,
    # the accounts
    Reason.INSUFFICIENT_FUNDS,
)
"""Why a PLACE comes to nothing, the first that applies. What refuses leaves all as it was."""

AMEND_PRECEDENCE: Final = (
    Reason.MALFORMED_COMMAND,
    Reason.OUT_OF_BOUNDS,
    Reason.IDEMPOTENCY_KEY_REUSED,
    Reason.IDEMPOTENCY_KEY_REPEATED,
    Reason.IDEMPOTENCY_WINDOW_FULL,
    Reason.CLIENTS_LIMIT,
    Reason.UNKNOWN_ORDER,
    Reason.ALREADY_CLOSED,
    Reason.CLOSED,
    Reason.CANCEL_ONLY,
    Reason.AMEND_NOT_APPLICABLE,
    Reason.AMEND_QUANTITY_TOO_LOW,
    Reason.HALTED,
    Reason.EXPIRES_IN_PAST,
    Reason.QUANTITY_TOO_SMALL,
    Reason.QUANTITY_TOO_LARGE,
    Reason.DISPLAY_TOO_SMALL,
    Reason.NOTIONAL_TOO_SMALL,
    Reason.NOTIONAL_TOO_LARGE,
    Reason.TOO_FAR_FROM_LAST,
    Reason.STATIC_BAND,
    Reason.DYNAMIC_BAND,
    Reason.AMEND_WOULD_CROSS,
    Reason.AMEND_LEVEL_FULL,
    Reason.INSUFFICIENT_FUNDS,
)
"""Why an AMEND comes to nothing, the first that applies; the order stays as it was."""
