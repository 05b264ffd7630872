"""Blocks of sequences: how what is wanted rarely is found by an index that is cheap to write.

An index over a whole table, by a hash or by a client, takes each new row somewhere else: a
transaction then writes a page for almost every row. The indices here begin with the block that a
row's sequence falls into. So all new rows go to the few pages of the last block, however large the
table is; and a question asks every block, newest first: a step into the index for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

BLOCK: Final = 32_768
"""Sequences of one block. It stands in indices: another one takes a migration."""

WANTED: Final = "+blocks.block"
"""SQL of the block that a probe is for; with a column's affinity SQLite passes the index over."""

_ASKED: Final = 1_024
"""Blocks that one statement looks into."""

_TOGETHER: Final = 16
"""Blocks whose rows one statement reads and sorts."""


def block_of(column: str) -> str:
    """SQL of the block of a sequence, as the indices have it."""
    return f"({column} / {BLOCK})"


def question(probe: str) -> str:
    """SQL that probes the blocks from `:newest` down to `:oldest`."""
    return (
        "WITH RECURSIVE blocks (block) AS (SELECT CAST(:newest AS BIGINT)"
        " UNION ALL SELECT block - 1 FROM blocks WHERE block > :oldest)"
        f" SELECT block, ({probe}) AS found FROM blocks"
    )


def newest(
    connection: Connection, probe: str, last_seq: int, **values: Any
) -> Iterator[tuple[int, int]]:
    """The blocks that have something, newest first.

    Args:
        connection: The ledger, in a transaction.
        probe: A SELECT of one number of the block `WANTED`, NULL where it has nothing.
        last_seq: The sequence to begin at.
        values: Of the parameters in `probe`.

    Returns:
        (block, what the probe found there) one by one; it looks further as it is asked for more.
    """
    statement = sa.text(question(probe))
    last = last_seq // BLOCK
    while last >= 0:
        oldest = max(last - _ASKED + 1, 0)
        rows = connection.execute(statement, {"newest": last, "oldest": oldest, **values})
        yield from sorted((row for row in map(tuple, rows) if row[1] is not None), reverse=True)
        last = oldest - 1


def read(
    blocks: Iterator[tuple[int, int]], limit: int, ask: Callable[[str, int], Sequence[Any]]
) -> list[Any]:
    """Up to `limit` rows, of the newest blocks.

    Args:
        blocks: As `newest` gives them.
        limit: How many rows are wanted.
        ask: Reads up to so many rows, newest first, of the blocks that an SQL list names.
    """
    found: list[Any] = []
    together = 1
    while len(found) < limit:
        listed = [str(block) for _, (block, _) in zip(range(together), blocks, strict=False)]
        if not listed:
            break
        found += ask(", ".join(listed), limit - len(found))
        # Where rows are rare, or few of them are wanted ones, more blocks at a time.
        together = min(together * 2, _TOGETHER)
    return found
