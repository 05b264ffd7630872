"""Linked orders: pairs of which one cancels the other, and orders that replace another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from novate.model.commands import LinkUse
from novate.model.rejects import Reason
from tests.oracle.book import Order
from tests.oracle.registry import ident_of
from tests.oracle.words import Place

if TYPE_CHECKING:
    from tests.oracle.exchange import Exchange


def named(exchange: Exchange, command: Place, order: Order) -> Order | None:
    """The open order of the same client and instrument that a new order names."""
    if command.link_use is LinkUse.NONE or command.link is None:
        return None
    other = exchange.registry.orders.get(ident_of(command.link))
    if other is None or not other.open:
        return None
    same = (other.client, other.instrument) == (order.client, order.instrument)
    return other if same else None


def refusal(command: Place, other: Order | None) -> Reason:
    """Why a new order may not be linked so, or NONE."""
    if command.link_use is LinkUse.NONE:
        return Reason.NONE
    if other is None:
        return Reason.LINK_NOT_OPEN
    taken = command.link_use is LinkUse.ONE_CANCELS_OTHER and other.partner is not None
    return Reason.LINK_TAKEN if taken else Reason.NONE


def cancel_partner(exchange: Exchange, order: Order) -> None:
    """One of a pair traded, triggered or ended: the other is cancelled, the pair is no more."""
    other = order.partner
    if other is None:
        return
    order.partner = other.partner = None
    if other.open and other.unfilled:
        exchange.end(other, Reason.ONE_CANCELS_OTHER)


def cancel_partners(exchange: Exchange, *traded: Order) -> None:
    """Two orders traded: the partner of each is cancelled, though they be partners themselves."""
    partners = [order.partner for order in traded]
    for order in (*traded, *partners):
        if order is not None:
            order.partner = None
    for other in partners:
        if other is not None and other.open and other.unfilled:
            exchange.end(other, Reason.ONE_CANCELS_OTHER)
