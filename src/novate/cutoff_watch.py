"""The cut-off watch: tells the operator of a daily cut-off that closed no cycle.

What came of the last one is the engine's state; this says it once in the log, and for as long as
it stands in /healthz and the metrics. It decides nothing.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from novate import logs
from novate.model import codec
from novate.model.rejects import REASONS, Reason

CLOSED_BY_HAND: Final = Reason.CYCLE_CLOSED_ALREADY

log = logs.get("cutoff")


class CutoffReader(Protocol):
    """What is asked of an engine's accounts; see `novate.engine.Accounts`."""

    @property
    def last_cutoff(self) -> tuple[int, int, int] | None:
        """(when it was due in ns, its cycle's number, 0 or why none closed), None: no cut-off."""
        ...

    @property
    def last_closed_ns(self) -> int:
        """When a cycle was closed last, 0: never."""
        ...


class CutoffWatch:
    """Looks at one partition's last cut-off. Used on its loop's thread only."""

    def __init__(self, accounts: CutoffReader) -> None:
        self._accounts = accounts
        self._seen = accounts.last_cutoff

    def look(self, _applied: Any = None) -> None:
        """Log what came of a cut-off that is new; called after every batch."""
        last = self._accounts.last_cutoff
        if last is None or last == self._seen:
            return
        self._seen = last
        due_ns, cycle, why = last
        if why:
            reason = Reason(why)
            log.warning(
                "cutoff_missed", due=_iso(due_ns), cycle=cycle, reason=reason.name.lower(),
                why=REASONS[reason].text,
            )  # fmt: skip
        else:
            log.info("cutoff_closed", due=_iso(due_ns), cycle=cycle)

    @property
    def fault(self) -> str:
        """Why what was traded is still not closed though its cut-off came, "" where nothing is.

        A day whose cycle was closed by hand before its cut-off is none.
        """
        last = self._accounts.last_cutoff
        if last is None or last[2] in (0, CLOSED_BY_HAND):
            return ""
        if self._accounts.last_closed_ns >= last[0]:
            return ""
        reason = Reason(last[2])
        text = f"the cut-off of {_iso(last[0])} closed no cycle: {reason.name.lower()}"
        return f"{text}, {REASONS[reason].text}"


def _iso(timestamp_ns: int) -> str:
    return codec.format_time(timestamp_ns // 1000).decode()
