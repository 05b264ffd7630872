"""Switches: what operator and clients have set, read from the engine as it is now.

Kill switches, limits of clients and dead-man timers, as those who set them said it. Never submits,
never waits.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec

from novate.gateway.fields import check_id, raise_all
from novate.gateway.instruments import Instruments
from novate.gateway.market_rules import limits_members
from novate.gateway.problems import FieldError
from novate.gateway.reads import LIST_DEFAULT, LIST_MAX, Query, whole
from novate.model import codec
from novate.model.instrument import Instrument, OrderLimits

PARAMETERS: Final = ("client_id", "limit", "cursor")

Row = tuple[int, str, bool, int, list[tuple[int, OrderLimits]]]


class SwitchState(Protocol):
    """What is asked of the engine; see `novate.engine.switches.Switches`."""

    @property
    def venue_killed(self) -> bool:
        """Whether the venue's kill switch is on."""
        ...

    def client(self, client_id: bytes, /) -> int:
        """The number of a client, -1: not known."""
        ...

    def held(self, first: int, most: int, /) -> tuple[list[Row], int]:
        """The clients from a number on that have anything set, and where to go on, or -1."""
        ...


class Sequenced(Protocol):
    """What knows how far the engine is."""

    @property
    def last_seq(self) -> int:
        """The last command that was applied."""
        ...


class SwitchReads:
    """The switches, limits and timers of one partition.

    Args:
        switches: Reads them of the engine.
        engine: Says up to which sequence that is.
        instruments: Their names and grids.
    """

    def __init__(self, switches: SwitchState, engine: Sequenced, instruments: Instruments) -> None:
        self._switches = switches
        self._engine = engine
        self._instruments = instruments

    def listed(self, query: Query) -> bytes:
        """GET /admin/controls: the venue's switch, and clients by number; ProblemError 400."""
        errors: list[FieldError] = []
        limit = whole(query, "limit", LIST_DEFAULT, 1, LIST_MAX, errors)
        first = whole(query, "cursor", 0, 1, 2**32 - 1, errors)
        client_id = query.get("client_id")
        if client_id is not None:
            check_id("client_id", client_id, errors)
        raise_all(errors)
        if client_id is None:
            rows, after = self._switches.held(first, limit)
        else:
            rows, after = self._one(client_id)
        instruments = self._instruments.all() if any(row[4] for row in rows) else []
        clients = [_members(row, instruments) for row in rows]
        return msgspec.json.encode(
            {
                "sequence": self._engine.last_seq,
                "venue_killed": self._switches.venue_killed,
                "count": len(clients),
                "clients": clients,
                "next_cursor": None if after < 0 else str(after),
            }
        )

    def _one(self, client_id: str) -> tuple[list[Row], int]:
        """The client's row alone, where it has anything set."""
        number = self._switches.client(client_id.encode())
        if number < 0:
            return [], -1
        rows, _ = self._switches.held(number, 1)
        return [row for row in rows if row[0] == number], -1


def _members(row: Row, instruments: list[Instrument]) -> dict[str, Any]:
    _, client_id, killed, deadline_ns, limits = row
    return {
        "client_id": client_id,
        "killed": killed,
        "cancels_at": codec.format_time(deadline_ns // 1000).decode() if deadline_ns else None,
        "limits": [
            {"instrument": instruments[at].name, **limits_members(own, instruments[at])}
            for at, own in limits
        ],
    }
