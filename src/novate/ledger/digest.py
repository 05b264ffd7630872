"""One hash over all rows of a ledger: equal for equal ledgers, whatever database holds them."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from novate.ledger import database
from novate.ledger.schema import TABLES

_FETCHED: Final = 10_000


def digest(engine: Engine) -> dict[str, str]:
    """A hash of each table's rows in the order of their keys, and of all tables as "" ."""
    found: dict[str, str] = {}
    with database.faults(), engine.connect() as connection:
        for table in sorted(TABLES, key=lambda each: each.name):
            found[table.name] = _of_table(connection, table)
    listed = "\n".join(f"{name} {found[name]}" for name in sorted(found))
    return found | {"": blake2b(listed.encode(), digest_size=32).hexdigest()}


def _of_table(connection: Connection, table: sa.Table) -> str:
    state = blake2b(digest_size=32)
    query = sa.select(table).order_by(*table.primary_key.columns)
    # Texts are in no key but an asset's, which both databases order by its bytes.
    for rows in connection.execution_options(yield_per=_FETCHED).execute(query).partitions():
        for row in rows:
            state.update(b"\x1f".join(map(_bytes, row)) + b"\x1e")
    return state.hexdigest()


def _bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, (bytes, memoryview)) else str(value).encode()
