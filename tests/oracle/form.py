"""What a command must look like: faults of form, which a gateway finds before it journals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from novate.model.commands import OrderType, SelfTrade, TimeInForce
from novate.model.instrument import QUOTE_UNITS_MAX, Instrument
from novate.model.rejects import Reason
from tests.oracle.book import RESTING_FORCES, Order
from tests.oracle.registry import ident_of
from tests.oracle.words import Amend, Cancel, MassCancel, Place

if TYPE_CHECKING:
    from tests.oracle.exchange import Exchange

WITHOUT_LIMIT = (OrderType.MARKET, OrderType.STOP)
WITH_STOP = (OrderType.STOP, OrderType.STOP_LIMIT)


def fault(
    exchange: Exchange, command: Place | Cancel | Amend | MassCancel
) -> tuple[Reason, Order | None]:
    """What is wrong with a command, and the order that it concerns; NONE: nothing."""
    match command:
        case Place():
            return place_fault(exchange, command), None
        case Amend():
            return amend_fault(exchange, command)
        case MassCancel() if command.instrument >= len(exchange.books):
            return Reason.UNKNOWN_INSTRUMENT, None
    return Reason.NONE, None


def place_fault(exchange: Exchange, command: Place) -> Reason:
    """What is wrong with a new order, or NONE."""
    if malformed(command):
        return Reason.MALFORMED_COMMAND
    if command.instrument >= len(exchange.books):
        return Reason.UNKNOWN_INSTRUMENT
    inside = inside_bounds(command, exchange.books[command.instrument].instrument)
    return Reason.NONE if inside else Reason.OUT_OF_BOUNDS


def malformed(command: Place) -> bool:
    """Whether the fields of a new order don't go together."""
    rests = command.force in RESTING_FORCES
    extras = (command.display, command.minimum, command.expire_ns, command.stop_price)
    return (
        (command.type in WITHOUT_LIMIT and command.price != 0)
        or (command.type not in WITH_STOP and command.stop_price != 0)
        or (command.post_only and not (command.type is OrderType.LIMIT and rests))
        or (command.display != 0 and not (command.type not in WITHOUT_LIMIT and rests))
        or (command.type is OrderType.MARKET and command.force in RESTING_FORCES[1:])
        or (command.force is TimeInForce.GTD) != (command.expire_ns != 0)
        or (command.post_only and command.minimum != 0)
        or (command.quote_units != 0 and malformed_by_quote(command))
        or min(extras) < 0
    )


def malformed_by_quote(command: Place) -> bool:
    """The same for an order by quote quantity."""
    return (
        command.type is not OrderType.MARKET
        or command.force is TimeInForce.FOK
        or command.self_trade is SelfTrade.DECREMENT
        or command.minimum != 0
        or command.quantity != 0
    )


def inside_bounds(command: Place, spec: Instrument) -> bool:
    """Whether the numbers of a new order are within the instrument's bounds."""
    prices = [] if command.type in WITHOUT_LIMIT else [command.price]
    prices += [command.stop_price] if command.type in WITH_STOP else []
    if not all(1 <= price <= spec.price_ticks_max for price in prices):
        return False
    if command.quote_units:
        return command.quote_units <= QUOTE_UNITS_MAX
    if not spec.quantity_lots_min <= command.quantity <= spec.quantity_lots_max:
        return False
    return max(command.display, command.minimum) <= command.quantity


def amend_fault(exchange: Exchange, command: Amend) -> tuple[Reason, Order | None]:
    """What is wrong with an amendment, and of which order; NONE: nothing."""
    if not (command.price or command.quantity or command.sets):
        return Reason.MALFORMED_COMMAND, None
    if min(command.stop_price, command.expire_ns, command.display or 0) < 0:
        return Reason.MALFORMED_COMMAND, None
    order = exchange.registry.orders.get(ident_of(command.order))
    if order is None or not order.open:
        return Reason.NONE, None
    spec = exchange.books[order.instrument].instrument
    prices = [price for price in (command.price, command.stop_price) if price]
    lots = command.quantity or spec.quantity_lots_min
    minimum = order.minimum if command.quantity and exchange.rules > 1 else 0
    inside = (
        all(1 <= price <= spec.price_ticks_max for price in prices)
        and max(spec.quantity_lots_min, minimum) <= lots <= spec.quantity_lots_max
        and (command.display or 0) <= spec.quantity_lots_max
    )
    return (Reason.NONE, None) if inside else (Reason.OUT_OF_BOUNDS, order)
