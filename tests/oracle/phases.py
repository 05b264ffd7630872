"""Phases of an instrument: by the operator, by the schedule, by a time, by a band."""

from __future__ import annotations

from typing import TYPE_CHECKING

from novate.model.commands import Phase, Side, TimeInForce
from novate.model.events import EventKind
from novate.model.rejects import Reason
from tests.oracle import auction, stops
from tests.oracle.book import Book
from tests.oracle.words import SetPhase, SetRules

if TYPE_CHECKING:
    from tests.oracle.exchange import Exchange

HOLDS = (Phase.HALT, Phase.CANCEL_ONLY)


def set_rules(exchange: Exchange, command: SetRules) -> None:
    """All rules of an instrument anew; what is open stays as it is."""
    if command.rules.fault() is not None:
        exchange.refuse(Reason.MALFORMED_COMMAND)
    elif command.instrument >= len(exchange.books):
        exchange.refuse(Reason.UNKNOWN_INSTRUMENT)
    else:
        book = exchange.books[command.instrument]
        book.rules, book.schedule_done_ns = command.rules, exchange.now_ns
        book.reference_price = command.rules.reference_price_ticks or book.reference_price
        exchange.say(EventKind.RULES_SET, instrument=command.instrument)


def ask_phase(exchange: Exchange, command: SetPhase) -> None:
    """An operator's change of phase, of one instrument or of all."""
    if command.until_ns < 0 or (command.until_ns and command.phase is Phase.CONTINUOUS):
        exchange.refuse(Reason.MALFORMED_COMMAND)
        return
    books = exchange.books if command.instrument < 0 else exchange.books[command.instrument :][:1]
    if not books:
        exchange.refuse(Reason.UNKNOWN_INSTRUMENT)
    for book in books:
        held = command.phase in HOLDS
        change(exchange, book, command.phase, command.until_ns, Reason.NONE, held)


def change(
    exchange: Exchange,
    book: Book,
    phase: Phase,
    until_ns: int,
    reason: Reason,
    held: bool = False,
) -> None:
    """Leave a phase with what belongs to its end, and begin another."""
    before = book.phase
    leaves_auction = before is Phase.AUCTION and phase is not Phase.AUCTION
    opens = phase is Phase.CONTINUOUS and before is not Phase.CONTINUOUS
    if opens or (leaves_auction and phase is Phase.CLOSED):
        auction.uncross(exchange, book, always_said=leaves_auction)
    if leaves_auction:
        for order in [*book.priceless[Side.BUY], *book.priceless[Side.SELL]]:
            if order.open:
                exchange.end(order, Reason.AUCTION_OVER)
    book.phase, book.until_ns, book.held = phase, until_ns, held
    exchange.say(
        EventKind.PHASE_CHANGED,
        instrument=book.instrument.index,
        index=phase,
        taker_client=before,
        order=until_ns,
        reason=reason,
    )
    if opens:
        book.traded = [book.last_price] if book.last_price else []
        stops.run(exchange, book)
    if phase is Phase.CLOSED:
        end_day_orders(exchange, book)


def end_day_orders(exchange: Exchange, book: Book) -> None:
    """The session is over, and the orders of the day with it, the oldest first."""
    of_the_day = [order for order in book.orders() if order.force is TimeInForce.DAY]
    for order in sorted(of_the_day, key=lambda order: order.created_seq):
        if order.open:
            exchange.end(order, Reason.EXPIRED)
