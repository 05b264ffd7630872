"""The call auction: its price, and who trades with whom at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from novate.model.commands import NEWEST_RULES, Side
from novate.model.events import AUCTION_TRADE, EventKind
from tests.oracle import links, matching
from tests.oracle.book import PRICELESS, Book, Order

if TYPE_CHECKING:
    from tests.oracle.exchange import Exchange

MOST = 2**63 - 1


class Uncross(NamedTuple):
    """What an auction would come to; `surplus` is over 0 where buyers are left."""

    price: int = 0
    volume: int = 0
    surplus: int = 0


def at_price(book: Book, price: int) -> Uncross:
    """Volume and surplus at a price."""
    demand, supply = (
        sum(order.remaining for order in book.resting(side) if order.accepts(price))
        for side in (Side.BUY, Side.SELL)
    )
    return Uncross(price, min(demand, supply), demand - supply)


def candidates(book: Book, rules: int) -> set[int]:
    """The prices that are compared: all ticks from the lowest limit of an order to the highest.

    Between two limits nothing changes, so the first tick and the last of those between them stand
    for all. The first version of the rules compared the limits alone.
    """
    limits = {*book.sides[Side.BUY], *book.sides[Side.SELL]}
    if rules == 1 or not limits:
        return limits
    beside = {price + step for price in limits for step in (-1, 1)}
    return limits | {price for price in beside if min(limits) < price < max(limits)}


def indicative(book: Book, rules: int = NEWEST_RULES) -> Uncross:
    """The price of most volume, then least surplus, then nearest the reference; and what it does.

    Under the first version of the rules the reference may lie between two limits, too.
    """
    reference = book.last_price or book.reference_price
    prices = candidates(book, rules) or {reference} - {0}
    rows = [at_price(book, price) for price in prices]
    volume = max((row.volume for row in rows), default=0)
    if volume == 0:
        return Uncross()
    rows = [row for row in rows if row.volume == volume]
    least = min(abs(row.surplus) for row in rows)
    rows = sorted(row for row in rows if abs(row.surplus) == least)
    low, high = rows[0], rows[-1]
    return at_price(book, price_between(low, high, reference))


def price_between(low: Uncross, high: Uncross, reference: int) -> int:
    """The price among those that volume and surplus leave."""
    if reference:
        return max(low.price, min(reference, high.price))
    if low.surplus > 0 and high.surplus > 0:
        return high.price
    if low.surplus < 0 and high.surplus < 0:
        return low.price
    return (low.price + high.price) // 2


def uncross(exchange: Exchange, book: Book, always_said: bool) -> None:
    """Uncross the book, again where pairs have left it crossed."""
    found = indicative(book, exchange.rules)
    if found.volume == 0 and always_said:
        exchange.say(EventKind.AUCTION_UNCROSSED, instrument=book.instrument.index)
    while found.volume > 0:
        exchange.say(
            EventKind.AUCTION_UNCROSSED,
            instrument=book.instrument.index,
            price=found.price,
            quantity=min(found.volume, MOST),
            remaining=max(-MOST, min(found.surplus, MOST)),
        )
        allocate(exchange, book, found.price)
        found = indicative(book, exchange.rules)


def allocate(exchange: Exchange, book: Book, price: int) -> None:
    """Trade at one price, the first of each side, until one side has nobody who accepts it."""
    book.last_price = book.reference_price = price
    while True:
        buyer, seller = (
            next((order for order in book.resting(side) if order.accepts(price)), None)
            for side in (Side.BUY, Side.SELL)
        )
        if buyer is None or seller is None:
            return
        lots = min(buyer.remaining, seller.remaining)
        for order in (seller, buyer):
            matching.fill(exchange, order, price, lots)
            order.shown = order.remaining if order.place == PRICELESS else order.tip()
        exchange.tell_trade(seller, buyer, price, lots, AUCTION_TRADE)
        for order in (seller, buyer):
            close_filled(exchange, book, order)
        links.cancel_partners(exchange, seller, buyer)


def close_filled(exchange: Exchange, book: Book, order: Order) -> None:
    """A filled order is over."""
    if order.remaining == 0:
        book.remove(order)
        exchange.close(order)
