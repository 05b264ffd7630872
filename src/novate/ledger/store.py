"""The writer's end of a ledger: rows and the last seq in one transaction, so exactly once.

A transaction first moves `ledger_state` from the seq its rows follow on to their last; where that
row says another seq, nothing is written. Whatever happens to a transaction, also where its outcome
is unknown, the next look at `ledger_state` says whether its rows are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain, islice
from typing import Any, Final

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection, RootTransaction

from novate.ledger import database, wide
from novate.ledger.copying import COPY_TRAILER, binary_rows, text_rows
from novate.ledger.cycles import Moment
from novate.ledger.positions import Position
from novate.ledger.projection import Columns, Rows, Standing, Texts
from novate.ledger.schema import (
    LIMB,
    assets,
    clients,
    instruments,
    ledger_state,
    ledger_transfers,
    order_events,
    order_minutes,
    order_names,
    order_terms,
    orderbook_levels,
    orderbook_snapshots,
    orders,
    positions,
    quotes,
    settlement_cycles,
    settlement_obligations,
    settlement_totals,
    trade_minutes,
    trades,
)
from novate.model.errors import LedgerFault, LedgerMoved
from novate.model.events import BOOK_KINDS

_KEYS_MAX: Final = 500
"""Keys of one question."""

_TOGETHER: Final = 64
"""Rows that one statement inserts into SQLite."""

_PIECE: Final = 512
"""Rows that SQLite is given in one piece: about half a millisecond of work."""

_VARIABLES_MAX: Final = 32_766
"""Variables of one statement that every SQLite takes since 3.32."""

_TOUCHED: Final = (
    "order_number", "filled", "amended", "price", "quantity", "has_ended", "why", "at_ns", "at_seq",
    "high", "low",
)  # fmt: skip

_TOUCH: Final = f"""UPDATE orders SET
 filled_lots = filled_lots + {{filled}},
 price_ticks = CASE {{amended}} WHEN 1 THEN {{price}} ELSE price_ticks END,
 quantity_lots = CASE {{amended}} WHEN 1 THEN {{quantity}} ELSE quantity_lots END,
 ended = CASE WHEN {{has_ended}} > 0 THEN {{has_ended}} ELSE ended END,
 reason = CASE WHEN {{has_ended}} > 0 THEN {{why}} ELSE reason END,
 updated_ns = {{at_ns}}, updated_seq = {{at_seq}},
 notional_high = notional_high + {{high}} + (notional_low + {{low}}) / {LIMB},
 notional_low = (notional_low + {{low}}) % {LIMB}"""

_SQLITE_TOUCH: Final = (
    _TOUCH.format(**{name: f"?{place}" for place, name in enumerate(_TOUCHED, 1)})
    + " WHERE order_number = ?1"
)
_POSTGRES_TOUCH: Final = (
    _TOUCH.format(**{name: f"t.{name}" for name in _TOUCHED})
    + " FROM touched t WHERE orders.order_number = t.order_number"
)


def _added(column: str) -> str:
    """A wide sum with a carry, in an upsert of `trade_minutes`."""
    high, low = f"{column}_high", f"{column}_low"
    old, new = "trade_minutes", "excluded"
    return (
        f"{high} = {old}.{high} + {new}.{high} + ({old}.{low} + {new}.{low}) / {LIMB}, "
        f"{low} = ({old}.{low} + {new}.{low}) % {LIMB}"
    )


_GREATEST = (
    "CASE WHEN excluded.{0} > trade_minutes.{0} THEN excluded.{0} ELSE trade_minutes.{0} END"
)
_LEAST = "CASE WHEN excluded.{0} < trade_minutes.{0} THEN excluded.{0} ELSE trade_minutes.{0} END"
_MERGE_MINUTES: Final = f""" ON CONFLICT (instrument, minute) DO UPDATE SET
 trade_count = trade_minutes.trade_count + excluded.trade_count,
 {_added("volume")}, {_added("notional")}, {_added("price_sum")},
 high_ticks = {_GREATEST.format("high_ticks")}, low_ticks = {_LEAST.format("low_ticks")},
 close_ticks = excluded.close_ticks, last_seq = excluded.last_seq"""

_MERGE_ORDER_MINUTES: Final = " ON CONFLICT (instrument, minute) DO UPDATE SET " + ", ".join(
    f"{column.name} = order_minutes.{column.name} + excluded.{column.name}"
    for column in list(order_minutes.columns)[2:]
)

_REPLACE_POSITIONS: Final = " ON CONFLICT (position) DO UPDATE SET " + ", ".join(
    f"{column.name} = excluded.{column.name}" for column in list(positions.columns)[3:]
)


class LedgerStore:
    """A ledger, connected for writing. One thread uses it.

    Args:
        url: Its database.
        partition: The partition whose journal it has.
        anew: Drop what is there and write all anew, as one transaction that `commit` ends: until
            then nobody sees any of it, and another writer has to wait.
        between: Called between two pieces of what takes long.

    Raises:
        LedgerAway: it can't be reached.
        LedgerFault: it is of another partition.
    """

    def __init__(
        self,
        url: str,
        partition: int = 0,
        anew: bool = False,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        self._partition = partition
        self._between = between
        self._engine = database.open_writer(url)
        self._sqlite = database.is_sqlite(self._engine)
        self._whole: RootTransaction | None = None
        if not anew:
            database.migrate(self._engine)
        with database.faults():
            self._connection = self._engine.connect()
            try:
                if anew:
                    self._whole = self._connection.begin()
                    database.make_anew(self._connection)
                self._begin()
            except BaseException:
                self.close()
                raise

    def _transaction(self) -> AbstractContextManager[object]:
        return nullcontext() if self._whole else self._connection.begin()

    def commit(self) -> None:
        """End the transaction of a ledger that is written anew."""
        assert self._whole is not None
        with database.faults():
            self._whole.commit()
        self._whole = None

    def _begin(self) -> None:
        with self._transaction():
            held = self._connection.execute(sa.select(ledger_state.c.partition)).scalars().all()
            if not held:
                first = Standing()
                self._connection.execute(
                    ledger_state.insert().values(
                        partition=self._partition,
                        seq=first.seq,
                        timestamp_ns=first.timestamp_ns,
                        events_hash=first.events_hash,
                        book_snapshot_seq=first.book_snapshot_seq,
                    )
                )
            elif held != [self._partition]:
                raise LedgerFault(
                    f"expected a ledger of partition {self._partition}, found one of {held[0]}"
                )
            if not self._sqlite:
                self._make_temporary()

    def _make_temporary(self) -> None:
        columns = ", ".join(f"{name} bigint" for name in _TOUCHED)
        execute = self._connection.exec_driver_sql
        execute(f"CREATE TEMPORARY TABLE touched ({columns}) ON COMMIT DELETE ROWS")
        for table in (positions, trade_minutes, order_minutes):
            execute(
                f"CREATE TEMPORARY TABLE new_{table.name} (LIKE {table.name}) ON COMMIT DELETE ROWS"
            )

    def close(self) -> None:
        """Let go of the database."""
        try:
            self._connection.close()
        except Exception:  # it may be gone already, in any way
            self._connection.invalidate()
        self._engine.dispose()

    # --- reading where it stands ------------------------------------------------------------------

    def seq(self) -> int:
        """The last command whose rows it has."""
        with database.faults(), self._transaction():
            found = self._connection.execute(sa.select(ledger_state.c.seq)).scalar_one()
        return int(found)

    def standing(self) -> Standing:
        """Where it stands, with what a projection has to know."""
        with database.faults(), self._transaction():
            state = self._connection.execute(sa.select(ledger_state)).one()
            known = self._connection.execute(sa.select(clients.c.client)).scalars().all()
            changed = self._changed_since(state.book_snapshot_seq)
            assets_known = self._connection.execute(
                sa.select(sa.func.count()).select_from(assets)
            ).scalar_one()
            closed = self._cycle_closed()
            quoted = self._last_quotes()
        return Standing(
            seq=state.seq,
            timestamp_ns=state.timestamp_ns,
            events_hash=bytes(state.events_hash),
            book_snapshot_seq=state.book_snapshot_seq,
            clients=tuple(known),
            changed=tuple(changed),
            assets=assets_known,
            cycle_closed=closed,
            quotes=quoted,
        )

    def _cycle_closed(self) -> Moment:
        """Where the last cycle closed: the one of the highest number."""
        cycle = settlement_cycles.c
        columns = cycle.closed_seq, cycle.closed_position, cycle.closed_ns
        last = sa.select(*columns).order_by(cycle.cycle.desc()).limit(1)
        found = self._connection.execute(last).first()
        return Moment(*found) if found else Moment()

    def _last_quotes(self) -> tuple[tuple[int, int, int], ...]:
        """(instrument, bid, ask) of the best prices stored last."""
        listed = self._connection.execute(sa.select(instruments.c.instrument)).scalars().all()
        found = []
        for instrument in listed:
            last = (
                sa.select(quotes.c.bid_ticks, quotes.c.ask_ticks)
                .where(quotes.c.instrument == instrument)
                .order_by(quotes.c.second.desc())
                .limit(1)
            )
            row = self._connection.execute(last).first()
            if row is not None:
                found.append((int(instrument), int(row.bid_ticks), int(row.ask_ticks)))
        return tuple(found)

    def _changed_since(self, seq: int) -> set[int]:
        """Instruments whose books changed behind a seq, as `BookKeeper` counts changes."""
        by_events = sa.select(order_events.c.instrument).where(
            order_events.c.seq > seq, order_events.c.kind.in_(BOOK_KINDS)
        )
        traded = sa.exists().where(
            trades.c.instrument == instruments.c.instrument, trades.c.seq > seq
        )
        by_trades = sa.select(instruments.c.instrument).where(traded)
        found = self._connection.execute(sa.union(by_events, by_trades)).scalars()
        return {int(each) for each in found}

    def load_positions(self, keys: Sequence[int]) -> dict[int, Position]:
        """The positions of these keys that there are."""
        found: dict[int, Position] = {}
        with database.faults(), self._transaction():
            for start in range(0, len(keys), _KEYS_MAX):
                asked = list(keys[start : start + _KEYS_MAX])
                query = sa.select(positions).where(positions.c.position.in_(asked))
                for row in self._connection.execute(query):
                    found[row.position] = [
                        wide.join(row.net_high, row.net_low),
                        wide.join(row.cost_high, row.cost_low),
                        wide.join(row.realized_high, row.realized_low),
                    ]
        return found

    # --- writing ----------------------------------------------------------------------------------

    def write(self, rows: Rows) -> None:
        """Write rows and their seq in one transaction.

        Raises:
            LedgerMoved: the ledger is not where these rows follow on; nothing was written.
            LedgerAway: it failed, or its outcome is unknown: `seq` says, once it can be asked.
        """
        with database.faults(), self._transaction():
            self._move(rows)
            self._add_texts(rows)
            self._add(orders, rows.orders)
            self._add(order_events, rows.order_events)
            self._add(trades, rows.trades)
            self._add(ledger_transfers, rows.ledger_transfers)
            self._add(settlement_cycles, _columns(rows.settlement_cycles))
            self._add(settlement_totals, _columns(rows.settlement_totals))
            self._add(settlement_obligations, rows.settlement_obligations)
            self._move_settlements(rows)
            self._touch_orders(rows.touched)
            self._add(order_terms, _columns(rows.order_terms))
            self._change_terms(rows)
            self._merge(trade_minutes, rows.trade_minutes, _MERGE_MINUTES)
            self._merge(order_minutes, rows.order_minutes, _MERGE_ORDER_MINUTES)
            self._add(quotes, _columns(rows.quotes))
            self._merge(positions, _columns(rows.positions), _REPLACE_POSITIONS)
            self._add(orderbook_snapshots, _columns(rows.orderbook_snapshots))
            self._add(orderbook_levels, _columns(rows.orderbook_levels))

    def _move(self, rows: Rows) -> None:
        moved = self._connection.execute(
            ledger_state.update()
            .where(ledger_state.c.partition == self._partition)
            .where(ledger_state.c.seq == rows.before_seq)
            .values(
                seq=rows.seq,
                timestamp_ns=rows.timestamp_ns,
                events_hash=rows.events_hash,
                book_snapshot_seq=rows.book_snapshot_seq,
            )
        )
        if moved.rowcount != 1:
            raise LedgerMoved(f"expected the ledger at seq {rows.before_seq}, found it elsewhere")

    def _add_texts(self, rows: Rows) -> None:
        for table, listed in (
            (instruments, rows.instruments),
            (clients, rows.clients),
            (order_names, rows.order_names),
            (assets, rows.assets),
        ):
            if not listed:
                continue
            if self._sqlite:
                self._insert_texts(table, listed)
            else:
                self._copy(f"COPY {table.name} FROM STDIN", text_rows(listed))

    def _add(self, table: sa.Table, columns: Columns) -> None:
        if not columns or not len(columns[0]):
            return
        if self._sqlite:
            self._insert_many(table, columns)
            return
        self._copy_columns(table.name, columns, _widths(table))

    def _touch_orders(self, touched: Columns) -> None:
        if not len(touched[0]):
            return
        if self._sqlite:
            self._many(_SQLITE_TOUCH, zip(*(each.tolist() for each in touched), strict=True))
            return
        self._copy_apart("touched", touched, (8,) * len(touched))
        self._connection.exec_driver_sql(_POSTGRES_TOUCH.replace("%", "%%"))

    def _change_terms(self, rows: Rows) -> None:
        if not rows.terms_changes:
            return
        made: dict[str, Any] = {"order_number": sa.bindparam("order")} | {
            column.name: sa.literal(0) for column in list(order_terms.columns)[1:]
        }
        insert = _upsert(self._connection)(order_terms).values(made).on_conflict_do_nothing()
        for order, change in rows.terms_changes:
            self._connection.execute(insert, {"order": order})
            self._connection.execute(
                order_terms.update().where(order_terms.c.order_number == order).values(change)
            )

    def _move_settlements(self, rows: Rows) -> None:
        for cycle, state, seq in rows.settlement_moves:
            for table, moved in (
                (settlement_cycles, "moved_seq"),
                (settlement_obligations, "updated_seq"),
            ):
                change = table.update().where(table.c.cycle == cycle)
                self._connection.execute(change.values({"state": state, moved: seq}))

    def _merge(self, table: sa.Table, columns: Columns, conflict: str) -> None:
        if not columns or not len(columns[0]):
            return
        if self._sqlite:
            rows = zip(*(each.tolist() for each in columns), strict=True)
            self._many(_insert(table) + conflict, rows)
            return
        self._copy_apart(f"new_{table.name}", columns, _widths(table))
        select = f"INSERT INTO {table.name} SELECT * FROM new_{table.name}" + conflict
        self._connection.exec_driver_sql(select.replace("%", "%%"))

    def _insert_many(self, table: sa.Table, columns: Columns) -> None:
        """Insert rows, many by a statement: SQLite takes each statement's fixed cost once."""
        count, width = len(columns[0]), len(columns)
        rows = np.empty((count, width), dtype=np.int64)
        for place, column in enumerate(columns):
            rows[:, place] = column
        together = min(_TOGETHER, _VARIABLES_MAX // width)
        whole = count - count % together
        if whole:
            by_statement = rows[:whole].reshape(-1, together * width)
            self._many(_insert(table, together), by_statement.tolist(), together)
        if whole < count:
            self._many(_insert(table), rows[whole:].tolist())

    def _insert_texts(self, table: sa.Table, rows: Texts) -> None:
        """The same for rows with texts in them."""
        whole = len(rows) - len(rows) % _TOGETHER
        if whole:
            by_statement = (
                tuple(chain.from_iterable(rows[at : at + _TOGETHER]))
                for at in range(0, whole, _TOGETHER)
            )
            self._many(_insert(table, _TOGETHER), by_statement, _TOGETHER)
        if whole < len(rows):
            self._many(_insert(table), rows[whole:])

    def _many(self, statement: str, variables: Iterable[Any], together: int = 1) -> None:
        """Run a statement of SQLite's, for so many rows at once, with each of these variables."""
        driver, each = self._driver(), iter(variables)
        while piece := list(islice(each, max(_PIECE // together, 1))):
            driver.executemany(statement, piece)
            self._between()

    def _copy_apart(self, name: str, columns: Columns, widths: Sequence[int]) -> None:
        """Copy into a temporary table, whose rows go with their transaction or here."""
        if self._whole:
            self._connection.exec_driver_sql(f"DELETE FROM {name}")
        self._copy_columns(name, columns, widths)

    def _copy_columns(self, name: str, columns: Columns, widths: Sequence[int]) -> None:
        packed = binary_rows(columns, widths)
        self._copy(f"COPY {name} FROM STDIN (FORMAT BINARY)", packed + COPY_TRAILER)

    def _copy(self, statement: str, packed: bytes) -> None:
        with self._driver().cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(packed)
        self._between()

    def _driver(self) -> Any:
        return self._connection.connection.driver_connection


def _insert(table: sa.Table, together: int = 1) -> str:
    """The statement that inserts so many rows."""
    names = ", ".join(column.name for column in table.columns)
    marks = ", ".join("?" * len(table.columns))
    listed = ", ".join([f"({marks})"] * together)
    return f"INSERT INTO {table.name} ({names}) VALUES {listed}"


def _widths(table: sa.Table) -> tuple[int, ...]:
    """Bytes of each column in PostgreSQL."""
    return tuple(2 if isinstance(each.type, sa.SmallInteger) else 8 for each in table.columns)


def _columns(rows: Sequence[tuple[int, ...]]) -> Columns:
    return list(np.array(rows, dtype=np.int64).T) if rows else []


def _upsert(connection: Connection) -> Callable[[sa.Table], Any]:
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        return sqlite_insert
    from sqlalchemy.dialects.postgresql import insert as postgres_insert

    return postgres_insert
