"""A plain exchange in memory for the feed's tests: price-time matching, slow and obvious."""

from __future__ import annotations

from collections.abc import Sequence

from novate.feeds.binance.operations import (
    Fill,
    Kind,
    Operation,
    OrderState,
    Outcome,
    Side,
    TopOfBook,
)


class Order:
    def __init__(self, operation: Operation, seq: int) -> None:
        self.operation = operation
        self.quantity_lots = operation.quantity_lots
        self.filled_lots = 0
        self.working = True
        self.seq = seq

    @property
    def remaining_lots(self) -> int:
        return self.quantity_lots - self.filled_lots

    def state(self) -> OrderState:
        return OrderState(
            self.operation.order_id, self.quantity_lots, self.filled_lots, self.working, self.seq
        )


class FakeExchange:
    """An `OrderEntry` that matches. `refuse` maps an order id to the status that answers it."""

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}
        self.batches: list[list[Operation]] = []
        self.refuse: dict[str, int] = {}
        self.seq = 0

    async def submit(self, operations: Sequence[Operation]) -> list[Outcome]:
        self.batches.append(list(operations))
        return [self.apply(each) for each in operations]

    def apply(self, operation: Operation) -> Outcome:
        self.seq += 1
        if operation.order_id in self.refuse:
            return Outcome(self.refuse[operation.order_id], None, "refused")
        if operation.kind is Kind.PLACE:
            return self._place(operation)
        order = self.orders.get(operation.order_id)
        if order is None:
            return Outcome(404, None, "unknown_order")
        if not order.working:
            return Outcome(409, order.state(), "already_closed")
        if operation.kind is Kind.AMEND:
            if operation.quantity_lots <= order.filled_lots:
                return Outcome(422, order.state(), "quantity_too_small")
            order.quantity_lots = operation.quantity_lots
        else:
            order.working = False
        return Outcome(200, order.state())

    def _place(self, operation: Operation) -> Outcome:
        taker = Order(operation, self.seq)
        self.orders[operation.order_id] = taker
        fills = []
        for maker in self._makers(operation):
            lots = min(taker.remaining_lots, maker.remaining_lots)
            if lots == 0:
                break
            for each in (taker, maker):
                each.filled_lots += lots
                each.working = each.remaining_lots > 0
            fills.append(Fill(maker.operation.order_id, lots, self.seq))
        taker.working = taker.remaining_lots > 0 and operation.price_ticks > 0
        return Outcome(201, taker.state(), "", tuple(fills), len(fills))

    def _makers(self, operation: Operation) -> list[Order]:
        sign = 1 if operation.side is Side.BUY else -1
        makers = [
            each
            for each in self.resting(operation.side.opposite)
            if operation.price_ticks == 0
            or sign * each.operation.price_ticks <= sign * operation.price_ticks
        ]
        return sorted(makers, key=lambda each: (sign * each.operation.price_ticks, each.seq))

    def resting(self, side: Side) -> list[Order]:
        return [
            each for each in self.orders.values() if each.working and each.operation.side is side
        ]

    def levels(self, side: Side) -> dict[int, int]:
        """Price in ticks to open lots."""
        totals: dict[int, int] = {}
        for each in self.resting(side):
            price = each.operation.price_ticks
            totals[price] = totals.get(price, 0) + each.remaining_lots
        return totals

    async def top_of_book(self) -> TopOfBook:
        bids, asks = self.levels(Side.BUY), self.levels(Side.SELL)
        bid, ask = max(bids, default=0), min(asks, default=0)
        return TopOfBook(bid, bids.get(bid, 0), ask, asks.get(ask, 0))

    async def working_orders(self, client_id: str) -> list[OrderState]:
        return [
            each.state()
            for each in self.orders.values()
            if each.working and each.operation.client_id == client_id
        ]
