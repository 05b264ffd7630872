"""The naive exchange: commands in, event tuples out, one function per rule.

It is written from the rules of the exchange and not from the engine, so that two readings of the
rules meet in the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import msgspec

from novate.model.commands import OrderType, TimeInForce
from novate.model.events import EventKind
from novate.model.instrument import QUOTE_UNITS_MAX, Instrument, Limits
from novate.model.rejects import REASONS, Reason
from tests.oracle.book import Book, Fill, Order
from tests.oracle.registry import Key, Registry, ident_of
from tests.oracle.words import (
    Amend,
    Cancel,
    Command,
    Configure,
    Create,
    Event,
    MassCancel,
    Place,
    Snapshot,
)

STATUSES_NOT_KEPT = frozenset({400, 429, 503})
"""Answers that a key does not keep: the client may try the same again."""


Asked = TypeVar("Asked", Place, Cancel, Amend, MassCancel)


@dataclass(slots=True)
class Exchange:
    """All books and the registry; `apply` is the whole of it.

    `made` has every order there ever was, by number: for the tests, and no rule looks at it.
    """

    registry: Registry
    books: list[Book] = field(default_factory=list)
    made: dict[int, Order] = field(default_factory=dict)
    seq: int = 0
    now_ns: int = 0

    @classmethod
    def with_limits(cls, limits: Limits) -> Exchange:
        """An empty exchange."""
        return cls(Registry(limits))

    @property
    def limits(self) -> Limits:
        """The limits in force."""
        return self.registry.limits

    def apply(self, command: Command, timestamp_ns: int = 0) -> list[Event]:
        """Carry out one command; its sequence is the next one."""
        self.seq += 1
        self.now_ns = max(self.now_ns, timestamp_ns)
        match command:
            case Place():
                return self.keyed(command, self.place)
            case Cancel():
                return self.keyed(command, self.cancel)
            case Amend():
                return self.keyed(command, self.amend)
            case MassCancel():
                return self.keyed(command, self.mass_cancel)
            case Create():
                return [self.create(command.spec)]
            case Configure():
                return [self.configure(command.limits)]
            case Snapshot():
                return [Event(self.seq, EventKind.SNAPSHOT_REQUESTED)]

    # --- keys -------------------------------------------------------------------------------------

    def keyed(self, command: Asked, carry_out: Callable[[Asked], list[Event]]) -> list[Event]:
        """Let the idempotency key speak first; remember it if the answer is one to keep."""
        self.registry.expire_keys(self.now_ns)
        outside = self.refuses_bounds(command)
        if outside is not None:
            return [outside]
        client = command.client
        if command.key is None or client is None:
            return carry_out(command)
        reason = self.registry.refuses_key((client, command.key), command.body)
        if reason is not Reason.NONE:
            return [self.refused(reason)]
        if not self.registry.has_room_for_key(self.registry.client_number(client), self.now_ns):
            return [self.refused(Reason.IDEMPOTENCY_WINDOW_FULL)]
        if not self.registry.has_room_for_client(client):
            return [self.refused(Reason.CLIENTS_LIMIT)]
        number = self.registry.register_client(client)
        events = carry_out(command)
        if REASONS[events[0].reason].status not in STATUSES_NOT_KEPT:
            self.registry.keep_key(
                Key((client, command.key), number, self.seq, command.body, self.now_ns)
            )
        return events

    def refuses_bounds(self, command: Place | Cancel | Amend | MassCancel) -> Event | None:
        """What is out of the instrument's bounds never gets as far as a key."""
        match command:
            case Place():
                reason = self.refuses_place_bounds(command)
                return None if reason is Reason.NONE else self.refused(reason)
            case MassCancel() if command.instrument >= len(self.books):
                return self.refused(Reason.UNKNOWN_INSTRUMENT)
            case Amend():
                order = self.registry.orders.get(ident_of(command.order))
                if order is not None and order.open and not self.amends_inside(order, command):
                    return self.refused(Reason.OUT_OF_BOUNDS, order)
        return None

    def amends_inside(self, order: Order, command: Amend) -> bool:
        """Whether what an amendment asks for is within the instrument's bounds."""
        spec = self.books[order.instrument].instrument
        price, quantity = command.price or order.price, command.quantity or order.quantity
        inside = spec.quantity_lots_min <= quantity <= spec.quantity_lots_max
        return inside and 1 <= price <= spec.price_ticks_max

    def refuses_place_bounds(self, command: Place) -> Reason:
        """The bounds of a new order."""
        if command.instrument >= len(self.books):
            return Reason.UNKNOWN_INSTRUMENT
        spec = self.books[command.instrument].instrument
        if command.type is OrderType.LIMIT and not 1 <= command.price <= spec.price_ticks_max:
            return Reason.OUT_OF_BOUNDS
        if command.quote_units:
            inside = 1 <= command.quote_units <= QUOTE_UNITS_MAX
        else:
            inside = spec.quantity_lots_min <= command.quantity <= spec.quantity_lots_max
        return Reason.NONE if inside else Reason.OUT_OF_BOUNDS

    # --- place ------------------------------------------------------------------------------------

    def place(self, command: Place) -> list[Event]:
        """A new order: refused by the registry, rejected by the book, or accepted and matched."""
        if not self.registry.has_room_for_client(command.client):
            return [self.refused(Reason.CLIENTS_LIMIT)]
        client = self.registry.register_client(command.client)
        ident = ident_of(command.order)
        if ident in self.registry.orders:
            return [self.refused(Reason.DUPLICATE_ORDER_ID, self.registry.orders[ident])]
        order = self.new_order(command, client)
        self.made[order.number] = order
        reason = self.rejects(order)
        self.registry.orders[ident] = order
        if reason is not Reason.NONE:
            order.ended, order.remaining = order.remaining, 0
            order.rejected, order.reason = True, reason
            self.registry.close(order)
            return [self.order_event(EventKind.ORDER_REJECTED, order, reason)]
        accepted = self.order_event(
            EventKind.ORDER_ACCEPTED, order, Reason.NONE, remaining=order.remaining
        )
        return [accepted, *self.trade_and_settle(order)]

    def new_order(self, command: Place, client: int) -> Order:
        """The order that a command asks for."""
        named_by_number = isinstance(command.order, int)
        return Order(
            number=int(command.order) if named_by_number else self.seq,
            ident=ident_of(command.order),
            client=client,
            instrument=command.instrument,
            side=command.side,
            type=command.type,
            force=command.force,
            flags=command.flags,
            post_only=command.post_only,
            price=command.price,
            quantity=0 if command.quote_units else command.quantity,
            remaining=0 if command.quote_units else command.quantity,
            budget=command.quote_units,
            asked_units=command.quote_units,
            created_seq=self.seq,
            created_ns=self.now_ns,
            updated_ns=self.now_ns,
            updated_seq=self.seq,
        )

    def rejects(self, order: Order) -> Reason:
        """The rule of the book that refuses a new order, or NONE."""
        book = self.books[order.instrument]
        if order.post_only and book.crosses(order):
            return Reason.POST_ONLY_WOULD_CROSS
        rest = order.quantity - book.available(order)
        if not can_rest(order) or rest <= 0:
            return Reason.NONE
        if self.registry.open_count() >= self.limits.open_orders_max:
            return Reason.OPEN_ORDERS_LIMIT
        return book.room_for(order, rest, self.limits.price_levels_max)

    def trade_and_settle(self, order: Order) -> list[Event]:
        """Match an accepted order, then let it rest, be filled, or end."""
        book = self.books[order.instrument]
        if kills(order, book):
            return [self.end(order, Reason.FILL_OR_KILL)]
        fills = book.match(order)
        events = [self.trade(order, index, fill) for index, fill in enumerate(fills)]
        for fill in fills:
            self.touch(order)
            self.touch(fill.maker)
            if not fill.maker_remaining:
                self.registry.close(fill.maker)
        if can_rest(order) and order.remaining:
            book.rest(order)
            return events
        reason = book.reason_to_end(order, fills)
        if reason is not None:
            return [*events, self.end(order, reason)]
        self.registry.close(order)
        return events

    # --- what clients do to open orders -----------------------------------------------------------

    def cancel(self, command: Cancel) -> list[Event]:
        """Take an open order out of the book."""
        order = self.registry.orders.get(ident_of(command.order))
        refusal = self.refuses_change(order)
        if refusal is not None or order is None:
            return [refusal or self.refused(Reason.UNKNOWN_ORDER)]
        self.books[order.instrument].remove(order)
        return [self.end(order, Reason.BY_CLIENT)]

    def amend(self, command: Amend) -> list[Event]:
        """Change price and total quantity; only less at the same price keeps its place in time."""
        order = self.registry.orders.get(ident_of(command.order))
        refusal = self.refuses_change(order)
        if refusal is not None or order is None:
            return [refusal or self.refused(Reason.UNKNOWN_ORDER)]
        price, quantity = command.price or order.price, command.quantity or order.quantity
        reason = self.refuses_amendment(order, price, quantity)
        if reason is not Reason.NONE:
            return [self.refused(reason, order)]
        book = self.books[order.instrument]
        keeps_priority = price == order.price and quantity <= order.quantity
        if not keeps_priority:
            book.remove(order)
        order.price, order.quantity, order.remaining = price, quantity, quantity - order.filled
        self.touch(order)
        amended = self.order_event(
            EventKind.ORDER_AMENDED, order, Reason.NONE, remaining=order.remaining
        )
        return [amended] if keeps_priority else [amended, *self.trade_and_settle(order)]

    def refuses_change(self, order: Order | None) -> Event | None:
        """An order that is unknown or closed can't be changed."""
        if order is None:
            return self.refused(Reason.UNKNOWN_ORDER)
        return None if order.open else self.refused(Reason.ALREADY_CLOSED, order)

    def refuses_amendment(self, order: Order, price: int, quantity: int) -> Reason:
        """Why an open order may not become this; it then stays as it is."""
        book = self.books[order.instrument]
        if quantity <= order.filled:
            return Reason.AMEND_QUANTITY_TOO_LOW
        wanted = replace(order, price=price, quantity=quantity, remaining=quantity - order.filled)
        if order.post_only and book.crosses(wanted):
            return Reason.AMEND_WOULD_CROSS
        rest = wanted.remaining - book.available(wanted)
        if rest <= 0 or not book.room_for(wanted, rest, self.limits.price_levels_max, order):
            return Reason.NONE
        return Reason.AMEND_LEVEL_FULL

    def mass_cancel(self, command: MassCancel) -> list[Event]:
        """Cancel a client's orders, the newest first, and say how many they were."""
        client = self.registry.client_number(command.client)
        orders = [
            order
            for book in self.books
            for order in book.orders()
            if order.client == client
            and command.instrument in (-1, order.instrument)
            and command.side in (-1, order.side)
        ]
        events = []
        for order in sorted(orders, key=lambda order: order.created_seq, reverse=True):
            self.books[order.instrument].remove(order)
            events.append(self.end(order, Reason.MASS_CANCEL))
        total = Event(self.seq, EventKind.MASS_CANCELLED, client=client or 0, quantity=len(orders))
        return [*events, total]

    # --- the operator's commands ------------------------------------------------------------------

    def create(self, spec: Instrument) -> Event:
        """A new instrument gets the next number."""
        names = [book.instrument.name for book in self.books]
        if spec.name in names:
            number = names.index(spec.name)
            return self.refused(Reason.INSTRUMENT_EXISTS)._replace(instrument=number)
        if len(self.books) >= self.limits.instruments_max:
            return self.refused(Reason.INSTRUMENTS_LIMIT)
        number = len(self.books)
        self.books.append(Book(replace_index(spec, number)))
        return Event(self.seq, EventKind.INSTRUMENT_CREATED, instrument=number)

    def configure(self, limits: Limits) -> Event:
        """New limits; a shorter window forgets at once."""
        self.registry.limits = limits
        self.registry.trim_closed()
        self.registry.trim_keys()
        return Event(self.seq, EventKind.CONFIGURED)

    # --- events -----------------------------------------------------------------------------------

    def order_event(
        self, kind: EventKind, order: Order, reason: Reason, remaining: int = 0
    ) -> Event:
        """An event about one order."""
        new = kind in (EventKind.ORDER_ACCEPTED, EventKind.ORDER_REJECTED)
        quantity = order.filled + order.remaining + order.ended
        if kind is EventKind.ORDER_ENDED:
            quantity = order.ended
        return Event(
            seq=self.seq,
            kind=kind,
            side=order.side,
            order_type=order.type,
            time_in_force=order.force,
            reason=reason,
            flags=order.flags if new else 0,
            instrument=order.instrument,
            order=order.number,
            client=order.client,
            price=order.price,
            quantity=quantity,
            remaining=remaining,
        )

    def trade(self, taker: Order, index: int, fill: Fill) -> Event:
        """A trade, at the maker's price."""
        maker = fill.maker
        return Event(
            seq=self.seq,
            kind=EventKind.TRADE,
            side=taker.side,
            instrument=taker.instrument,
            index=index,
            order=maker.number,
            taker=taker.number,
            client=maker.client,
            taker_client=taker.client,
            price=maker.price,
            quantity=fill.quantity,
            remaining=fill.maker_remaining,
        )

    def touch(self, order: Order) -> None:
        """The order changed with this command."""
        order.updated_seq, order.updated_ns = self.seq, self.now_ns

    def end(self, order: Order, reason: Reason) -> Event:
        """An order ends with something unfilled."""
        order.ended, order.remaining, order.reason = order.remaining, 0, reason
        self.touch(order)
        event = self.order_event(EventKind.ORDER_ENDED, order, reason)
        self.registry.close(order)
        return event

    def refused(self, reason: Reason, order: Order | None = None) -> Event:
        """A command came to nothing; `order` is the existing order that it concerns."""
        if order is None:
            return Event(self.seq, EventKind.COMMAND_REFUSED, reason=reason)
        return self.order_event(EventKind.COMMAND_REFUSED, order, reason, order.remaining)

    # --- reads ------------------------------------------------------------------------------------

    def usage(self) -> dict[str, int]:
        """Counts of what is held."""
        return {
            "open_orders": self.registry.open_count(),
            "closed_orders": len(self.registry.closed),
            "clients": len(self.registry.clients),
            "keys": len(self.registry.keys),
        }

    def check(self) -> None:
        """Everything that must be true after any command."""
        resting = 0
        for book in self.books:
            book.check()
            resting += sum(1 for _ in book.orders())
        assert resting == self.registry.open_count()
        for order in self.registry.orders.values():
            if not order.by_quote and order.filled + order.ended:
                rest = order.remaining if order.open else order.ended
                assert order.quantity == order.filled + rest


def can_rest(order: Order) -> bool:
    """Whether what is left of the order may stay in the book."""
    return order.type is OrderType.LIMIT and order.force is TimeInForce.GTC


def kills(order: Order, book: Book) -> bool:
    """Whether a fill-or-kill order can't be filled whole."""
    return order.force is TimeInForce.FOK and book.available(order) < order.quantity


def replace_index(spec: Instrument, number: int) -> Instrument:
    """The instrument with its number."""
    return msgspec.structs.replace(spec, index=number)
