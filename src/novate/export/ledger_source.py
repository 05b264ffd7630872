"""The ledger as the source of an export: what the follower wrote into SQL.

Quicker than a replay where little of a long history is wanted, and it reaches past what the journal
was pruned of. All of it is read in one transaction, so that it is of one moment: `last_seq`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from novate.export.columns import ExportError
from novate.export.sources import INT64_MAX, Correction, NamedTrade, Seen, TradeColumns, Wanted
from novate.ledger import database, rendering
from novate.ledger.busts import bust_seq, with_correction
from novate.ledger.schema import instruments as instruments_table
from novate.ledger.schema import ledger_state
from novate.model.commands import Side
from novate.model.errors import LedgerAway
from novate.model.instrument import Instrument

ROWS_PER_READ: Final = 20_000
SECONDS_MAX: Final = 86_400.0
"""An export may take long; a question of the API may not."""

_GRID: Final = (
    "i.name, i.tick_coefficient, i.tick_exponent, i.lot_coefficient, i.lot_exponent, "
    "i.quote_units, i.quote_scale"
)
_WITHIN: Final = (
    "t.seq BETWEEN :first_seq AND :last_seq AND t.timestamp_ns >= :since_ns"
    " AND t.timestamp_ns < :until_ns ORDER BY t.seq, t.trade_index"
)
_COLUMNS: Final = f"""SELECT t.timestamp_ns, t.seq, t.instrument, t.price_ticks, t.quantity_lots
 FROM trades t WHERE {_WITHIN}"""
_TRADES: Final = f"""SELECT t.*, {bust_seq("t")},
 m.order_id AS maker_order_id, k.order_id AS taker_order_id,
 a.client_id AS maker_client_id, b.client_id AS taker_client_id FROM trades t
 JOIN order_names m ON m.order_number = t.maker_order
 JOIN order_names k ON k.order_number = t.taker_order
 JOIN clients a ON a.client = t.maker_client JOIN clients b ON b.client = t.taker_client
 WHERE {_WITHIN}"""
_ORDERS: Final = f"""SELECT o.*, n.order_id, c.client_id, {_GRID}, t.stop_price_ticks, t.triggered,
 t.display_lots, t.minimum_lots, t.expire_ns, t.self_trade, t.self_trade_group
 FROM orders o JOIN order_names n ON n.order_number = o.order_number
 JOIN clients c ON c.client = o.client JOIN instruments i ON i.instrument = o.instrument
 LEFT JOIN order_terms t ON t.order_number = o.order_number
 WHERE o.updated_seq BETWEEN :first_seq AND :last_seq AND o.created_ns >= :since_ns
 AND o.created_ns < :until_ns ORDER BY o.order_number"""


class LedgerSource:
    """The history that a ledger has.

    Args:
        url: Its database.
        partition: The first part of trade ids.
        wanted: What is going to be asked for.

    Attributes:
        instruments: Those that are wanted, by number.
        warnings: Empty: what a ledger has, it has whole.
        first_seq, last_seq: What it holds.

    Raises:
        ExportError: no instrument has a name that was asked for.
        LedgerAway: the database can't be read, or has no ledger.
    """

    def __init__(self, url: str, partition: int, wanted: Wanted) -> None:
        self.wanted = wanted
        self.warnings: list[str] = []
        self.first_seq = 1
        self._partition = partition
        self._open = contextlib.ExitStack()
        with database.faults(), contextlib.ExitStack() as opened:
            engine = database.open_reader(url, SECONDS_MAX, 1)
            opened.callback(engine.dispose)
            self._connection: Connection = opened.enter_context(engine.connect())
            self._connection.begin()
            self.last_seq = self._seq()
            self.instruments = self._chosen()
            self._open = opened.pop_all()

    def close(self) -> None:
        """Let go of the database."""
        self._open.close()

    def _seq(self) -> int:
        found = self._connection.execute(sa.select(ledger_state.c.seq)).scalar()
        if found is None:
            raise LedgerAway("the ledger has no rows yet")
        return int(found)

    def _chosen(self) -> dict[int, Instrument]:
        rows = self._connection.execute(sa.select(instruments_table)).mappings().all()
        wanted = self.wanted.instruments
        for name in wanted:
            if name not in {row["name"] for row in rows}:
                listed = ", ".join(sorted(row["name"] for row in rows)[:20])
                raise ExportError(f"expected an instrument of {listed}; found {name!r}")
        chosen = [row for row in rows if not wanted or row["name"] in wanted]
        return {row["instrument"]: _instrument(row) for row in chosen}

    def _pages(self, statement: str) -> Iterator[list[Any]]:
        wanted = self.wanted
        values = {
            "first_seq": wanted.first_seq,
            "last_seq": min(wanted.last_seq, INT64_MAX),
            "since_ns": wanted.since_ns,
            "until_ns": wanted.until_ns,
        }
        options = {"stream_results": True, "yield_per": ROWS_PER_READ}
        with database.faults():
            found = self._connection.execution_options(**options).execute(
                sa.text(statement), values
            )
            yield from (list(page) for page in found.partitions())

    def trades(self, seen: Seen) -> Iterator[TradeColumns]:
        """The trades, without their texts, some thousands at a time."""
        for page in self._pages(_COLUMNS):
            yield TradeColumns(*np.array([tuple(row) for row in page], np.int64).T)
            seen(page[-1].seq)

    def named_trades(self, seen: Seen) -> Iterator[list[NamedTrade]]:
        """The trades with their texts, some thousands at a time."""
        for page in self._pages(_TRADES):
            yield [self._named(row._mapping) for row in page]
            seen(page[-1].seq)

    def _named(self, row: RowMapping) -> NamedTrade:
        bought = row["taker_side"] == Side.BUY
        buyer, seller = ("taker", "maker") if bought else ("maker", "taker")
        seq, index = row["seq"], row["trade_index"]
        return NamedTrade(
            f"{self._partition}-{seq}-{index}", seq, index, row["timestamp_ns"],
            row["instrument"], row["price_ticks"], row["quantity_lots"],
            None if row["auction"] else ("buy" if bought else "sell"),
            row[f"{buyer}_order_id"], row[f"{seller}_order_id"],
            row[f"{buyer}_client_id"], row[f"{seller}_client_id"], row["bust_seq"] or None,
            self._correction(row),
        )  # fmt: skip

    def _correction(self, row: RowMapping) -> Correction | None:
        if not row["bust_seq"]:
            return None
        made = with_correction(self._connection, row)["correction"]
        if made is None:
            return None
        trade_id = f"{self._partition}-{made['seq']}-0"
        return Correction(trade_id, made["price_ticks"], made["quantity_lots"])

    def orders(self, seen: Seen) -> Iterator[list[bytes]]:
        """The orders as they are, in the order in which they were placed."""
        for page in self._pages(_ORDERS):
            yield [rendering.order(row._mapping).encode() for row in page]
            seen(page[-1].order_number)


def _instrument(row: RowMapping) -> Instrument:
    names = (
        "name", "base", "quote", "tick_coefficient", "tick_exponent", "lot_coefficient",
        "lot_exponent", "quote_scale",
    )  # fmt: skip
    return Instrument(index=row["instrument"], **{name: row[name] for name in names})
