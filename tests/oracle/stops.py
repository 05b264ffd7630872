"""Stop orders: when they trigger, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from novate.model.commands import OrderType, Phase, Side
from novate.model.events import EventKind
from novate.model.rejects import Reason
from tests.oracle import limits, links
from tests.oracle.book import Book, Order
from tests.oracle.clearing import covers_walk

if TYPE_CHECKING:
    from tests.oracle.exchange import Exchange


def triggers_at_once(book: Book, order: Order) -> bool:
    """Whether the last price fulfils the condition of a stop order that comes in."""
    last = book.last_price
    return book.phase is Phase.CONTINUOUS and last > 0 and order.reached_by(last, last)


def run(exchange: Exchange, book: Book) -> None:
    """Trigger what the trades of the step just over fulfil, and what those trades do in turn."""
    queue: list[Order] = []
    while book.phase is Phase.CONTINUOUS:
        if book.traded:
            low, high = min(book.traded), max(book.traded)
            reached = [o for o in book.stops if o not in queue and o.reached_by(low, high)]
            queue += sorted(reached, key=lambda order: order.rank)
            book.traded = []
        while queue and not queue[0].open:
            queue.pop(0)
        if not queue:
            return
        trigger(exchange, queue.pop(0))


def trigger(exchange: Exchange, order: Order) -> None:
    """A stop order becomes a market or a limit order, and is matched whole."""
    book = exchange.books[order.instrument]
    book.remove(order)
    order.triggered = True
    exchange.touch(order)
    exchange.tell(EventKind.ORDER_TRIGGERED, order, remaining=order.remaining)
    links.cancel_partner(exchange, order)
    if limits.refused_by_band(book, order) is not Reason.NONE:
        exchange.end(order, Reason.OUTSIDE_PRICE_BAND)
    elif order.type is OrderType.STOP and buys_uncovered(exchange, order):
        exchange.end(order, Reason.FUNDS_EXHAUSTED)
    else:
        exchange.triggering = order
        exchange.step(order)
        exchange.triggering = None


def buys_uncovered(exchange: Exchange, order: Order) -> bool:
    """Whether a triggered order without a limit could cost more than there is."""
    return order.side is Side.BUY and not covers_walk(exchange, order)
