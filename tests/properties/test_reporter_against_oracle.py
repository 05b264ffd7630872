"""The server's face of the engine against the naive exchange: replies, orders, books, trades."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from novate.engine import Applied, Engine, Reporter
from novate.model.commands import Side
from novate.model.events import EVENT, EventKind
from novate.model.rejects import REASONS, Reason
from tests.conftest import scaled
from tests.oracle.book import Order
from tests.oracle.duel import START_NS, spec
from tests.oracle.exchange import Exchange
from tests.oracle.readings import book_view, order_view, read, trade_view, trades_of
from tests.oracle.registry import ident_of
from tests.oracle.words import (
    Amend,
    Cancel,
    Command,
    Create,
    Event,
    MassCancel,
    Place,
    events_of,
    to_bytes,
)
from tests.oracle.workload import TINY, Workload

SPECS = [spec(0), spec(1, price_ticks_max=103), spec(2, quantity_lots_min=2, quantity_lots_max=9)]
NS_BETWEEN = 20_000_123
CHANGED: dict[EventKind, Callable[[Event], tuple[int, ...]]] = {
    EventKind.ORDER_ACCEPTED: lambda event: (event.order,),
    EventKind.ORDER_REJECTED: lambda event: (event.order,),
    EventKind.ORDER_AMENDED: lambda event: (event.order,),
    EventKind.ORDER_ENDED: lambda event: (event.order,),
    EventKind.TRADE: lambda event: (event.order, event.taker),
}
"""The orders that an event changes."""
TRADES = TINY.trades_per_instrument_max


class Stage:
    """A reporter and an oracle that see the same batches."""

    def __init__(self) -> None:
        self.oracle = Exchange.with_limits(TINY)
        self.reporter = Reporter(Engine(TINY))
        self.now_ns = START_NS
        self.answers: dict[int, tuple[int, bytes]] = {}
        self.images: dict[int, bytes] = {}
        self.updates: dict[tuple[int, Any], dict[str, Any]] = {}
        self.streamed: list[dict[str, dict[Any, Any]]] = [{"bid": {}, "ask": {}} for _ in SPECS]
        self.changed_seq: dict[int, int] = {}
        self.repeats = 0
        self.reporter.want_updates = True
        self.trades: list[list[dict[str, Any]]] = [[] for _ in SPECS]
        self.play([Create(each) for each in SPECS])
        for instrument in range(len(SPECS)):
            self.reporter.watch_book(instrument, True)

    def play(self, commands: list[Command]) -> None:
        """Apply a batch to both and compare its replies and events."""
        self.now_ns += NS_BETWEEN
        first = self.oracle.seq + 1
        self.updates = {}
        expected = [self.step(command) for command in commands]
        batch = b"".join(to_bytes(command) for command in commands)
        applied = self.reporter.apply(batch, first, self.now_ns)
        events = [event for step, _ in expected for event in step]
        assert events_of(np.frombuffer(applied.events, EVENT)) == events
        assert (applied.first_seq, applied.count) == (first, len(commands))
        assert applied.last_seq == self.oracle.seq
        self.keep_answers(first, applied)
        assert self.updates == {
            (seq, body["order_id"]): body
            for _, seq, _, text in applied.updates
            for body in [without_trades(read(text))]
        }
        for command, (_, answer), reply in zip(commands, expected, applied.replies, strict=True):
            assert (reply[0], self.known_parts(read(reply[1]), answer[1]), reply[2]) == answer, (
                command,
                reply,
            )

    def keep_answers(self, first: int, applied: Applied) -> None:
        """A repeat of a key is answered by the image of the first answer, which must be equal."""
        self.images |= dict(applied.outcomes)
        for seq, (status, body, repeats) in enumerate(applied.replies, first):
            if repeats:
                self.repeats += 1
                again = self.reporter.render_outcome(self.images[repeats])
                assert again == self.answers[repeats]
            elif body is not None:
                self.answers[seq] = status, body

    def known_parts(self, body: Any, expected: Any) -> Any:
        """Of a reply's body, the members that the oracle has an opinion on."""
        if not isinstance(expected, dict):
            return body
        assert isinstance(body, dict)
        found = {name: body[name] for name in expected}
        if "trades" in expected:
            found["trades"] = [without_id(trade) for trade in body["trades"]]
        return found

    def step(self, command: Command) -> tuple[list[Event], tuple[int, Any, int]]:
        """The oracle's events and its idea of the reply."""
        before = self.books()
        events = self.oracle.apply(command, self.now_ns)
        for instrument, (old, new) in enumerate(zip(before, self.books(), strict=False)):
            if old != new:
                self.changed_seq[instrument] = self.oracle.seq
        for event in events:
            if event.kind is EventKind.ORDER_AMENDED:
                self.changed_seq[event.instrument] = event.seq
            for number in CHANGED.get(event.kind, lambda event: ())(event):
                order = self.oracle.made[number]
                self.updates[self.oracle.seq, order.ident[1]] = order_view(self.oracle, order)
        for event in trades_of(events):
            view = trade_view(self.oracle, event, self.now_ns)
            self.trades[event.instrument].append(view)
        return events, self.answer(command, events)

    def books(self) -> list[Any]:
        """Every book's levels."""
        return [(book.levels(Side.BUY), book.levels(Side.SELL)) for book in self.oracle.books]

    def answer(self, command: Command, events: list[Event]) -> tuple[int, Any, int]:
        """Status, body and the command whose answer this repeats."""
        head = events[0]
        if head.reason is Reason.IDEMPOTENCY_KEY_REPEATED:
            assert isinstance(command, (Place, Cancel, Amend))
            assert command.client is not None
            assert command.key is not None
            return 0, None, self.oracle.registry.keys[command.client, command.key].seq
        if head.kind is EventKind.COMMAND_REFUSED:
            body: dict[str, Any] = {"code": head.reason.name.lower()}
            body["status"] = REASONS[head.reason].status
            if head.reason is Reason.ALREADY_CLOSED:
                assert isinstance(command, (Cancel, Amend))
                body["order"] = order_view(self.oracle, self.find(command.order))
            return REASONS[head.reason].status, body, 0
        if isinstance(command, MassCancel):
            ended = [self.oracle.made[event.order].ident[1] for event in events[:-1]]
            return 200, {"order_ids": ended, "cancelled_count": len(ended)}, 0
        if isinstance(command, (Place, Cancel, Amend)):
            return self.order_answer(command, events)
        return 201, {}, 0

    def order_answer(
        self, command: Place | Cancel | Amend, events: list[Event]
    ) -> tuple[int, Any, int]:
        """The order with the trades of this command."""
        trades = trades_of(events)
        made = [trade_view(self.oracle, event, self.now_ns) for event in trades]
        order = self.find(command.order)
        body = {**order_view(self.oracle, order), "trades": made, "trade_count": len(made)}
        if not isinstance(command, Place):
            return 200, body, 0
        return 422 if order.rejected else 201, body, 0

    def find(self, order: str | int) -> Order:
        """A known order by its id."""
        return self.oracle.registry.orders[ident_of(order)]

    def compare_reads(self) -> None:
        """Every order, every client's list, every book and its trades."""
        orders = list(self.oracle.registry.orders.values())
        for order in orders:
            assert read(self.reporter.order_json(str(order.ident[1]))) == order_view(
                self.oracle, order
            )
        for number, name in enumerate(self.oracle.registry.clients):
            own = [order for order in reversed(orders) if order.client == number]
            bodies, _ = self.reporter.orders_json(name, -1, None, 1000, 0)
            assert [read(body) for body in bodies] == [
                order_view(self.oracle, order) for order in own
            ]
        for instrument in range(len(SPECS)):
            self.compare_book(instrument)
        self.compare_streamed_books()

    def compare_streamed_books(self) -> None:
        """A client that applied every delta holds the book."""
        for instrument, seq, *sides in self.reporter.take_deltas():
            assert seq == self.changed_seq[instrument]
            for name, side in zip(("bid", "ask"), sides, strict=True):
                levels = self.streamed[instrument][name]
                for row in read(side):
                    levels[row["price"]] = row["quantity"]
                    if not row["quantity"]:
                        del levels[row["price"]]
        for instrument, streamed in enumerate(self.streamed):
            book = book_view(self.oracle, instrument)
            for name, levels in streamed.items():
                assert levels == {row["price"]: row["quantity"] for row in book[f"{name}s"]}

    def compare_book(self, instrument: int) -> None:
        """One book and the newest of its trades."""
        found = read(self.reporter.orderbook_json(instrument, 1000))
        expected = book_view(self.oracle, instrument)
        if instrument in self.changed_seq:
            expected["sequence"] = self.changed_seq[instrument]
        assert {name: found[name] for name in expected} == expected
        trades = read(self.reporter.trades_json(instrument, 1000, None, False))["trades"]
        newest = self.trades[instrument][: -TRADES - 1 : -1]
        assert [without_id(trade) for trade in trades] == newest


def without_id(trade: dict[str, Any]) -> dict[str, Any]:
    """A trade without its id, which the oracle has no opinion on."""
    return {name: value for name, value in trade.items() if name != "trade_id"}


def without_trades(order: dict[str, Any]) -> dict[str, Any]:
    """An order without the trades of one command."""
    return {name: value for name, value in order.items() if name not in ("trades", "trade_count")}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_replies_and_reads(seed: int) -> None:
    stage, chance = Stage(), np.random.default_rng(seed)
    commands = list(Workload(seed).commands(scaled(20_000)))
    while commands:
        size = int(chance.integers(1, 12))
        stage.play(commands[:size])
        stage.compare_reads()
        del commands[:size]
    assert stage.repeats
