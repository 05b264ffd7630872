"""Reads that reach past memory: what memory lacks comes from the ledger.

Memory answers first and at once. Only where it may lack something is the ledger asked, and what
both have is taken from memory, which is newer. Every reply that the ledger had a part in says up
to which sequence that part is true: `ledger_sequence`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

from novate.gateway.fields import check_id
from novate.gateway.history import History
from novate.gateway.operations import Reply
from novate.gateway.problems import FieldError, ProblemError, refused, shown
from novate.gateway.reads import LIST_MAX, Query, Reads, Reporter, orders_body, whole
from novate.model.instrument import Instrument

if TYPE_CHECKING:
    from novate.ledger.answers import Answers, ListedOrder

Answer = TypeVar("Answer")

EVENTS_DEFAULT: Final = 100
MINUTE_NS: Final = 60 * 10**9
INTERVAL_MAX: Final = 1_440
AGGREGATES_MAX: Final = 1_500
MINUTES_MAX: Final = 45_000
"""Minutes that one question looks at: a month's."""

_WINDOW = re.compile(r"([1-9][0-9]{0,4})([mhd])", re.ASCII)
_WINDOW_MINUTES: Final = {"m": 1, "h": 60, "d": 1_440}
_TRADE_ID = re.compile(rb'"trade_id":"[0-9]+-([0-9]+)-([0-9]+)"')
_CREATED = re.compile(rb'"created_at":"([^"]+)"')


