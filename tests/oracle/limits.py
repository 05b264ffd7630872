"""The venue's rules that refuse an order or an amendment, in their order of precedence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from novate.model.commands import OrderType, Phase, Side, TimeInForce
from novate.model.instrument import OrderLimits
from novate.model.rejects import Reason
from tests.oracle.book import RESTING_FORCES, WAITING, Book, Order
from tests.oracle.clearing import too_worthy, waits_for_auction
from tests.oracle.matching import corridor, obtainable
from tests.oracle.words import Amend

if TYPE_CHECKING:
    from tests.oracle.exchange import Exchange

SHUT = {
    Phase.CLOSED: Reason.CLOSED,
    Phase.HALT: Reason.HALTED,
    Phase.CANCEL_ONLY: Reason.CANCEL_ONLY,
}


def refuses(exchange: Exchange, order: Order) -> Reason:
    """Why a new order is rejected, or NONE; its links were looked at before."""
    book = exchange.books[order.instrument]
    if order.session and order.session not in exchange.open_sessions:
        closed = Reason.SESSION_NOT_OPEN
    else:
        closed = Reason.NONE
    crosses = order.post_only and book.phase is Phase.CONTINUOUS and book.crosses(order)
    return (
        killed(exchange, order)
        or closed
        or refused_by_phase(book, order)
        or (Reason.AUCTION if waits_for_auction(exchange, book, order) else Reason.NONE)
        or (Reason.EXPIRES_IN_PAST if is_past(exchange, order) else Reason.NONE)
        or refused_by_size(exchange, book, order)
        or (Reason.POST_ONLY_WOULD_CROSS if crosses else Reason.NONE)
        or refused_by_room(exchange, book, order)
    )


def refuses_amendment(
    exchange: Exchange, order: Order, command: Amend, wanted: Order, keeps: bool
) -> Reason:
    """Why an open order may not become this, or NONE; it then stays as it is."""
    book = exchange.books[order.instrument]
    shut = SHUT.get(book.phase, Reason.NONE)
    if shut in (Reason.CLOSED, Reason.CANCEL_ONLY):
        return shut
    if not applicable(order, command):
        return Reason.AMEND_NOT_APPLICABLE
    if wanted.quantity <= order.filled:
        return Reason.AMEND_QUANTITY_TOO_LOW
    if shut is Reason.HALTED and not keeps:
        return Reason.HALTED
    if command.expire_ns and is_past(exchange, wanted):
        return Reason.EXPIRES_IN_PAST
    if keeps:
        return Reason.NONE
    return refused_by_size(exchange, book, wanted) or refused_reentry(exchange, book, order, wanted)


def refused_reentry(exchange: Exchange, book: Book, order: Order, wanted: Order) -> Reason:
    """Why an order that loses its place may not come in again."""
    if order.place == WAITING:
        return Reason.NONE
    if wanted.post_only and book.phase is Phase.CONTINUOUS and book.crosses(wanted):
        return Reason.AMEND_WOULD_CROSS
    rest = wanted.remaining - obtainable(exchange, wanted)
    if rest <= 0 or not book.room_for(wanted, rest, exchange.limits.price_levels_max, order):
        return Reason.NONE
    return Reason.AMEND_LEVEL_FULL


def applicable(order: Order, command: Amend) -> bool:
    """Whether the order has what the amendment sets."""
    return (
        (not command.price or order.has_limit)
        and (not command.stop_price or order.place == WAITING)
        and (command.display is None or order.can_rest)
        and (not command.expire_ns or order.force is TimeInForce.GTD)
    )


def killed(exchange: Exchange, order: Order) -> Reason:
    """Whether a kill switch stops the order's client."""
    if exchange.venue_killed:
        return Reason.VENUE_KILLED
    return Reason.CLIENT_KILLED if order.client in exchange.killed else Reason.NONE


def is_past(exchange: Exchange, order: Order) -> bool:
    """Whether the time at which the order ends is over."""
    return order.force is TimeInForce.GTD and order.expire_ns <= exchange.now_ns


