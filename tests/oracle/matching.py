"""Continuous matching: what a taker may have, in which order, and what becomes of its rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from novate.model.commands import Phase, SelfTrade, Side, TimeInForce
from novate.model.instrument import Distance
from novate.model.rejects import Reason
from tests.oracle import links, selftrade
from tests.oracle.book import Book, Order
from tests.oracle.clearing import fundable

if TYPE_CHECKING:
    from tests.oracle.exchange import Exchange


@dataclass(frozen=True, slots=True)
class Corridor:
    """The prices that a taker's step may trade at, beside its own limit."""

    protection: int | None
    static: tuple[int, int] | None
    dynamic: tuple[int, int] | None

    def band_left_by(self, price: int) -> Reason:
        """The band that a trade at this price would leave, or NONE."""
        if self.static and not self.static[0] <= price <= self.static[1]:
            return Reason.STATIC_BAND_LEFT
        if self.dynamic and not self.dynamic[0] <= price <= self.dynamic[1]:
            return Reason.DYNAMIC_BAND_LEFT
        return Reason.NONE


def band(distance: Distance, base: int) -> tuple[int, int] | None:
    """Lowest and highest price of a band around a price; None: it is off."""
    off = distance.of(base)
    return None if off is None or base == 0 else (base - off, base + off)


def corridor(book: Book, taker: Order) -> Corridor:
    """What binds the taker, as it stands at the start of its step."""
    static = band(book.rules.static_band, book.reference_price)
    dynamic = band(book.rules.dynamic_band, book.last_price)
    first = book.first(Side(1 - taker.side))
    base = book.last_price or (first.price if first else 0)
    off = book.rules.protection.of(base)
    protection = None
    if off is not None and base and not taker.has_limit:
        protection = base + off if taker.side is Side.BUY else base - off
    return Corridor(protection, static, dynamic)


def protected_from(bounds: Corridor, taker: Order, price: int) -> bool:
    """Whether a market order is kept from this price."""
    if bounds.protection is None:
        return False
    side = taker.side
    return price > bounds.protection if side is Side.BUY else price < bounds.protection


def stopped_at(bounds: Corridor, taker: Order, price: int) -> Reason:
    """Why a taker does not trade at this price, or NONE."""
    if not taker.accepts(price):
        return Reason.IMMEDIATE_OR_CANCEL
    if protected_from(bounds, taker, price):
        return Reason.PRICE_PROTECTION
    return bounds.band_left_by(price)


# --- obtainable ---------------------------------------------------------------------------


def obtainable(exchange: Exchange, taker: Order) -> int:
    """Lots that the taker would trade at once, by a dry run; nothing is changed."""
    book = exchange.books[taker.instrument]
    if book.phase is not Phase.CONTINUOUS:
        return 0
    bounds, opposite = corridor(book, taker), Side(1 - taker.side)
    had, met = 0, set[int]()
    for price in book.prices(opposite):
        if stopped_at(bounds, taker, price) is not Reason.NONE:
            return had
        queue = [(order, order.shown, order.remaining) for order in book.sides[opposite][price]]
        while queue:
            maker, shown, left = queue.pop(0)
            if maker.partner is not None and id(maker.partner) in met:
                continue
            if maker is taker.partner and had:
                continue
            met.add(id(maker))
            if selftrade.is_prevented(taker, maker):
                if taker.self_trade is SelfTrade.CANCEL_OLDEST and maker is not taker.partner:
                    continue
                return had
            lots = min(shown, taker.remaining - had)
            had += lots
            if had == taker.remaining or maker is taker.partner:
                return had
            if left > lots:
                queue.append((maker, min(maker.display, left - lots), left - lots))
    return had


# --- matching -----------------------------------------------------------------------------