class Past:
    """Reads of memory and ledger.

    Args:
        reads: Those of memory.
        reporter: Reads the engine's memory.
        history: Asks the ledger.
        clock: Nanoseconds since 1970 UTC.
    """

    def __init__(
        self,
        reads: Reads,
        reporter: Reporter,
        history: History,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._reads = reads
        self._reporter = reporter
        self._history = history
        self._clock = clock

    # --- orders -----------------------------------------------------------------------------------

    def order(self, order_id: str, reply: Reply) -> None:
        """An order: as it is now, or as the ledger has it."""
        try:
            reply(200, self._reads.order(order_id))
            return
        except ProblemError as unknown:
            away = self._history.is_open and not self._reporter.forgotten_seq()
            if unknown.status != 404 or not self._history.is_on or away:
                raise

        def answered(found: tuple[int, bytes | None]) -> None:
            seq, body = found
            if body is None:
                detail = f"no order in memory or, up to sequence {seq}, in the ledger has the id"
                ProblemError(404, "unknown_order", f"{detail} {shown(order_id)}").answer(reply)
            else:
                reply(200, b'%b,"ledger_sequence":%d}' % (body[:-1], seq))

        self._ask(lambda answers: answers.order(order_id), answered, reply)

    def orders(self, query: Query, reply: Reply) -> None:
        """Orders, newest first."""
        client_id, instrument, status, limit, cursor = self._reads.orders_wanted(query)
        held, after = self._reporter.orders_listed(client_id, instrument, status, limit, cursor)
        forgotten = self._reporter.forgotten_seq()
        whole_page = after and held[-1][0] > forgotten
        if not forgotten or whole_page or status == "open" or not self._history.is_on:
            reply(200, orders_body([body for _, body in held], after))
            return

        def ask(answers: Answers) -> tuple[int, list[ListedOrder]]:
            from novate.ledger.queries import OrderFilter

            return answers.orders(OrderFilter(client_id, instrument, status, limit + 1, cursor))

        def answered(found: tuple[int, list[ListedOrder]]) -> None:
            seq, listed = found
            least = listed[-1].number if len(listed) > limit else 0
            page, next_cursor = self._merged(held, after, listed, limit, least)
            reply(200, orders_body(page, next_cursor, seq))

        self._ask(ask, answered, reply)

    def _merged(
        self,
        held: list[tuple[int, bytes]],
        after: int,
        listed: list[ListedOrder],
        limit: int,
        least: int,
    ) -> tuple[list[bytes], int]:
        """A page of both, and where the next begins.

        Args:
            held: What memory has, newest first.
            after: Where memory goes on, 0: nowhere.
            listed: What the ledger has, newest first.
            limit: Most of a page.
            least: Where the ledger goes on, 0: nowhere. Of what is older nothing can be told yet.
        """
        merged = dict(held)
        for order in listed:
            if order.number not in merged and not self._is_held(order):
                merged[order.number] = order.body
        numbers = sorted((number for number in merged if number >= least), reverse=True)
        page = [merged[number] for number in numbers[:limit]]
        if len(numbers) > limit or (after and not least):
            return page, numbers[:limit][-1]
        return page, least

    def _is_held(self, order: ListedOrder) -> bool:
        """Whether memory has the order itself: then memory knows whether it is to be listed."""
        body = self._reporter.order_json(order.order_id)
        if body is None:
            return False
        created = _CREATED.search(body)
        return created is not None and created[1].decode() == order.created_at

    def order_events(self, order_id: str, query: Query, reply: Reply) -> None:
        """An order's audit trail, oldest first."""
        errors: list[FieldError] = []
        check_id("order_id", order_id, errors)
        limit = whole(query, "limit", EVENTS_DEFAULT, 1, LIST_MAX, errors)
        skipped = whole(query, "cursor", 0, 1, 2**53, errors)
        if errors:
            raise refused(errors)

        def answered(found: tuple[int, bytes | None]) -> None:
            seq, body = found
            if body is not None:
                reply(200, body)
            elif self._reporter.order_json(order_id) is not None:
                # It is there, and the ledger is not so far yet.
                empty = b'{"order_id":"%b","count":0,"events":[],"next_cursor":null,'
                reply(200, empty % order_id.encode() + b'"ledger_sequence":%d}' % seq)
            else:
                detail = f"no order up to sequence {seq} has the order_id {shown(order_id)}"
                ProblemError(404, "unknown_order", detail).answer(reply)

        self._ask(lambda answers: answers.order_events(order_id, limit, skipped), answered, reply)

    # --- trades -----------------------------------------------------------------------------------

    def trades(self, query: Query, reply: Reply, detailed: bool = False) -> None:
        """Trades, newest first."""
        body = self._reads.trades(query, detailed)
        instrument, limit, before = self._reads.trades_wanted(query)
        head, _, tail = body.partition(b'"trades":[')
        held = tail[:-2]
        count = held.count(b'"trade_id":')
        lacking = limit - count
        forgotten = self._reporter.trades_forgotten(instrument)
        if not lacking or not forgotten or not self._history.is_on:
            reply(200, body)
            return
        oldest = _last_trade(held) or _place(before)

        def answered(found: tuple[int, list[bytes]]) -> None:
            seq, older = found
            every = b",".join([held, *older] if held else older)
            name = head.partition(b',"count"')[0]
            said = b'%b,"count":%d,"trades":[%b],"ledger_sequence":%d}'
            reply(200, said % (name, count + len(older), every, seq))

        self._ask(
            lambda answers: answers.trades(instrument, lacking, oldest, detailed), answered, reply
        )

    def stats(self, query: Query, reply: Reply) -> None:
        """Trading in a window that ends now."""
        errors: list[FieldError] = []
        instrument = self._reads.instrument_of(query, errors)
        window = query.get("window", "24h")
        match = _WINDOW.fullmatch(window)
        minutes = int(match[1]) * _WINDOW_MINUTES[match[2]] if match else 0
        if not 1 <= minutes <= MINUTES_MAX:
            message = f"expected a number of m, h or d, at most {MINUTES_MAX} minutes in all"
            errors.append(
                FieldError("window", f"{message}, found {shown(window)}", "invalid_value")
            )
        if errors or instrument is None:
            raise refused(errors)
        end = self._clock()
        start = end - minutes * MINUTE_NS
        self._ask(
            lambda answers: answers.stats(instrument, window, start, end),
            lambda body: reply(200, body),
            reply,
        )

    def analytics(self, query: Query, reply: Reply) -> None:
        """Aggregates of intervals of whole minutes."""
        instrument, interval, start, end = self._analytics_wanted(query)
        self._ask(
            lambda answers: answers.analytics(instrument, interval, start, end),
            lambda body: reply(200, body),
            reply,
        )

    def _analytics_wanted(self, query: Query) -> tuple[Instrument, int, int, int]:
        """(instrument, interval, first minute, end minute); both rounded out to intervals."""
        errors: list[FieldError] = []
        instrument = self._reads.instrument_of(query, errors)
        interval = whole(query, "interval", 1, 1, INTERVAL_MAX, errors)
        end_ns = moment(query, "end_time", self._clock(), errors)
        start_ns = moment(query, "start_time", end_ns - 60 * interval * MINUTE_NS, errors)
        step = interval * MINUTE_NS
        start, end = start_ns // step * interval, -(-end_ns // step) * interval
        most = min(AGGREGATES_MAX * interval, MINUTES_MAX)
        if not errors and not 0 < end - start <= most:
            message = f"expected a time after start_time, and at most {most} minutes after it"
            found = f"{message}, found {end - start} minutes"
            errors.append(FieldError("end_time", found, "invalid_value"))
        if errors or instrument is None:
            raise refused(errors)
        return instrument, interval, start, end

    def _ask(
        self, question: Callable[[Answers], Answer], done: Callable[[Answer], None], reply: Reply
    ) -> None:
        self._history.ask(question, done, lambda problem: problem.answer(reply))


def _last_trade(listed: bytes) -> tuple[int, int] | None:
    """(seq, index) of the last trade of a list."""
    start = listed.rfind(b'"trade_id":')
    match = _TRADE_ID.match(listed, start) if start >= 0 else None
    return (int(match[1]), int(match[2])) if match else None


def _place(trade_id: str | None) -> tuple[int, int] | None:
    if trade_id is None:
        return None
    _, seq, index = trade_id.split("-")
    return int(seq), min(int(index), 2**32 - 1)


def moment(query: Query, name: str, default_ns: int, errors: list[FieldError]) -> int:
    """A time of a query, ns since 1970 UTC; one more error if it is none."""
    text = query.get(name)
    if text is None:
        return default_ns
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or not 1970 < found.year < 2200 or len(text) > 40:
        message = f"expected an ISO 8601 time from 1971 to 2199, found {shown(text)}"
        errors.append(FieldError(name, message, "invalid_value"))
        return default_ns
    aware = found if found.tzinfo else found.replace(tzinfo=UTC)
    elapsed = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (elapsed.days * 86_400 + elapsed.seconds) * 10**9 + elapsed.microseconds * 1000
