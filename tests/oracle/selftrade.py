"""Self-trade prevention: what happens instead of a trade of two orders of one owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from novate.model.commands import SelfTrade
from novate.model.events import EventKind
from novate.model.rejects import Reason
from tests.oracle.book import Order

if TYPE_CHECKING:
    from tests.oracle.exchange import Exchange


def is_prevented(taker: Order, maker: Order) -> bool:
    """Whether the taker asks not to trade with this maker."""
    return taker.self_trade is not SelfTrade.NONE and taker.owned_with(maker)


def prevent(exchange: Exchange, taker: Order, maker: Order, lots: int) -> None:
    """Do what the taker's mode says, instead of a trade of `lots`."""
    mode = taker.self_trade
    if mode is SelfTrade.DECREMENT:
        decrement(exchange, maker, lots)
        if taker.open:
            decrement(exchange, taker, lots)
        return
    if mode in (SelfTrade.CANCEL_OLDEST, SelfTrade.CANCEL_BOTH):
        exchange.end(maker, Reason.SELF_TRADE_PREVENTED)
    if mode in (SelfTrade.CANCEL_NEWEST, SelfTrade.CANCEL_BOTH) and taker.open:
        exchange.end(taker, Reason.SELF_TRADE_PREVENTED)


def decrement(exchange: Exchange, order: Order, lots: int) -> None:
    """Take lots off an order; one that has no others ends."""
    if lots == order.remaining:
        exchange.end(order, Reason.SELF_TRADE_PREVENTED)
        return
    order.quantity -= lots
    order.remaining -= lots
    exchange.touch(order)
    exchange.tell(
        EventKind.ORDER_AMENDED, order, Reason.SELF_TRADE_PREVENTED, remaining=order.remaining
    )
    if order.shown:
        order.shown -= lots
        exchange.books[order.instrument].refresh(order)
