"""Questions about settlement: a closed cycle as the core reported it, and a client's entries."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from novate.ledger.views import entries_of
from novate.ledger.wide import join

_TOTALS: Final = ("trades", "lots", "turnover", "fees", "busts", "bust_lots", "bust_turnover")

# A transfer has a client's entry or two, but for one that has the second alone, which is not before
# (seq, entry) where the first is: so one more of them.
_LINES: Final = f"""WITH own AS (SELECT * FROM ledger_transfers t
 WHERE t.client = (SELECT client FROM clients WHERE client_id = :client_id){{before_transfer}}
 ORDER BY t.seq DESC, t.entry DESC LIMIT :limit + 1)
 SELECT e.*, a.name AS asset_name, a.scale FROM ({entries_of("own t")}) e
 JOIN assets a ON a.asset = e.asset WHERE e.client >= 0{{before}}
 ORDER BY e.seq DESC, e.entry DESC LIMIT :limit"""
_BEFORE: Final = " AND ({0}.seq, {0}.entry) < (:seq, :entry)"


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
    asked = {"cycle": number}
    statement = sa.text("SELECT * FROM settlement_cycles WHERE cycle = :cycle")
    cycle = connection.execute(statement, asked).mappings().first()
    if cycle is None:
        return None
    owed = "SELECT * FROM settlement_obligations WHERE cycle = :cycle ORDER BY client, asset"
    rows = [
        (row.client, row.asset, join(row.amount_high, row.amount_low))
        for row in connection.execute(sa.text(owed), asked)
    ]
    names = ("cycle", "state", "closed_ns", "closed_seq", "moved_seq", "obligations")
    heading = {name: cycle[name] for name in names}
    return ClosedCycle(heading | {"totals": _totals(connection, number)}, rows)


def _totals(connection: Connection, number: int) -> list[dict[str, int]]:
    """What each instrument's cycle came to, by its number."""
    count = connection.execute(sa.text("SELECT count(*) FROM instruments")).scalar_one()
    found = [dict.fromkeys(_TOTALS, 0) for _ in range(int(count))]
    statement = sa.text("SELECT * FROM settlement_totals WHERE cycle = :cycle")
    for row in connection.execute(statement, {"cycle": number}).mappings():
        found[row["instrument"]] = {name: _whole(row, name) for name in _TOTALS}
    return found


def _whole(row: RowMapping, name: str) -> int:
    return int(row[name]) if name in row else join(row[f"{name}_high"], row[f"{name}_low"])


def lines(
    connection: Connection, client_id: str, limit: int, before: tuple[int, int] | None
) -> list[RowMapping]:
    """A client's entries, newest first; only those before (seq, entry), if given."""
    values: dict[str, Any] = {"client_id": client_id, "limit": limit}
    bounds = {"before_transfer": "", "before": ""}
    if before is not None:
        bounds = {"before_transfer": _BEFORE.format("t"), "before": _BEFORE.format("e")}
        values |= {"seq": before[0], "entry": before[1]}
    return list(connection.execute(sa.text(_LINES.format(**bounds)), values).mappings())
