"""Conducts the feed: messages in, in order; one batch on its way at a time.

A diff becomes operations only after the answers to everything before it, so the operations and
their order follow from the messages alone, at any speed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from novate.feeds import FeedError
from novate.feeds.binance.depth import DepthSequence, Step
from novate.feeds.binance.grid import Grid
from novate.feeds.binance.messages import (
    BookTicker,
    DepthDiff,
    DepthSnapshot,
    Level,
    Message,
    PublicTrade,
)
from novate.feeds.binance.mirror import BookBroken, Levels, Mirror
from novate.feeds.binance.operations import Kind, Operation, Outcome, Side, TopOfBook
from novate.feeds.binance.order_entry import BATCH_MAX, OrderEntry

COMPARED_MAX = 10_000


class Tally(msgspec.Struct):
    """What was done; of a capture, the same numbers every time.

    Attributes:
        commands: Operations the exchange answered.
        trades: Trades they made.
        rejected: Of the commands, those that were not accepted.
        market_orders: Of the commands, the venue's trades as takers.
        unfilled: Market orders that found less than they asked for.
        trades_left_out: Trades of the venue from before the book was known.
        levels_left_out: Levels whose price is between two ticks.
        broken_books: Times the venue's book was crossed or too deep.
        compared, differing: Tops of book compared with bookTicker's, and those that differ.
    """

    commands: int = 0
    placed: int = 0
    amended: int = 0
    cancelled: int = 0
    market_orders: int = 0
    unfilled: int = 0
    trades: int = 0
    rejected: int = 0
    trades_left_out: int = 0
    levels_left_out: int = 0
    broken_books: int = 0
    compared: int = 0
    differing: int = 0


class Player:
    """Turns the venue's messages into orders on the exchange.

    Args:
        taker_id: Client of the venue's trades; None leaves them out (book only).
        id_prefix: Start of the takers' order ids; the venue's trade id comes behind it.
        compare: Compare the top of book with bookTicker's at every shared update id.
    """

    def __init__(
        self,
        entry: OrderEntry,
        mirror: Mirror,
        grid: Grid,
        *,
        taker_id: str | None,
        id_prefix: str,
        compare: bool = False,
    ) -> None:
        self._entry = entry
        self._mirror = mirror
        self._grid = grid
        self._taker_id = taker_id
        self._id_prefix = id_prefix
        self._takers: list[Operation] = []
        self._tops = Tops() if compare else None
        self._must_reconcile = False
        self.depth = DepthSequence()
        self.tally = Tally()
        self.on_step: Callable[[Step], None] = lambda step: None

    @property
    def mirror(self) -> Mirror:
        """The mirror it keeps."""
        return self._mirror

    def request_reconcile(self) -> None:
        """Before the next step, ask the exchange how the mirror's orders stand."""
        self._must_reconcile = True

    async def take(self, message: Message) -> None:
        """Do what a message asks for; a trade may wait for `flush` or the next step."""
        if isinstance(message, PublicTrade):
            await self._take_trade(message)
        elif isinstance(message, BookTicker):
            if self._tops is not None:
                self._tops.told(message.update_id, self._told_top(message))
        else:
            await self._take_depth(message)

    async def flush(self) -> None:
        """Send the trades that wait."""
        takers, self._takers = self._takers, []
        for operation, outcome in await self._submit(takers):
            self.tally.market_orders += 1
            filled = outcome.order.filled_lots if outcome.order else 0
            self.tally.unfilled += filled < operation.quantity_lots
            for fill in outcome.fills:
                self._mirror.fill(fill)
            if outcome.trade_count > len(outcome.fills):
                self._mirror.doubt_side(operation.side.opposite)

    async def _take_trade(self, trade: PublicTrade) -> None:
        if self._taker_id is None:
            return
        if not self.depth.is_synced:
            self.tally.trades_left_out += 1
            return
        side = Side.SELL if trade.buyer_is_maker else Side.BUY
        order_id = f"{self._id_prefix}{trade.trade_id}"
        lots = self._grid.lots_within(trade.quantity)
        self._takers.append(Operation(Kind.PLACE, order_id, self._taker_id, side, 0, lots))
        if len(self._takers) >= BATCH_MAX:
            await self.flush()

    async def _take_depth(self, message: DepthDiff | DepthSnapshot) -> None:
        await self.flush()
        for step in self.depth.take(message):
            if self._must_reconcile:
                self._must_reconcile = False
                states = await self._entry.working_orders(self._mirror.client_id)
                self._mirror.reconcile(states)
            try:
                operations = self._operations(step)
            except BookBroken:
                self.tally.broken_books += 1
                self.depth.reset()
                return
            for operation, outcome in await self._submit(operations):
                self._mirror.settle(operation, outcome)
            if self._tops is not None and self._tops.is_told(step.last_update_id):
                self._tops.seen(step.last_update_id, await self._entry.top_of_book())
                self.tally.compared, self.tally.differing = self._tops.counts()
            self.on_step(step)

    def _operations(self, step: Step) -> list[Operation]:
        bids, asks = self._levels(step.bids), self._levels(step.asks)
        if isinstance(step, DepthSnapshot):
            return self._mirror.set_book(bids, asks)
        return self._mirror.set_levels(bids, asks)

    def _levels(self, levels: list[Level]) -> Levels:
        ticks, lots = self._grid.ticks, self._grid.lots_within
        placed = []
        for price, quantity in levels:
            try:
                placed.append((ticks(price), lots(quantity)))
            except FeedError:
                # From before the venue coarsened its tick: there is no such price here.
                self.tally.levels_left_out += 1
        return placed

    def _told_top(self, ticker: BookTicker) -> TopOfBook:
        ticks, lots = self._grid.ticks, self._grid.lots_within
        return TopOfBook(
            ticks(ticker.bid),
            lots(ticker.bid_quantity),
            ticks(ticker.ask),
            lots(ticker.ask_quantity),
        )

    async def _submit(self, operations: Sequence[Operation]) -> list[tuple[Operation, Outcome]]:
        answered: list[tuple[Operation, Outcome]] = []
        for start in range(0, len(operations), BATCH_MAX):
            chunk = operations[start : start + BATCH_MAX]
            outcomes = await self._entry.submit(chunk)
            answered += zip(chunk, outcomes, strict=True)
        for operation, outcome in answered:
            self._count(operation.kind, outcome)
        return answered

    def _count(self, kind: Kind, outcome: Outcome) -> None:
        tally = self.tally
        tally.commands += 1
        # Of a place alone: the answer to an amendment may list trades of before.
        tally.trades += outcome.trade_count if kind is Kind.PLACE else 0
        tally.placed += kind is Kind.PLACE
        tally.amended += kind is Kind.AMEND
        tally.cancelled += kind is Kind.CANCEL
        tally.rejected += not outcome.accepted


class Tops:
    """Compares the top of book told by bookTicker with the one seen here, at shared update ids.

    bookTicker speaks at once and a diff up to 100 ms later, so it is always told before it is seen.
    """

    def __init__(self, kept_max: int = COMPARED_MAX) -> None:
        self._told: dict[int, TopOfBook] = {}
        self._kept_max = kept_max
        self.compared = 0
        self.differences: list[tuple[int, TopOfBook, TopOfBook]] = []

    def counts(self) -> tuple[int, int]:
        """How many were compared, and how many of them differ."""
        return self.compared, len(self.differences)

    def told(self, update_id: int, top: TopOfBook) -> None:
        """What bookTicker says at an update id; the oldest of too many is dropped."""
        self._told[update_id] = top
        if len(self._told) > self._kept_max:
            del self._told[next(iter(self._told))]

    def is_told(self, update_id: int) -> bool:
        """Whether bookTicker named this update id."""
        return update_id in self._told

    def seen(self, update_id: int, top: TopOfBook) -> None:
        """What stands here after the step of an update id that was told."""
        told = self._told.pop(update_id)
        self.compared += 1
        if told != top and len(self.differences) < self._kept_max:
            self.differences.append((update_id, told, top))
