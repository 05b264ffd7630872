"""The venue's depth as limit orders of one client, one order per price level. No I/O.

The mirror knows the book it must show and, from what the exchange tells (replies, trades, order
updates), what is left of its own orders. A step sets every level it names to the venue's quantity,
and puts right every other level that trades have changed since: after each step the client's orders
are the venue's book.

Removals and reductions come before additions. As the venue's own book is never crossed, no order of
the mirror so ever meets another of it. Its orders are not post-only on purpose: where the market
moves through an order that a user left resting, that order is to trade.
"""

from __future__ import annotations

from typing import Final

from novate.feeds import FeedError
from novate.feeds.binance.operations import Fill, Kind, Operation, OrderState, Outcome, Side

LEVELS_MAX: Final = 100_000
"""Price levels per side; the venue's own snapshots end at 5,000."""

Levels = list[tuple[int, int]]
"""Pairs of price in ticks and total quantity in lots; 0 = no such level."""

_GONE: Final = frozenset({404, 409})


class BookBroken(FeedError):
    """The venue's book as told is crossed or too deep; only a new snapshot helps."""


class RestingOrder:
    """The mirror's order at a price level, as far as the exchange told."""

    __slots__ = ("filled_lots", "order_id", "price_ticks", "quantity_lots", "seq", "side")

    def __init__(self, order_id: str, side: Side, price_ticks: int, quantity_lots: int) -> None:
        self.order_id = order_id
        self.side = side
        self.price_ticks = price_ticks
        self.quantity_lots = quantity_lots
        self.filled_lots = 0
        self.seq = -1

    @property
    def remaining_lots(self) -> int:
        """What is still open."""
        return self.quantity_lots - self.filled_lots


