"""Reads of settlement and statements that reach past memory: what memory lacks is the ledger's."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from novate.gateway.accounts import AccountReads
from novate.gateway.history import History
from novate.gateway.operations import Reply
from novate.gateway.problems import FieldError, ProblemError, refused, shown
from novate.gateway.reads import LIST_MAX, Query, whole
from novate.model.clearing import CYCLES_KEPT

if TYPE_CHECKING:
    from novate.ledger.settlements import ClosedCycle

LINES_DEFAULT: Final = 50
CYCLES_DEFAULT: Final = CYCLES_KEPT + 1
"""The open cycle and all that memory keeps."""

CYCLES_MAX: Final = 100
CYCLE_MAX: Final = 10**18 - 1
"""The highest number of a cycle that can be asked for."""

_LINE_ID: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,10})", re.ASCII)


class PastAccounts:
    """Reads of memory and ledger.

    Args:
        reads: Those of memory.
        history: Asks the ledger.
    """

    def __init__(self, reads: AccountReads, history: History) -> None:
        self.reads = reads
        self._history = history

    def settlement(self, name: str, form: str, reply: Reply) -> None:
        """A cycle's report: as memory has it, or, where it left memory, as the ledger has it."""
        try:
            reply(200, self.reads.settlement(name, form))
            return
        except ProblemError as unknown:
            number = self.reads.forgotten(name)
            if unknown.status != 404 or not number or not self._history.is_on:
                raise

        def missing(seq: int) -> None:
            detail = f"no cycle in memory or, up to sequence {seq}, in the ledger is"
            ProblemError(404, "unknown_cycle", f"{detail} {shown(name)}").answer(reply)

        self._ask_cycle(number, form, reply, missing)

    def _ask_cycle(
        self, number: int, form: str, reply: Reply, missing: Callable[[int], None]
    ) -> None:
        def answered(found: tuple[int, ClosedCycle | None]) -> None:
            seq, cycle = found
            if cycle is None:
                missing(seq)
                return
            heading, rows = cycle
            totals = heading["totals"]
            reply(200, self.reads.report(form, heading, rows, totals, ledger_sequence=seq))

        self._history.ask(
            lambda answers: answers.closed_cycle(number),
            answered,
            lambda problem: problem.answer(reply),
        )

    def settlements(self, query: Query, reply: Reply) -> None:
        """The open cycle and the closed ones, newest first; what left memory from the ledger."""
        errors: list[FieldError] = []
        limit = whole(query, "limit", CYCLES_DEFAULT, 1, CYCLES_MAX, errors)
        before = whole(query, "before", 0, 1, CYCLE_MAX, errors)
        if errors:
            raise refused(errors)
        rows = self.reads.settlements(limit, before)
        lacking, oldest = limit - len(rows), self.reads.oldest_cycle()
        if not lacking or not oldest or not self._history.is_on:
            reply(200, self.reads.listed(rows))
            return

        def answered(found: tuple[int, list[dict[str, Any]]]) -> None:
            seq, cycles = found
            older = [self.reads.closed_row(cycle) for cycle in cycles]
            reply(200, self.reads.listed(rows + older, ledger_sequence=seq))

        below = min(before, oldest) if before else oldest
        self._history.ask(
            lambda answers: answers.closed_cycles(below, lacking),
            answered,
            lambda problem: problem.answer(reply),
        )

    def closed_again(self, number: int, reply: Reply, never: Callable[[], None]) -> None:
        """The report of a cycle that was to be closed again; `never` where there is none."""
        if self.reads.cycle_exists(number):
            reply(200, self.reads.settlement(str(number)))
        elif number >= self.reads.oldest_cycle() or not self._history.is_on:
            never()
        else:
            try:
                self._ask_cycle(number, "json", reply, lambda seq: never())
            except ProblemError as away:
                away.answer(reply)

    def statement(self, client_id: str, query: Query, reply: Reply) -> None:
        """A client's accounts as they are now; with `limit` or `before` its entries as well."""
        body = self.reads.statement(client_id)
        if not query:
            reply(200, body)
            return
        errors: list[FieldError] = []
        limit = whole(query, "limit", LINES_DEFAULT, 1, LIST_MAX, errors)
        before = _line(query, errors)
        if errors:
            raise refused(errors)

        def answered(found: tuple[int, list[bytes]]) -> None:
            seq, lines = found
            listed = b'%b,"lines":[%b],"ledger_sequence":%d}'
            reply(200, listed % (body[:-1], b",".join(lines), seq))

        self._history.ask(
            lambda answers: answers.statement_lines(client_id, limit, before),
            answered,
            lambda problem: problem.answer(reply),
        )


def _line(query: Query, errors: list[FieldError]) -> tuple[int, int] | None:
    text = query.get("before")
    match = _LINE_ID.fullmatch(text) if text else None
    if text and match is None:
        message = f"expected the line_id of a line, found {shown(text)}"
        errors.append(FieldError("before", message, "invalid_value"))
    return (int(match[1]), int(match[2])) if match else None
