"""One instrument's book, the obvious way: a dict of prices, each with its orders in time order.

Beside it the instrument's state: its rules, its phase, its last and its reference price, the stop
orders that wait, and the market orders that an auction holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from novate.model.commands import OrderType, Phase, SelfTrade, Side, TimeInForce
from novate.model.instrument import Instrument, Rules
from novate.model.rejects import Reason

LEVEL_LOTS_MAX = 2**63 - 1
RESTING_FORCES = (TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD)
NOWHERE, LEVEL, PRICELESS, WAITING = "nowhere", "level", "priceless", "waiting"


@dataclass(slots=True, eq=False)
class Order:
    """An order: what was asked, and how far it came.

    `remaining` is what the order still wants; `budget` (quote units) takes its place in an order by
    quote quantity. `ended` is the unfilled rest once the order is closed. `spent` is the value of
    its fills in ticks times lots. `place` says where it stands, `shown` how many of its lots are
    seen there, and `rank` is the seq that gave it its place in time.
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
    stop_price: int = 0
    display: int = 0
    minimum: int = 0
    expire_ns: int = 0
    group: int = 0
    session: int = 0
    self_trade: SelfTrade = SelfTrade.NONE
    partner: Order | None = None
    rank: int = 0
    shown: int = 0
    triggered: bool = False
    place: str = NOWHERE

    @property
    def by_quote(self) -> bool:
        """Whether money, and not a quantity, says how much it may take."""
        return self.quantity == 0

    @property
    def is_stop(self) -> bool:
        """Whether it had, or has, to wait for its stop price."""
        return self.type in (OrderType.STOP, OrderType.STOP_LIMIT)

    @property
    def has_limit(self) -> bool:
        """Whether it has a limit price."""
        return self.type in (OrderType.LIMIT, OrderType.STOP_LIMIT)

    @property
    def can_rest(self) -> bool:
        """Whether what is left of it may stay in the book."""
        return self.has_limit and self.force in RESTING_FORCES

    @property
    def unfilled(self) -> bool:
        """Whether it still wants something."""
        return self.budget > 0 if self.by_quote else self.remaining > 0

    def accepts(self, price: int) -> bool:
        """Whether the order trades at this price."""
        if not self.has_limit:
            return True
        return price <= self.price if self.side is Side.BUY else price >= self.price

    def tip(self) -> int:
        """The lots that it shows when it comes to stand somewhere."""
        return min(self.display, self.remaining) if self.display else self.remaining

    def reached_by(self, low: int, high: int) -> bool:
        """Whether trades between these prices trigger it."""
        return high >= self.stop_price if self.side is Side.BUY else low <= self.stop_price

    def owned_with(self, other: Order) -> bool:
        """Whether a trade of the two would be one with oneself."""
        return self.client == other.client or self.group == other.group != 0


