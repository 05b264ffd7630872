"""Questions about settlement: a closed cycle as the core reported it, and a client's entries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from novate.ledger import blocks
from novate.ledger.views import entries_of
from novate.ledger.wide import join

_TOTALS: Final = ("trades", "lots", "turnover", "fees", "busts", "bust_lots", "bust_turnover")

# A row has an entry of a client or more, but for one that has none before (seq, entry) though it
# begins there: so one more of them.
_LINES: Final = f"""WITH own AS (SELECT * FROM ledger_transfers t
 WHERE {blocks.block_of("t.seq")} IN ({{listed}}) AND t.client = :client{{before_row}}
 ORDER BY t.seq DESC, t.entry DESC LIMIT :limit + 1)
 SELECT e.*, a.name AS asset_name, a.scale FROM ({entries_of("own t")}) e
 JOIN assets a ON a.asset = e.asset WHERE e.client >= 0{{before}}
 ORDER BY e.seq DESC, e.entry DESC LIMIT :limit"""
_CYCLES: Final = (
    "SELECT * FROM settlement_cycles WHERE cycle < :before ORDER BY cycle DESC LIMIT :limit"
)
_HEADING: Final = ("cycle", "state", "closed_ns", "closed_seq", "moved_seq", "obligations")
_BEFORE: Final = " AND ({0}.seq, {0}.entry) < (:seq, :entry)"
_NEWEST: Final = (
    "SELECT max(seq) FROM ledger_transfers"
    f" WHERE {blocks.block_of('seq')} = {blocks.WANTED} AND client = :client"
)


class ClosedCycle(NamedTuple):
    """A closed cycle, in the shapes of the core's accounts.

    Attributes:
        heading: What `Accounts.cycle` says of it, its totals by instrument among it.
        rows: (client, asset, units) of each obligation.
    """

    heading: dict[str, Any]
    rows: list[tuple[int, int, int]]


def closed_cycle(connection: Connection, number: int) -> ClosedCycle | None:
    """A closed cycle, None: the ledger has none of this number."""
    found = closed_cycles(connection, number + 1, 1)
    if not found or found[0]["cycle"] != number:
        return None
    asked = {"cycle": number}
    owed = "SELECT * FROM settlement_obligations WHERE cycle = :cycle ORDER BY client, asset"
    rows = [
        (row.client, row.asset, join(row.amount_high, row.amount_low))
        for row in connection.execute(sa.text(owed), asked)
    ]
    return ClosedCycle(found[0], rows)


def closed_cycles(connection: Connection, before: int, limit: int) -> list[dict[str, Any]]:
    """What `Accounts.cycle` says of the closed cycles of lower numbers, newest first."""
    asked = {"before": before, "limit": limit}
    cycles = connection.execute(sa.text(_CYCLES), asked).mappings().all()
    if not cycles:
        return []
    totals = _totals(connection, cycles[-1]["cycle"], cycles[0]["cycle"])
    return [
        {name: cycle[name] for name in _HEADING} | {"totals": totals[cycle["cycle"]]}
        for cycle in cycles
    ]


def _totals(connection: Connection, first: int, last: int) -> dict[int, list[dict[str, int]]]:
    """What each instrument's cycle came to, by its number, of a range of cycles."""
    count = int(connection.execute(sa.text("SELECT count(*) FROM instruments")).scalar_one())
    nothing = dict.fromkeys(_TOTALS, 0)
    found: dict[int, list[dict[str, int]]] = defaultdict(lambda: [nothing] * count)
    statement = sa.text("SELECT * FROM settlement_totals WHERE cycle BETWEEN :first AND :last")
    for row in connection.execute(statement, {"first": first, "last": last}).mappings():
        found[row["cycle"]][row["instrument"]] = {name: _whole(row, name) for name in _TOTALS}
    return found


def _whole(row: RowMapping, name: str) -> int:
    return int(row[name]) if name in row else join(row[f"{name}_high"], row[f"{name}_low"])


def lines(
    connection: Connection,
    last_seq: int,
    client: int,
    limit: int,
    before: tuple[int, int] | None,
) -> list[RowMapping]:
    """A client's entries, newest first; only those before (seq, entry), if given."""
    values: dict[str, Any] = {"client": client}
    bounds = {"before_row": "", "before": ""}
    if before is not None:
        bounds = {"before_row": _BEFORE.format("t"), "before": _BEFORE.format("e")}
        values |= {"seq": before[0], "entry": before[1]}
        last_seq = min(last_seq, before[0])

    def ask(listed: str, wanted: int) -> Sequence[RowMapping]:
        statement = sa.text(_LINES.format(listed=listed, **bounds))
        return connection.execute(statement, values | {"limit": wanted}).mappings().all()

    return blocks.read(blocks.newest(connection, _NEWEST, last_seq, client=client), limit, ask)
