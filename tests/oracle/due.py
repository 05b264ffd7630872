"""Time: what is due at a command's time happens before the command, by time and then by kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from novate.model.commands import Phase
from novate.model.instrument import DAY_S
from novate.model.rejects import Reason
from tests.oracle import clearing, phases, sessions
from tests.oracle.book import NOWHERE, Book

if TYPE_CHECKING:
    from tests.oracle.exchange import Exchange

NS = 10**9
DAY_NS = DAY_S * NS
PHASES, EXPIRIES, TIMERS, CUTOFFS = 0, 1, 2, 3


class Item(NamedTuple):
    """Something that happens at a time; items compare by when they come."""

    time_ns: int
    kind: int
    number: int
    part: int
    happen: Callable[[], None]


def carry_out(exchange: Exchange) -> None:
    """Let happen, one after the other, what is due."""
    while (item := next_item(exchange)) is not None and item.time_ns <= exchange.now_ns:
        item.happen()


def next_item(exchange: Exchange) -> Item | None:
    """What happens next, if nothing else does."""
    return min(items(exchange), key=lambda item: item[:4], default=None)


def items(exchange: Exchange) -> Iterator[Item]:
    """Everything that waits for a time."""
    for number, book in enumerate(exchange.books):
        if book.until_ns:
            yield Item(book.until_ns, PHASES, number, 0, partial(end_phase, exchange, book))
        for time_ns, phase in entries(book, exchange.now_ns):
            happen = partial(follow_schedule, exchange, book, time_ns, phase)
            yield Item(time_ns, PHASES, number, 1, happen)
    exchange.timed = [order for order in exchange.timed if order.open]
    for order in exchange.timed:
        if order.place != NOWHERE:
            happen = partial(exchange.end, order, Reason.EXPIRED)
            yield Item(order.expire_ns, EXPIRIES, order.created_seq, 0, happen)
    for client, (deadline_ns, seq) in exchange.timers.items():
        yield Item(deadline_ns, TIMERS, seq, 0, partial(sessions.expire_timer, exchange, client))
    if exchange.clearing.cutoff_due_ns:
        due_ns = exchange.clearing.cutoff_due_ns
        yield Item(due_ns, CUTOFFS, 0, 0, partial(clearing.cut_off, exchange))


def entries(book: Book, now_ns: int) -> Iterator[tuple[int, Phase]]:
    """The next time of each entry of the schedule; what is over a day old is passed over."""
    for entry in book.rules.schedule:
        after_ns = max(book.schedule_done_ns, now_ns - DAY_NS - 1)
        days = (after_ns - entry.at_s * NS) // DAY_NS + 1
        yield days * DAY_NS + entry.at_s * NS, Phase[entry.phase.upper()]


def end_phase(exchange: Exchange, book: Book) -> None:
    """A phase's own time is over."""
    phases.change(exchange, book, Phase.CONTINUOUS, 0, Reason.TIME_OVER)


def follow_schedule(exchange: Exchange, book: Book, time_ns: int, phase: Phase) -> None:
    """The daily schedule says the next phase, unless the operator holds the instrument."""
    book.schedule_done_ns = time_ns
    if not book.held:
        phases.change(exchange, book, phase, 0, Reason.BY_SCHEDULE)