@dataclass(slots=True)
class Book:
    """The open orders of one instrument: `sides[side][price]` are its orders, oldest first."""

    instrument: Instrument
    sides: dict[Side, dict[int, list[Order]]] = field(
        default_factory=lambda: {Side.BUY: {}, Side.SELL: {}}
    )
    priceless: dict[Side, list[Order]] = field(
        default_factory=lambda: {Side.BUY: [], Side.SELL: []}
    )
    stops: list[Order] = field(default_factory=list)
    rules: Rules = field(default_factory=Rules)
    schedule_done_ns: int = 0
    phase: Phase = Phase.CONTINUOUS
    until_ns: int = 0
    held: bool = False
    last_price: int = 0
    reference_price: int = 0
    traded: list[int] = field(default_factory=list)

    def prices(self, side: Side) -> list[int]:
        """The prices of a side, best first."""
        return sorted(self.sides[side], reverse=side is Side.BUY)

    def first(self, side: Side) -> Order | None:
        """The order whose turn it is on a side; None: the side is empty."""
        prices = self.prices(side)
        return self.sides[side][prices[0]][0] if prices else None

    def crosses(self, order: Order) -> bool:
        """Whether the best price of the other side is one that the order accepts."""
        first = self.first(Side(1 - order.side))
        return first is not None and order.accepts(first.price)

    def put(self, order: Order) -> None:
        """Put the order at the back of its price level, or of those without a price."""
        order.shown = order.tip()
        if order.has_limit:
            order.place = LEVEL
            self.sides[order.side].setdefault(order.price, []).append(order)
        else:
            order.place = PRICELESS
            self.priceless[order.side].append(order)

    def wait(self, order: Order) -> None:
        """Let a stop order wait for its stop price."""
        order.place = WAITING
        self.stops.append(order)

    def remove(self, order: Order) -> None:
        """Take an order out from where it stands; a level without orders is gone."""
        if order.place == LEVEL:
            level = self.sides[order.side][order.price]
            level.remove(order)
            if not level:
                del self.sides[order.side][order.price]
        elif order.place == PRICELESS:
            self.priceless[order.side].remove(order)
        elif order.place == WAITING:
            self.stops.remove(order)
        order.place, order.shown = NOWHERE, 0

    def refresh(self, order: Order) -> None:
        """Show a new tip where the last is used up, at the back of the level."""
        if order.shown == 0 and order.remaining:
            self.remove(order)
            self.put(order)

    def room_for(
        self, order: Order, rest: int, levels_max: int, leaving: Order | None = None
    ) -> Reason:
        """Why `rest` lots of the order could not stay in the book, or NONE.

        `leaving` is the resting order whose place it takes in an amendment.
        """
        side = self.sides[order.side]
        level = side.get(order.price, []) if order.has_limit else self.priceless[order.side]
        others = [other.remaining for other in level if other is not leaving]
        if others or not order.has_limit:
            return Reason.LEVEL_FULL if sum(others) + rest > LEVEL_LOTS_MAX else Reason.NONE
        makes_room = leaving is not None and len(side[leaving.price]) == 1
        too_many = len(side) >= levels_max and not makes_room
        return Reason.PRICE_LEVELS_LIMIT if too_many else Reason.NONE

    def levels(self, side: Side) -> list[tuple[int, int, int]]:
        """Price, lots shown and number of orders of every level of a side, best first."""
        book = self.sides[side]
        return [
            (price, sum(order.shown for order in book[price]), len(book[price]))
            for price in self.prices(side)
        ]

    def resting(self, side: Side) -> Iterator[Order]:
        """The orders of a side in an auction's order: without a price, then best price first."""
        yield from self.priceless[side]
        for price in self.prices(side):
            yield from self.sides[side][price]

    def orders(self) -> Iterator[Order]:
        """Every open order."""
        yield from self.resting(Side.BUY)
        yield from self.resting(Side.SELL)
        yield from self.stops

    def check(self) -> None:
        """The invariants of a book."""
        bids, asks = self.prices(Side.BUY), self.prices(Side.SELL)
        if self.phase is Phase.CONTINUOUS:
            assert not (bids and asks) or bids[0] < asks[0], "the book is crossed"
            last = self.last_price
            assert not last or not any(stop.reached_by(last, last) for stop in self.stops)
        if self.phase is not Phase.AUCTION:
            assert not any(self.priceless.values()), "a market order outlived its auction"
        for side, levels in self.sides.items():
            for price, level in levels.items():
                assert level, "an empty level stays in the book"
                assert sum(order.remaining for order in level) <= LEVEL_LOTS_MAX
                for order in level:
                    assert (order.side, order.price, order.place) == (side, price, LEVEL)
        for order in self.orders():
            self.check_order(order)

    def check_order(self, order: Order) -> None:
        """The invariants of an open order."""
        assert order.open
        assert order.remaining > 0
        assert order.quantity == order.filled + order.remaining
        if order.place == WAITING:
            assert order.is_stop
            assert not order.triggered
        else:
            assert 0 < order.shown <= min(order.remaining, order.display or order.remaining)
        if order.partner is not None:
            assert order.partner.open
            assert order.partner.partner is order