def refused_by_phase(book: Book, order: Order) -> Reason:
    """Why the phase takes no such order."""
    if book.phase in SHUT:
        return SHUT[book.phase]
    if book.phase is Phase.CONTINUOUS or order.is_stop:
        return Reason.NONE
    limit = order.type is OrderType.LIMIT and order.force in RESTING_FORCES
    patient = limit and not order.post_only and not order.minimum
    if book.phase is Phase.PRE_OPEN:
        return Reason.NONE if patient else Reason.PRE_OPEN
    market = order.type is OrderType.MARKET and order.force is TimeInForce.GTC
    waits = market and not order.by_quote and not order.minimum
    return Reason.NONE if patient or waits else Reason.AUCTION


# --- sizes and prices ---------------------------------------------------------------------


def limits_of(exchange: Exchange, order: Order) -> OrderLimits:
    """The limits of the order's client: what is not 0 of its own, else the instrument's."""
    common = exchange.books[order.instrument].rules.limits
    own = exchange.client_limits.get((order.client, order.instrument), OrderLimits())
    chosen = {
        name: getattr(own, name)
        for name in OrderLimits.__struct_fields__
        if getattr(own, name) != getattr(OrderLimits(), name)
    }
    return msgspec.structs.replace(common, **chosen)


def refused_by_size(exchange: Exchange, book: Book, order: Order) -> Reason:
    """The limit of quantity, display, notional, distance or band that the order breaks."""
    limits = limits_of(exchange, order)
    if not order.by_quote:
        if order.quantity < limits.quantity_lots_min:
            return Reason.QUANTITY_TOO_SMALL
        if limits.quantity_lots_max and order.quantity > limits.quantity_lots_max:
            return Reason.QUANTITY_TOO_LARGE
    if order.display and -(-order.quantity // order.display) > book.rules.iceberg_parts_max:
        return Reason.DISPLAY_TOO_SMALL
    notional = notional_of(book, order)
    if notional is not None and notional < limits.notional_units_min:
        return Reason.NOTIONAL_TOO_SMALL
    if notional is not None and 0 < limits.notional_units_max < notional:
        return Reason.NOTIONAL_TOO_LARGE
    if exchange.rules > 1 and too_worthy(exchange, order):
        return Reason.NOTIONAL_TOO_LARGE
    if is_too_far(book, order, limits):
        return Reason.TOO_FAR_FROM_LAST
    waits = order.is_stop and not order.triggered
    return Reason.NONE if waits else refused_by_band(book, order)


def notional_of(book: Book, order: Order) -> int | None:
    """The order's value in quote units; None where no price says it."""
    if order.by_quote:
        return order.asked_units
    price = order.price
    if order.type is OrderType.STOP:
        price = order.stop_price
    elif order.type is OrderType.MARKET:
        price = book.last_price
    return price * order.quantity * book.instrument.quote_units if price else None


def is_too_far(book: Book, order: Order, limits: OrderLimits) -> bool:
    """Whether a limit price is further beyond the last (or its stop) price than it may be."""
    base = order.stop_price if order.is_stop else book.last_price
    distance = limits.last_price_distance.of(base)
    if not order.has_limit or not base or distance is None:
        return False
    beyond = order.price - base if order.side is Side.BUY else base - order.price
    return beyond > distance


def refused_by_band(book: Book, order: Order) -> Reason:
    """The band beyond which a limit price is, where that is refused."""
    if not order.has_limit or book.rules.band_action != "reject":
        return Reason.NONE
    bounds = corridor(book, order)
    for band, reason in (
        (bounds.static, Reason.STATIC_BAND),
        (bounds.dynamic, Reason.DYNAMIC_BAND),
    ):
        if band and (order.price > band[1] if order.side is Side.BUY else order.price < band[0]):
            return reason
    return Reason.NONE


# --- room ---------------------------------------------------------------------------------


def refused_by_room(exchange: Exchange, book: Book, order: Order) -> Reason:
    """Why what would rest of a new order finds no room."""
    waits = order.is_stop and not order.triggered
    if not waits and book.phase is Phase.CONTINUOUS and not order.can_rest:
        return Reason.NONE
    rest = order.remaining - (0 if waits else obtainable(exchange, order))
    if rest <= 0:
        return Reason.NONE
    if exchange.registry.open_count() >= exchange.limits.open_orders_max:
        return Reason.OPEN_ORDERS_LIMIT
    most = limits_of(exchange, order).open_orders_max
    if most and sum(other.client == order.client for other in book.orders()) >= most:
        return Reason.CLIENT_ORDERS_LIMIT
    return Reason.NONE if waits else book.room_for(order, rest, exchange.limits.price_levels_max)