def affordable(book: Book, taker: Order, maker: Order) -> int:
    """Lots that the taker takes of this maker."""
    if taker.by_quote:
        return min(maker.shown, taker.budget // (maker.price * book.instrument.quote_units))
    return min(maker.shown, taker.remaining)


def match(exchange: Exchange, taker: Order) -> Reason:
    """Trade until something stops the taker; what it was, NONE: it wants no more or has ended.

    IMMEDIATE_OR_CANCEL: its limit; BOOK_EXHAUSTED: nobody is left; QUOTE_QUANTITY_TOO_SMALL: its
    money buys no lot here; PRICE_PROTECTION; or the band that it would leave.
    """
    book = exchange.books[taker.instrument]
    bounds = corridor(book, taker)
    while taker.open and taker.unfilled:
        maker = book.first(Side(1 - taker.side))
        if maker is None:
            return Reason.BOOK_EXHAUSTED
        reason = stopped_at(bounds, taker, maker.price)
        if reason is not Reason.NONE:
            return reason
        lots = affordable(book, taker, maker)
        if lots == 0:
            return Reason.QUOTE_QUANTITY_TOO_SMALL
        if selftrade.is_prevented(taker, maker):
            selftrade.prevent(exchange, taker, maker, lots)
        else:
            lots = fundable(exchange, taker, maker.price, lots)
            if lots == 0:
                return Reason.FUNDS_EXHAUSTED
            trade(exchange, book, taker, maker, lots)
    return Reason.NONE


def trade(exchange: Exchange, book: Book, taker: Order, maker: Order, lots: int) -> None:
    """A trade at the maker's price, and what follows at once."""
    price = maker.price
    maker.shown -= lots
    fill(exchange, maker, price, lots)
    fill(exchange, taker, price, lots)
    if taker.by_quote:
        taker.budget -= lots * price * book.instrument.quote_units
    book.last_price = price
    book.traded.append(price)
    exchange.tell_trade(maker, taker, price, lots)
    if maker.remaining == 0:
        book.remove(maker)
        exchange.close(maker)
    book.refresh(maker)
    links.cancel_partners(exchange, maker, taker)


def fill(exchange: Exchange, order: Order, price: int, lots: int) -> None:
    """One order's side of a trade."""
    order.filled += lots
    order.spent += lots * price
    if not order.by_quote:
        order.remaining -= lots
    exchange.touch(order)


# --- what becomes of a taker --------------------------------------------------------------


def settle(exchange: Exchange, order: Order) -> Reason:
    """Match an order, then let it rest, be filled, or end; the band that it left, or NONE.

    A stop order was not asked about room before: what is left of it may find none.
    """
    book = exchange.books[order.instrument]
    if book.phase is not Phase.CONTINUOUS:
        book.put(order)
        return Reason.NONE
    if order.force is TimeInForce.FOK and obtainable(exchange, order) < order.remaining:
        exchange.end(order, Reason.FILL_OR_KILL)
        return Reason.NONE
    if order.minimum and obtainable(exchange, order) < order.minimum:
        exchange.end(order, Reason.MINIMUM_QUANTITY)
        return Reason.NONE
    order.minimum = 0
    why = match(exchange, order)
    left = why in (Reason.STATIC_BAND_LEFT, Reason.DYNAMIC_BAND_LEFT)
    if order.open:
        settle_rest(exchange, book, order, Reason.OUTSIDE_PRICE_BAND if left else why)
    return why if left else Reason.NONE


def settle_rest(exchange: Exchange, book: Book, order: Order, why: Reason) -> None:
    """What becomes of a taker that has not ended; `why` it stopped."""
    rests = order.can_rest and (
        why is not Reason.OUTSIDE_PRICE_BAND or book.rules.band_action == "auction"
    )
    if order.by_quote:
        settle_money(exchange, book, order, why)
    elif order.remaining == 0:
        exchange.close(order)
    elif rests and order is exchange.triggering and has_no_room(exchange, book, order):
        exchange.end(order, Reason.NO_ROOM)
    elif rests:
        book.put(order)
    else:
        exchange.end(order, limited(why) if order.has_limit else why)


def has_no_room(exchange: Exchange, book: Book, order: Order) -> bool:
    """Whether the order's rest does not fit into the book."""
    full = book.room_for(order, order.remaining, exchange.limits.price_levels_max)
    return full is not Reason.NONE


def limited(why: Reason) -> Reason:
    """The reason with which an order with a limit ends that may not rest."""
    return why if why is Reason.OUTSIDE_PRICE_BAND else Reason.IMMEDIATE_OR_CANCEL


def settle_money(exchange: Exchange, book: Book, order: Order, why: Reason) -> None:
    """An order by quote quantity is filled when what is left buys no lot."""
    if why is Reason.QUOTE_QUANTITY_TOO_SMALL:
        over = order.filled > 0
    else:
        over = order.filled > 0 and order.budget < book.last_price * book.instrument.quote_units
    if over or not order.unfilled:
        exchange.close(order)
    else:
        exchange.end(order, why)
