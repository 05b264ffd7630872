"""Reads of settlement and statements that reach past memory: what memory lacks is the ledger's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from novate.gateway.accounts import AccountReads
from novate.gateway.history import History
from novate.gateway.operations import Reply
from novate.gateway.problems import FieldError, ProblemError, refused, shown
from novate.gateway.reads import LIST_MAX, Query, whole

if TYPE_CHECKING:
    from novate.ledger.settlements import ClosedCycle

LINES_DEFAULT: Final = 50
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

        def answered(found: tuple[int, ClosedCycle | None]) -> None:
            seq, cycle = found
            if cycle is None:
                detail = f"no cycle in memory or, up to sequence {seq}, in the ledger is"
                ProblemError(404, "unknown_cycle", f"{detail} {shown(name)}").answer(reply)
                return
            heading, rows = cycle
            totals = heading["totals"]
            reply(200, self.reads.report(form, heading, rows, totals, ledger_sequence=seq))

        self._history.ask(
            lambda answers: answers.closed_cycle(number),
            answered,
            lambda problem: problem.answer(reply),
        )

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
