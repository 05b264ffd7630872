"""One instrument's book, the obvious way: a dict of prices, each with its orders in time order.

The rules of matching, each one a function: price-time priority, trades at the maker's price.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from novate.model.commands import OrderType, Side, TimeInForce
from novate.model.instrument import Instrument
from novate.model.rejects import Reason

LEVEL_LOTS_MAX = 2**63 - 1


@dataclass(slots=True, eq=False)
class Order:
    """An order: what was asked, and how far it came.

    `remaining` is what the order still wants; `budget` (quote units) takes its place in an order by
    quote quantity. `ended` is the unfilled rest once the order is closed. `spent` is the value of
    its fills in ticks times lots.
    """

    number: int
    ident: tuple[str, str | int]
    client: int
    instrument: int
    side: Side
    type: OrderType
    force: TimeInForce
    flags: int
    post_only: bool
    price: int
    quantity: int
    remaining: int
    budget: int
    filled: int = 0
    ended: int = 0
    open: bool = True
    spent: int = 0
    reason: Reason = Reason.NONE
    rejected: bool = False
    asked_units: int = 0
    created_seq: int = 0
    created_ns: int = 0
    updated_ns: int = 0
    updated_seq: int = 0

    @property
    def by_quote(self) -> bool:
        """Whether money, and not a quantity, says how much it may take."""
        return self.quantity == 0

    def accepts(self, price: int) -> bool:
        """Whether the order trades at this price."""
        if self.type is OrderType.MARKET:
            return True
        return price <= self.price if self.side is Side.BUY else price >= self.price


@dataclass(frozen=True, slots=True)
class Fill:
    """One trade of a taker: the maker, and the lots that changed hands at the maker's price."""

    maker: Order
    quantity: int
    maker_remaining: int


@dataclass(slots=True)
class Book:
    """The resting orders of one instrument: `sides[side][price]` are its orders, oldest first."""

    instrument: Instrument
    sides: dict[Side, dict[int, list[Order]]] = field(
        default_factory=lambda: {Side.BUY: {}, Side.SELL: {}}
    )

    def prices(self, side: Side) -> list[int]:
        """The prices of a side, best first."""
        return sorted(self.sides[side], reverse=side is Side.BUY)

    def makers(self, taker: Order) -> Iterator[Order]:
        """The orders that the taker may trade with, in the order in which it must."""
        opposite = Side(1 - taker.side)
        for price in self.prices(opposite):
            if not taker.accepts(price):
                return
            yield from self.sides[opposite][price]

    def crosses(self, order: Order) -> bool:
        """Whether the order would trade at once."""
        return next(self.makers(order), None) is not None

    def available(self, order: Order) -> int:
        """Lots that the order could get now."""
        return sum(maker.remaining for maker in self.makers(order))

    def rest(self, order: Order) -> None:
        """Put the order at the back of its price level."""
        self.sides[order.side].setdefault(order.price, []).append(order)

    def remove(self, order: Order) -> None:
        """Take a resting order out; a level without orders is gone."""
        level = self.sides[order.side][order.price]
        level.remove(order)
        if not level:
            del self.sides[order.side][order.price]

    def room_for(
        self, order: Order, rest: int, levels_max: int, leaving: Order | None = None
    ) -> Reason:
        """Why `rest` lots of the order could not stay in the book, or NONE.

        `leaving` is the resting order whose place it takes in an amendment.
        """
        side = self.sides[order.side]
        others = [other.remaining for other in side.get(order.price, []) if other is not leaving]
        if others:
            return Reason.LEVEL_FULL if sum(others) + rest > LEVEL_LOTS_MAX else Reason.NONE
        makes_room = leaving is not None and len(side[leaving.price]) == 1
        too_many = len(side) >= levels_max and not makes_room
        return Reason.PRICE_LEVELS_LIMIT if too_many else Reason.NONE

    def match(self, taker: Order) -> list[Fill]:
        """Trade until the taker has what it wants or nobody is left whom it accepts."""
        fills: list[Fill] = []
        while (maker := next(self.makers(taker), None)) is not None:
            quantity = self.affordable(taker, maker)
            if quantity == 0:
                break
            maker.remaining -= quantity
            maker.filled += quantity
            taker.filled += quantity
            maker.spent += quantity * maker.price
            taker.spent += quantity * maker.price
            self.pay(taker, maker.price, quantity)
            if maker.remaining == 0:
                self.remove(maker)
                maker.open = False
            fills.append(Fill(maker, quantity, maker.remaining))
        return fills

    def affordable(self, taker: Order, maker: Order) -> int:
        """Lots that the taker takes of this maker."""
        if taker.by_quote:
            cost_of_lot = maker.price * self.instrument.quote_units
            return min(maker.remaining, taker.budget // cost_of_lot)
        return min(maker.remaining, taker.remaining)

    def pay(self, taker: Order, price: int, quantity: int) -> None:
        """Take what was traded off what the taker still wants."""
        if taker.by_quote:
            taker.budget -= quantity * price * self.instrument.quote_units
        else:
            taker.remaining -= quantity

    def reason_to_end(self, taker: Order, fills: list[Fill]) -> Reason | None:
        """Why a taker that does not rest ends with something unfilled; None: it is filled."""
        if taker.by_quote:
            return self.reason_to_end_by_quote(taker, fills)
        if taker.remaining == 0:
            return None
        if taker.type is OrderType.MARKET:
            return Reason.BOOK_EXHAUSTED
        return Reason.IMMEDIATE_OR_CANCEL

    def reason_to_end_by_quote(self, taker: Order, fills: list[Fill]) -> Reason | None:
        """The same for an order by quote quantity: filled when what is left buys no lot."""
        next_maker = next(self.makers(taker), None)
        if next_maker is not None:
            return None if fills else Reason.QUOTE_QUANTITY_TOO_SMALL
        if fills and taker.budget < fills[-1].maker.price * self.instrument.quote_units:
            return None
        return Reason.BOOK_EXHAUSTED

    def levels(self, side: Side) -> list[tuple[int, int, int]]:
        """Price, total and number of orders of every level of a side, best first."""
        book = self.sides[side]
        return [
            (price, sum(order.remaining for order in book[price]), len(book[price]))
            for price in self.prices(side)
        ]

    def orders(self) -> Iterator[Order]:
        """Every resting order."""
        for side in self.sides.values():
            for level in side.values():
                yield from level

    def check(self) -> None:
        """The invariants of a book in continuous trading."""
        bids, asks = self.prices(Side.BUY), self.prices(Side.SELL)
        assert not (bids and asks) or bids[0] < asks[0], "the book is crossed"
        for side, levels in self.sides.items():
            for price, level in levels.items():
                assert level, "an empty level stays in the book"
                assert sum(order.remaining for order in level) <= LEVEL_LOTS_MAX
                for order in level:
                    assert order.open
                    assert order.remaining > 0
                    assert (order.side, order.price) == (side, price)
                    assert order.quantity == order.filled + order.remaining
