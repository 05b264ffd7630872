"""The server's face of the engine against the naive exchange, over the whole rulebook.

What `test_reporter_against_oracle` says of plain commands, said of those that set more off than
their own order's events: something due, triggered stops, auctions, pairs, sessions, switches.
"""

from __future__ import annotations

from typing import Any

import pytest

from novate.model.commands import SelfTrade
from novate.model.events import AUCTION_TRADE, EventKind
from novate.model.rejects import REASONS, Reason
from tests.conftest import scaled
from tests.oracle.book import Order
from tests.oracle.market import Market, MarketWorkload
from tests.oracle.readings import order_view, price_of, quantity_of, read, time_text, trade_view
from tests.oracle.words import Amend, Cancel, Command, Event, MassCancel, Place
from tests.properties.test_reporter_against_oracle import CHANGED as CHANGED_BY_PLAIN
from tests.properties.test_reporter_against_oracle import Stage

LATER_NS = (0, 0, 20_000_000, 1, 40_000_000, 0, 200_000_000)
CHANGED = {**CHANGED_BY_PLAIN, EventKind.ORDER_TRIGGERED: lambda event: (event.order,)}


def terms_view(stage: MarketStage, order: Order) -> dict[str, Any]:
    """An order with what few orders have."""
    oracle = stage.oracle
    instrument = oracle.books[order.instrument].instrument
    view = order_view(oracle, order)
    if order.stop_price:
        view["stop_price"] = price_of(instrument, order.stop_price)
        view["triggered"] = order.triggered
    if order.display:
        view["display_quantity"] = quantity_of(instrument, order.display)
    if stage.minimums.get(order.number):
        view["minimum_quantity"] = quantity_of(instrument, stage.minimums[order.number])
    if order.expire_ns:
        view["expires_at"] = time_text(order.expire_ns)
    if order.self_trade is not SelfTrade.NONE:
        view["self_trade_prevention"] = SelfTrade(order.self_trade).name.lower()
    if order.group:
        view["self_trade_group"] = order.group
    if order.open and order.partner is not None:
        view["oco"] = order.partner.ident[1]
    return view


class MarketStage(Stage):
    """A reporter and an oracle over a market with phases, rules and every kind of order."""

    def __init__(self) -> None:
        self.minimums: dict[int, int] = {}
        super().__init__()

    def play_at(self, command: Command, later_ns: int) -> None:
        """One command, so much later than the last."""
        self.now_ns += later_ns
        before = self.books()
        sequences = dict(self.changed_seq)
        self.play([command])
        if before == self.books():
            self.changed_seq = sequences

    def step(self, command: Command) -> tuple[list[Event], tuple[int, Any, int]]:
        events = self.oracle.apply(command, self.now_ns)
        if isinstance(command, Place) and self.oracle.seq in self.oracle.made:
            self.minimums[self.oracle.seq] = command.minimum
        for event in events:
            for number in CHANGED.get(event.kind, lambda event: ())(event):
                order = self.oracle.made[number]
                view = terms_view(self, order)
                self.updates[self.oracle.seq, order.ident[1]] = view
            if event.kind is EventKind.TRADE:
                self.trades[event.instrument].append(self.trade(event))
        return events, self.answer(command, events)

    def trade(self, event: Event) -> dict[str, Any]:
        view = trade_view(self.oracle, event, self.now_ns)
        if event.flags & AUCTION_TRADE:
            view["taker_side"] = None
        return view

    def answer(self, command: Command, events: list[Event]) -> tuple[int, Any, int]:
        last = events[-1]
        if last.kind is EventKind.COMMAND_REFUSED:
            if last.reason is Reason.IDEMPOTENCY_KEY_REPEATED:
                return super().answer(command, [last])
            return REASONS[last.reason].status, {"code": last.reason.name.lower()}, 0
        if isinstance(command, MassCancel):
            ended = events[len(events) - 1 - last.quantity : -1]
            ids = [self.oracle.made[event.order].ident[1] for event in ended]
            return 200, {"order_ids": ids, "cancelled_count": len(ids)}, 0
        if isinstance(command, (Place, Cancel, Amend)):
            return self.order_answer(command, events)
        return (200 if last.kind is not EventKind.INSTRUMENT_CREATED else 201), {}, 0

    def order_answer(
        self, command: Place | Cancel | Amend, events: list[Event]
    ) -> tuple[int, Any, int]:
        order = self.find(command.order)
        made = [
            self.trade(event)
            for event in events
            if event.kind is EventKind.TRADE and order.number in (event.order, event.taker)
        ]
        body = {**terms_view(self, order), "trades": made, "trade_count": len(made)}
        if not isinstance(command, Place):
            return 200, body, 0
        return 422 if order.rejected else 201, body, 0

    def compare_reads(self) -> None:
        for order in self.oracle.registry.orders.values():
            found = read(self.reporter.order_json(str(order.ident[1])))
            assert found == terms_view(self, order)
        for instrument in range(len(self.oracle.books)):
            self.compare_book(instrument)
            phase = self.oracle.books[instrument].phase
            assert read(self.reporter.instrument_json(instrument))["state"] == phase.name.lower()
        self.compare_streamed_books()

    def compare_book(self, instrument: int) -> None:
        self.changed_seq.pop(instrument, None)
        super().compare_book(instrument)

    def compare_streamed_books(self) -> None:
        for instrument, _, *sides in self.reporter.take_deltas():
            for name, side in zip(("bid", "ask"), sides, strict=True):
                levels = self.streamed[instrument][name]
                for row in read(side):
                    levels[row["price"]] = row["quantity"]
                    if not row["quantity"]:
                        del levels[row["price"]]
        self.reporter_has_no_more()
        for instrument, streamed in enumerate(self.streamed):
            self.compare_streamed(instrument, streamed)

    def reporter_has_no_more(self) -> None:
        assert self.reporter.take_deltas() == []

    def compare_streamed(self, instrument: int, streamed: dict[str, dict[Any, Any]]) -> None:
        from tests.oracle.readings import book_view

        book = book_view(self.oracle, instrument)
        for name, levels in streamed.items():
            assert levels == {row["price"]: row["quantity"] for row in book[f"{name}s"]}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_replies_updates_reads_and_streams(seed: int) -> None:
    stage = MarketStage()
    workload = MarketWorkload(seed, stage.oracle, Market(instruments=3, numbered=False))
    seen = set()
    for number, command in enumerate(workload.commands(scaled(8_000))):
        seen.add(type(command))
        stage.play_at(command, LATER_NS[number % len(LATER_NS)])
        workload.now_ns = stage.now_ns
        stage.compare_reads()
    assert len(seen) > 12
