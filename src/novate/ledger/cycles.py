"""Settlement in the ledger: cycles, their obligations, and what became of them, as rows.

A cycle is closed and moved by events; what it came to stands in the entries that netted it.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from novate.ledger import wide
from novate.ledger.entries import EntrySource, decimal_halves
from novate.model.clearing import Account, EntryKind, SettlementState
from novate.model.events import EventKind


class Moment(NamedTuple):
    """A place in the order of all events, and its time."""

    seq: int = 0
    position: int = 0
    timestamp_ns: int = 0


class Move(NamedTuple):
    """What became of a cycle."""

    cycle: int
    state: int
    seq: int


def totals(accounts: EntrySource, events: NDArray[Any]) -> list[tuple[int, ...]]:
    """Rows of `settlement_totals`, of the cycles that a batch has just closed.

    A batch that closes a cycle and 64 more behind it leaves no totals of that one: the core has
    forgotten it then.
    """
    rows: list[tuple[int, ...]] = []
    kinds = events["kind"]
    if EventKind.CYCLE_CLOSED not in kinds.tobytes():  # as almost always, and found at once
        return rows
    for number in events["order"][kinds == EventKind.CYCLE_CLOSED].tolist():
        found = accounts.cycle(number)
        for instrument, each in enumerate(found[0]["totals"] if found else ()):
            if each["trades"] or each["busts"]:
                rows.append(
                    (
                        number, instrument, each["trades"], *wide.split(each["lots"]),
                        *wide.split(each["turnover"]), *wide.split(each["fees"]), each["busts"],
                        *wide.split(each["bust_lots"]), *wide.split(each["bust_turnover"]),
                    )
                )  # fmt: skip
    return rows


class Cycles:
    """Makes the rows of cycles; remembers where the last one ended.

    Args:
        closed: Where that is.
    """

    def __init__(self, closed: Moment) -> None:
        self._closed = closed

    def closings(
        self, events: NDArray[Any], times: NDArray[np.int64], position: NDArray[np.int64]
    ) -> list[tuple[int, ...]]:
        """Rows of `settlement_cycles`.

        Args:
            events: An array of `EVENT`.
            times: The time of each.
            position: Its place among those of its command.
        """
        rows: list[tuple[int, ...]] = []
        for at in np.flatnonzero(events["kind"] == EventKind.CYCLE_CLOSED).tolist():
            event, before = events[at], self._closed
            closed = Moment(int(event["seq"]), int(position[at]), int(times[at]))
            rows.append(
                (
                    int(event["order"]), before.seq, before.position, closed.seq, closed.position,
                    before.timestamp_ns, closed.timestamp_ns, int(SettlementState.OPEN),
                    int(event["quantity_lots"]), closed.seq,
                )
            )  # fmt: skip
            self._closed = closed
        return rows


def moves(events: NDArray[Any]) -> list[Move]:
    """What became of cycles, in its order."""
    moved = events[events["kind"] == EventKind.SETTLEMENT_MOVED]
    columns = (moved[name].tolist() for name in ("order", "index", "seq"))
    return [Move(*each) for each in zip(*columns, strict=True)]


_NETTED: Final = (int(EntryKind.NETTED), int(Account.SETTLING))


def obligation_columns(entries: NDArray[Any], times: NDArray[np.int64]) -> list[NDArray[Any]]:
    """Columns of `settlement_obligations`; `times` has the time of each entry."""
    kind, account = _NETTED
    netted = (entries["kind"] == kind) & (entries["account"] == account)
    own = entries[netted]
    high, low = decimal_halves(own["amount_high"], own["amount_low"])
    state = np.full(len(own), int(SettlementState.OPEN), dtype=np.int64)
    return [
        own["reference"], own["client"], own["asset"], high, low, times[netted], state, own["seq"],
    ]  # fmt: skip
