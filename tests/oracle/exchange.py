"""The naive exchange: commands in, event tuples out, one function per rule.

It is written from the rulebook (`docs/matching.md`) and not from the engine, so that two readings
of the rules meet in the tests. Each matter has its own file; this one holds what every command
uses, the keys, and what clients do with orders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import msgspec

from novate.model.commands import NEWEST_RULES, LinkUse, Phase, TimeInForce
from novate.model.events import EventKind
from novate.model.instrument import DAY_S, Instrument, Limits, OrderLimits
from novate.model.rejects import REASONS, Reason
from tests.oracle import clearing, due, form, limits, links, matching, phases, sessions, stops
from tests.oracle.book import Book, Order
from tests.oracle.registry import Key, Registry, ident_of
from tests.oracle.words import (
    Adopt,
    Advance,
    Amend,
    Cancel,
    CancelAfter,
    Command,
    Configure,
    Create,
    Deposit,
    Event,
    Kill,
    MassCancel,
    Operation,
    Place,
    SessionClose,
    SessionOpen,
    SessionsLost,
    SetClientLimits,
    SetPhase,
    SetRules,
    Skip,
    Snapshot,
    Withdraw,
)

STATUSES_NOT_KEPT = frozenset({400, 429, 503})
"""Answers that a key does not keep: the client may try the same again."""

NS = 10**9

Asked = TypeVar("Asked", Place, Cancel, Amend, MassCancel, Deposit, Withdraw)


@dataclass(slots=True)
class Exchange:
    """All books and the registry; `apply` is the whole of it.

    `made` has every order there ever was, by number: for the tests, and no rule looks at it.
    `timed` has those that end by themselves. `rules` is the version that commands are under.
    """

    registry: Registry
    books: list[Book] = field(default_factory=list)
    rules: int = NEWEST_RULES
    made: dict[int, Order] = field(default_factory=dict)
    seq: int = 0
    now_ns: int = 0
    events: list[Event] = field(default_factory=list)
    trade_index: int = 0
    timed: list[Order] = field(default_factory=list)
    triggering: Order | None = None
    open_sessions: set[int] = field(default_factory=set)
    timers: dict[int, tuple[int, int]] = field(default_factory=dict)
    killed: set[int] = field(default_factory=set)
    venue_killed: bool = False
    client_limits: dict[tuple[int, int], OrderLimits] = field(default_factory=dict)
    clearing: clearing.Clearing = field(default_factory=clearing.Clearing)

    @classmethod
    def with_limits(cls, limits: Limits, rules: int = NEWEST_RULES) -> Exchange:
        """An empty exchange."""
        return cls(Registry(limits), rules=rules)

    @property
    def limits(self) -> Limits:
        """The limits in force."""
        return self.registry.limits

    def apply(self, command: Command, timestamp_ns: int = 0) -> list[Event]:
        """Carry out what is due and then one command; its sequence is the next one."""
        self.seq += 1
        self.now_ns = max(self.now_ns, timestamp_ns)
        self.events = []
        self.trade_index = 0
        due.carry_out(self)
        if not isinstance(command, (Create, Configure)):
            self.registry.expire_keys(self.now_ns)
        match command:
            case Place():
                self.keyed(command, self.place)
            case Cancel():
                self.keyed(command, self.cancel)
            case Amend():
                self.keyed(command, self.amend)
            case MassCancel():
                self.keyed(command, self.mass_cancel)
            case Deposit() | Withdraw():
                self.keyed(command, lambda asked: clearing.transfer(self, asked))
            case _:
                self.operate(command)
        self.registry.trim_closed()
        return self.events

    def operate(self, command: Operation) -> None:
        """A command that is nobody's order."""
        match command:
            case Create(spec):
                self.create(spec)
            case Configure(limits):
                self.configure(limits)
            case Snapshot():
                self.say(EventKind.SNAPSHOT_REQUESTED)
            case Advance():
                self.say(EventKind.TIME_ADVANCED)
            case Skip(skipped_seq):
                self.say(EventKind.COMMAND_SKIPPED, order=skipped_seq)
            case Adopt(version):
                self.adopt(version)
            case SetRules():
                phases.set_rules(self, command)
            case SetPhase():
                phases.ask_phase(self, command)
            case SetClientLimits():
                sessions.set_client_limits(self, command)
            case SessionOpen() | SessionClose() | SessionsLost():
                sessions.change(self, command)
            case CancelAfter():
                sessions.set_timer(self, command)
            case Kill():
                sessions.kill(self, command)
            case _:
                clearing.carry_out(self, command)

    # --- keys -------------------------------------------------------------------------------------

    def keyed(self, command: Asked, carry_out: Callable[[Asked], None]) -> None:
        """Let the idempotency key speak first; remember it if the answer is one to keep."""
        reason, order = form.fault(self, command)
        if reason is not Reason.NONE:
            self.refuse(reason, order)
            return
        client = command.client
        if command.key is None or client is None:
            carry_out(command)
            return
        reason = self.refuses_key(client, command.key, command.body)
        if reason is not Reason.NONE:
            self.refuse(reason)
            return
        number = self.registry.register_client(client)
        before = len(self.events)
        carry_out(command)
        refusals = [e for e in self.events[before:] if e.kind is EventKind.COMMAND_REFUSED]
        if not any(REASONS[e.reason].status in STATUSES_NOT_KEPT for e in refusals):
            name = client, command.key
            self.registry.keep_key(Key(name, number, self.seq, command.body, self.now_ns))

    def refuses_key(self, client: str | int, key: str, body: int) -> Reason:
        """What the window of keys says to a key; NONE: there is room for it."""
        reason = self.registry.refuses_key((client, key), body)
        if reason is not Reason.NONE:
            return reason
        if not self.registry.has_room_for_key(self.registry.client_number(client), self.now_ns):
            return Reason.IDEMPOTENCY_WINDOW_FULL
        known = self.registry.has_room_for_client(client)
        return Reason.NONE if known else Reason.CLIENTS_LIMIT

    # --- place ------------------------------------------------------------------------------------

    def place(self, command: Place) -> None:
        """A new order: refused by the registry, rejected by a rule, or accepted and matched."""
        if not self.registry.has_room_for_client(command.client):
            self.refuse(Reason.CLIENTS_LIMIT)
            return
        client = self.registry.register_client(command.client)
        ident = ident_of(command.order)
        if ident in self.registry.orders:
            self.refuse(Reason.DUPLICATE_ORDER_ID, self.registry.orders[ident])
            return
        order = self.new_order(command, client)
        self.made[order.number] = order
        self.timed += [order] if order.expire_ns else []
        linked = links.named(self, command, order)
        reason = links.refusal(command, linked)
        if reason is Reason.NONE and linked and command.link_use is LinkUse.REPLACES:
            self.end(linked, Reason.REPLACED)
        if linked and command.link_use is LinkUse.ONE_CANCELS_OTHER:
            order.partner = linked
        reason = reason or limits.refuses(self, order) or clearing.refuses(self, order)
        self.registry.orders[ident] = order
        if reason is not Reason.NONE:
            order.partner = None
            self.reject(order, reason)
            return
        if order.partner is not None:
            order.partner.partner = order
        self.tell(EventKind.ORDER_ACCEPTED, order, remaining=order.remaining)
        self.enter(order)

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
            stop_price=command.stop_price,
            display=command.display,
            minimum=command.minimum,
            expire_ns=self.expiry(command),
            group=command.group,
            session=command.session,
            self_trade=command.self_trade,
            rank=self.seq,
        )

    def expiry(self, command: Place) -> int:
        """When the order ends by itself; 0: never."""
        if command.force is not TimeInForce.DAY:
            return command.expire_ns
        end_ns = self.books[command.instrument].rules.session_end_s * NS
        days = (self.now_ns - end_ns) // (DAY_S * NS) + 1
        return days * DAY_S * NS + end_ns

    def enter(self, order: Order) -> None:
        """An accepted or amended order goes where it belongs, with all that it sets off."""
        book = self.books[order.instrument]
        book.traded = []
        if not order.is_stop or order.triggered:
            self.step(order)
        elif stops.triggers_at_once(book, order):
            stops.trigger(self, order)
        else:
            book.wait(order)
        stops.run(self, book)

    def step(self, order: Order) -> None:
        """Match one taker and settle what becomes of it; leaving a band may begin an auction."""
        left = matching.settle(self, order)
        book = self.books[order.instrument]
        if left is not Reason.NONE and book.rules.band_action == "auction":
            until_ns = self.now_ns + book.rules.volatility_auction_ns
            phases.change(self, book, Phase.AUCTION, until_ns, left)

    # --- what clients do to open orders -----------------------------------------------------------

    def cancel(self, command: Cancel) -> None:
        """End an open order."""
        order = self.registry.orders.get(ident_of(command.order))
        if self.refuses_change(order) or order is None:
            return
        self.end(order, Reason.BY_CLIENT)

    def amend(self, command: Amend) -> None:
        """Change an open order; only what takes nothing from others keeps its place in time."""
        order = self.registry.orders.get(ident_of(command.order))
        if self.refuses_change(order) or order is None:
            return
        wanted = amended(order, command)
        keeps = keeps_place(order, wanted)
        reason = limits.refuses_amendment(self, order, command, wanted, keeps)
        reason = reason or clearing.refuses_amendment(self, order, wanted)
        if reason is not Reason.NONE:
            self.refuse(reason, order)
            return
        book = self.books[order.instrument]
        if not keeps:
            book.remove(order)
            order.rank = self.seq
        order.price, order.stop_price = wanted.price, wanted.stop_price
        order.quantity, order.remaining = wanted.quantity, wanted.remaining
        order.display, order.shown = wanted.display, min(order.shown, wanted.remaining)
        order.expire_ns, order.self_trade = wanted.expire_ns, wanted.self_trade
        self.touch(order)
        self.tell(EventKind.ORDER_AMENDED, order, remaining=order.remaining)
        if not keeps:
            self.enter(order)

    def refuses_change(self, order: Order | None) -> bool:
        """An order that is unknown or closed can't be changed."""
        if order is None:
            self.refuse(Reason.UNKNOWN_ORDER)
        elif not order.open:
            self.refuse(Reason.ALREADY_CLOSED, order)
        return order is None or not order.open

    def mass_cancel(self, command: MassCancel) -> None:
        """Cancel a client's orders, the newest first, and say how many they were."""
        client = self.registry.client_number(command.client)
        ended = self.end_all(
            [
                order
                for order in self.open_orders()
                if order.client == client
                and command.instrument in (-1, order.instrument)
                and command.side in (-1, order.side)
            ],
            Reason.MASS_CANCEL,
        )
        self.say(EventKind.MASS_CANCELLED, client=client or 0, quantity=ended)

    # --- the operator's commands ------------------------------------------------------------------

    def adopt(self, version: int) -> None:
        """The next version of the rules, if it is known."""
        if version == self.rules + 1 <= NEWEST_RULES:
            self.rules = version
            self.say(EventKind.RULES_ADOPTED, order=version)
        else:
            self.refuse(Reason.MALFORMED_COMMAND)

    def create(self, spec: Instrument) -> None:
        """A new instrument gets the next number."""
        names = [book.instrument.name for book in self.books]
        if spec.name in names:
            event = Event(self.seq, EventKind.COMMAND_REFUSED, reason=Reason.INSTRUMENT_EXISTS)
            self.events.append(event._replace(instrument=names.index(spec.name)))
        elif len(self.books) >= self.limits.instruments_max:
            self.refuse(Reason.INSTRUMENTS_LIMIT)
        else:
            number = len(self.books)
            self.books.append(Book(msgspec.structs.replace(spec, index=number)))
            self.clearing.add_instrument(spec)
            self.say(EventKind.INSTRUMENT_CREATED, instrument=number)

    def configure(self, limits: Limits) -> None:
        """New limits; a shorter window forgets at once."""
        self.registry.limits = limits
        self.registry.trim_keys()
        self.say(EventKind.CONFIGURED)

    # --- how orders end ---------------------------------------------------------------------------

    def open_orders(self) -> list[Order]:
        """Every open order."""
        return [order for book in self.books for order in book.orders()]

    def end_all(self, orders: list[Order], reason: Reason) -> int:
        """End orders, the newest first; how many ended, partners too."""
        before = len(self.events)
        for order in sorted(orders, key=lambda order: order.created_seq, reverse=True):
            if order.open:
                self.end(order, reason)
        return len(self.events) - before

    def end(self, order: Order, reason: Reason) -> None:
        """An order ends with something unfilled, and its partner with it."""
        self.books[order.instrument].remove(order)
        order.ended, order.remaining, order.reason = order.remaining, 0, reason
        self.touch(order)
        self.tell(EventKind.ORDER_ENDED, order, reason)
        self.close(order)
        links.cancel_partner(self, order)

    def reject(self, order: Order, reason: Reason) -> None:
        """A rule refuses a new order, which so exists and is closed."""
        order.ended, order.remaining = order.remaining, 0
        order.rejected, order.reason = True, reason
        self.tell(EventKind.ORDER_REJECTED, order, reason)
        self.close(order)

    def close(self, order: Order) -> None:
        """The order is over."""
        order.open = False
        self.registry.closed.append(order)

    def touch(self, order: Order) -> None:
        """The order changed with this command."""
        order.updated_seq, order.updated_ns = self.seq, self.now_ns

    # --- events -----------------------------------------------------------------------------------

    def say(self, kind: EventKind, **fields: int) -> None:
        """An event that is about no order."""
        self.events.append(Event(self.seq, kind, **fields))

    def tell(
        self, kind: EventKind, order: Order, reason: Reason = Reason.NONE, remaining: int = 0
    ) -> None:
        """An event about one order."""
        new = kind in (EventKind.ORDER_ACCEPTED, EventKind.ORDER_REJECTED)
        quantity = order.filled + order.remaining + order.ended
        self.events.append(
            Event(
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
                quantity=order.ended if kind is EventKind.ORDER_ENDED else quantity,
                remaining=remaining,
            )
        )

    def refuse(self, reason: Reason, order: Order | None = None) -> None:
        """A command came to nothing; `order` is the existing order that it concerns."""
        if order is None:
            self.events.append(Event(self.seq, EventKind.COMMAND_REFUSED, reason=reason))
        else:
            self.tell(EventKind.COMMAND_REFUSED, order, reason, order.remaining)

    def tell_trade(self, maker: Order, taker: Order, price: int, lots: int, flags: int = 0) -> None:
        """A trade; `index` counts those of the command."""
        self.say(
            EventKind.TRADE,
            side=taker.side,
            flags=flags,
            instrument=taker.instrument,
            index=self.trade_index,
            order=maker.number,
            taker=taker.number,
            client=maker.client,
            taker_client=taker.client,
            price=price,
            quantity=lots,
            remaining=maker.remaining,
        )
        self.trade_index += 1
        clearing.clear(self, maker, taker, price, lots, auction=flags != 0)

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
        standing = 0
        for book in self.books:
            book.check()
            standing += sum(1 for _ in book.orders())
        assert standing == self.registry.open_count()
        assert all(order.session in {0} | self.open_sessions for order in self.open_orders())
        assert not (self.venue_killed and standing)
        for order in self.registry.orders.values():
            if not order.by_quote and order.filled + order.ended:
                rest = order.remaining if order.open else order.ended
                assert order.quantity == order.filled + rest
            assert order.open or order.partner is None


def amended(order: Order, command: Amend) -> Order:
    """The order that an amendment asks for."""
    quantity = command.quantity or order.quantity
    return replace(
        order,
        price=command.price or order.price,
        quantity=quantity,
        remaining=quantity - order.filled,
        stop_price=command.stop_price or order.stop_price,
        display=order.display if command.display is None else command.display,
        expire_ns=command.expire_ns or order.expire_ns,
        self_trade=order.self_trade if command.self_trade is None else command.self_trade,
    )


def keeps_place(order: Order, wanted: Order) -> bool:
    """Whether an amendment takes nothing from others."""
    same = (order.price, order.stop_price, order.display) == (
        wanted.price,
        wanted.stop_price,
        wanted.display,
    )
    return same and wanted.quantity <= order.quantity