class Mirror:
    """Turns a book that the venue tells into operations, and answers into knowledge.

    Used in turn: `set_book` or `set_levels` gives operations; each is answered by `settle` before
    the next. `observe` and `fill` may come at any time between.

    Args:
        client_id: Owner of the orders.
        id_prefix: Start of every order id; with a number behind it, it must be new to the exchange.
    """

    def __init__(self, client_id: str, id_prefix: str, levels_max: int = LEVELS_MAX) -> None:
        self.client_id = client_id
        self._id_prefix = id_prefix
        self._ids_given = 0
        self._levels_max = levels_max
        self._wanted: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        self._orders: dict[Side, dict[int, RestingOrder]] = {Side.BUY: {}, Side.SELL: {}}
        self._by_id: dict[str, RestingOrder] = {}
        # Levels whose order may not be what it should be.
        self._astray: set[tuple[Side, int]] = set()
        # Orders that are to go, whatever is left of them; none of them stands for a level.
        self._strays: dict[str, Side] = {}

    def wanted(self, side: Side) -> dict[int, int]:
        """The venue's levels of a side, price in ticks to quantity in lots (a copy)."""
        return dict(self._wanted[side])

    def remaining(self, side: Side) -> dict[int, int]:
        """What is open of the mirror's orders, price in ticks to lots, as far as told."""
        return {price: order.remaining_lots for price, order in self._orders[side].items()}

    def best(self) -> tuple[int, int]:
        """The venue's best bid and ask in ticks, 0 where there is none."""
        bids, asks = self._wanted[Side.BUY], self._wanted[Side.SELL]
        return max(bids, default=0), min(asks, default=0)

    def set_book(self, bids: Levels, asks: Levels) -> list[Operation]:
        """Make the book exactly these levels: every other order goes.

        Raises:
            BookBroken: crossed, or too many levels.
        """
        self._astray.clear()
        for side in Side:
            self._astray.update((side, price) for price in self._orders[side])
            self._wanted[side].clear()
        return self.set_levels(bids, asks)

    def set_levels(self, bids: Levels, asks: Levels) -> list[Operation]:
        """Set the named levels, and put right what trades left astray elsewhere.

        Raises:
            BookBroken: crossed, or too many levels.
        """
        for side, levels in ((Side.BUY, bids), (Side.SELL, asks)):
            wanted = self._wanted[side]
            for price, quantity in levels:
                if quantity:
                    wanted[price] = quantity
                else:
                    wanted.pop(price, None)
                self._astray.add((side, price))
        self._check()
        return self._operations()

    def _check(self) -> None:
        deepest = max(len(levels) for levels in self._wanted.values())
        if deepest > self._levels_max:
            raise BookBroken(f"expected {self._levels_max} levels at most, found {deepest}")
        bid, ask = self.best()
        if bid and ask and bid >= ask:
            raise BookBroken(f"expected bid below ask, found {bid} and {ask} ticks")

    def _operations(self) -> list[Operation]:
        first = [self._cancel(order_id, side) for order_id, side in self._strays.items()]
        then: list[Operation] = []
        # Best first: the order follows from the set, not from the order in which news came in.
        astray = sorted(
            self._astray, key=lambda level: (level[0], -level[1] if level[0] == "buy" else level[1])
        )
        for side, price in astray:
            wanted = self._wanted[side].get(price, 0)
            order = self._orders[side].get(price)
            if order is None:
                if wanted:
                    then.append(self._place(side, price, wanted))
            elif not wanted:
                first.append(self._cancel(order.order_id, side))
            elif wanted != order.remaining_lots:
                smaller = wanted < order.remaining_lots
                (first if smaller else then).append(self._amend(order, wanted))
        self._astray.clear()
        self._strays.clear()
        return first + then

    def _place(self, side: Side, price_ticks: int, quantity_lots: int) -> Operation:
        self._ids_given += 1
        order_id = f"{self._id_prefix}{self._ids_given}"
        order = RestingOrder(order_id, side, price_ticks, quantity_lots)
        self._orders[side][price_ticks] = order
        self._by_id[order_id] = order
        return Operation(Kind.PLACE, order_id, self.client_id, side, price_ticks, quantity_lots)

    def _cancel(self, order_id: str, side: Side) -> Operation:
        return Operation(Kind.CANCEL, order_id, self.client_id, side, 0, 0)

    def _amend(self, order: RestingOrder, wanted_lots: int) -> Operation:
        total = order.filled_lots + wanted_lots
        return Operation(
            Kind.AMEND, order.order_id, self.client_id, order.side, order.price_ticks, total
        )

    def settle(self, operation: Operation, outcome: Outcome) -> None:
        """Learn from the answer to an operation of this mirror."""
        order = self._by_id.get(operation.order_id)
        if operation.kind is Kind.CANCEL and not (outcome.accepted or outcome.status in _GONE):
            self._strays[operation.order_id] = operation.side
        if order is None:
            return
        if operation.kind is Kind.CANCEL:
            self._forget(order)
        elif outcome.accepted and outcome.order is not None:
            order.quantity_lots = outcome.order.quantity_lots
            self.observe(outcome.order)
        elif operation.kind is Kind.PLACE or outcome.status in _GONE:
            # A refused place is not tried again until the venue names the level: no endless loop.
            self._forget(order, astray=operation.kind is not Kind.PLACE)
        else:
            self._doubt(order)

    def observe(self, state: OrderState) -> None:
        """Learn how an order stands; old news does no harm, a fill is never taken back."""
        order = self._by_id.get(state.order_id)
        if order is None:
            return
        order.filled_lots = max(order.filled_lots, state.filled_lots)
        order.seq = max(order.seq, state.seq)
        if state.working:
            self._compare(order)
        else:
            self._forget(order)

    def fill(self, fill: Fill) -> None:
        """Learn of a trade against one of the mirror's orders, unless it is known already."""
        order = self._by_id.get(fill.maker_order_id)
        if order is None or fill.seq <= order.seq:
            return
        order.seq = fill.seq
        order.filled_lots += fill.quantity_lots
        if order.remaining_lots > 0:
            self._compare(order)
        else:
            self._forget(order)

    def doubt_side(self, side: Side) -> None:
        """Trades took from this side that were not all told: replace every order of it."""
        for order in list(self._orders[side].values()):
            self._doubt(order)

    def reconcile(self, states: list[OrderState]) -> None:
        """Learn from the list of all working orders of the client.

        What is not in it is gone; what this mirror doesn't know is cancelled with the next step.
        """
        listed = {state.order_id for state in states}
        for state in states:
            if state.order_id in self._by_id:
                self.observe(state)
            else:
                self._strays[state.order_id] = Side.BUY
        for order in list(self._by_id.values()):
            if order.order_id not in listed:
                self._forget(order)

    def _compare(self, order: RestingOrder) -> None:
        if self._wanted[order.side].get(order.price_ticks, 0) != order.remaining_lots:
            self._astray.add((order.side, order.price_ticks))

    def _doubt(self, order: RestingOrder) -> None:
        self._strays[order.order_id] = order.side
        self._forget(order)

    def _forget(self, order: RestingOrder, astray: bool = True) -> None:
        self._by_id.pop(order.order_id, None)
        level = self._orders[order.side]
        if level.get(order.price_ticks) is order:
            del level[order.price_ticks]
            if astray and order.price_ticks in self._wanted[order.side]:
                self._astray.add((order.side, order.price_ticks))
