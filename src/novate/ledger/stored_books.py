"""Books as they were stored, out of the ledger."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from novate.analytics.candles import Candles
from novate.ledger.schema import orderbook_levels, orderbook_snapshots

LEVEL: Final = np.dtype([("price_ticks", "<i8"), ("quantity_lots", "<i8")])

Side = NDArray[Any]


class StoredBook(NamedTuple):
    """A book as it was stored.

    Attributes:
        seq: The last command it shows, 0: none was stored yet.
        timestamp_ns: Its time.
        bids: Rows of `LEVEL`, best first, as many as were stored.
        asks: The like.
    """

    seq: int
    timestamp_ns: int
    bids: Side
    asks: Side


class PastMarket(NamedTuple):
    """A market as it was.

    Attributes:
        seq: The last command whose rows the ledger has.
        book: The book stored last by then.
        candles: What was traded before, oldest first.
    """

    seq: int
    book: StoredBook
    candles: Candles


def stored_book(connection: Connection, instrument: int, time_ns: int) -> StoredBook:
    """The book that was stored last at or before a time."""
    table = orderbook_snapshots.c
    asked = (
        sa.select(table.seq, table.timestamp_ns)
        .where(table.instrument == instrument, table.timestamp_ns <= time_ns)
        .order_by(table.timestamp_ns.desc(), table.seq.desc())
        .limit(1)
    )
    found = connection.execute(asked).first()
    if found is None:
        return StoredBook(0, 0, np.empty(0, LEVEL), np.empty(0, LEVEL))
    sides = [_side(connection, found.seq, instrument, side) for side in (0, 1)]
    return StoredBook(found.seq, found.timestamp_ns, *sides)


def _side(connection: Connection, seq: int, instrument: int, side: int) -> Side:
    table = orderbook_levels.c
    asked = (
        sa.select(table.price_ticks, table.quantity_lots)
        .where(table.seq == seq, table.instrument == instrument, table.side == side)
        .order_by(table.level)
    )
    return np.array([tuple(row) for row in connection.execute(asked)], LEVEL)
