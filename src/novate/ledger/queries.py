"""What the history API asks of a ledger. Blocks: to be called on threads of a pool.

Every answer comes with the seq up to which it is true, read in the same transaction.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from novate.ledger import activity, blocks, candles, database, settlements, stored_books
from novate.ledger.busts import bust_seq, cleared_trade, with_correction
from novate.ledger.candles import CandlePage, Span
from novate.ledger.naming import name_hash
from novate.ledger.schema import ledger_state
from novate.ledger.statuses import STATUS_SQL
from novate.model.clearing import ClearedTrade
from novate.model.errors import LedgerAway
from novate.model.events import EventKind

SQLITE_STEPS: Final = 20_000
"""Steps of SQLite's machine between two looks at the clock."""

_ORDER_KINDS: Final = ", ".join(
    str(int(kind))
    for kind in (
        EventKind.ORDER_ACCEPTED,
        EventKind.ORDER_REJECTED,
        EventKind.ORDER_ENDED,
        EventKind.ORDER_AMENDED,
        EventKind.ORDER_TRIGGERED,
    )
)
_GRID: Final = (
    "i.name, i.tick_coefficient, i.tick_exponent, i.lot_coefficient, i.lot_exponent, "
    "i.quote_units, i.quote_scale"
)
_ORDERS: Final = f"""SELECT o.*, n.order_id, c.client_id, {_GRID}, t.stop_price_ticks,
 t.triggered, t.display_lots, t.minimum_lots, t.expire_ns, t.self_trade, t.self_trade_group
 FROM orders o JOIN order_names n ON n.order_number = o.order_number
 JOIN clients c ON c.client = o.client JOIN instruments i ON i.instrument = o.instrument
 LEFT JOIN order_terms t ON t.order_number = o.order_number"""
_TRADES: Final = f"""SELECT t.*, {bust_seq("t")}, {_GRID}, mn.order_id AS maker_order_id,
 tn.order_id AS taker_order_id, mc.client_id AS maker_client_id, tc.client_id AS taker_client_id
 FROM trades t JOIN instruments i ON i.instrument = t.instrument
 JOIN order_names mn ON mn.order_number = t.maker_order
 JOIN order_names tn ON tn.order_number = t.taker_order
 JOIN clients mc ON mc.client = t.maker_client JOIN clients tc ON tc.client = t.taker_client"""
_OWN: Final = (
    "seq, position, kind, reason, instrument, price_ticks, quantity_lots, remaining_lots, "
    "timestamp_ns, 0 AS trade_index, flags, 0 AS bust_seq"
)


def _fills(remaining: str) -> str:
    """Columns of a trade, as those of `_OWN`."""
    return (
        f"seq, position, {int(EventKind.TRADE)}, 0, instrument, price_ticks, quantity_lots, "
        f"{remaining}, timestamp_ns, trade_index, 0, {bust_seq('trades')}"
    )


_EVENTS: Final = f"""SELECT e.*, {_GRID} FROM (
 SELECT {_OWN} FROM order_events
 WHERE seq = :number AND order_number = :number AND kind IN ({_ORDER_KINDS})
 UNION ALL SELECT {_OWN} FROM order_events
 WHERE order_number = :number AND order_number <> seq AND kind IN ({_ORDER_KINDS})
 UNION ALL SELECT {_fills("maker_remaining_lots")} FROM trades WHERE maker_order = :number
 UNION ALL SELECT {_fills("NULL")} FROM trades
 WHERE instrument = :instrument AND seq = :number AND taker_order = :number
 UNION ALL SELECT {_fills("NULL")} FROM trades
 WHERE taker_order = :number AND taker_order <> seq
 ) e JOIN instruments i ON i.instrument = e.instrument
 ORDER BY e.seq, e.position LIMIT :limit OFFSET :skipped"""
"""An order's events by key where its own command made them, else by index."""


_CLIENTS_NEWEST: Final = (
    "SELECT max(order_number) FROM orders"
    f" WHERE {blocks.block_of('order_number')} = {blocks.WANTED} AND client = :client"
)
_NAMES_NEWEST: Final = (
    "SELECT max(order_number) FROM order_names"
    f" WHERE {blocks.block_of('order_number')} = {blocks.WANTED} AND name_hash = :name_hash"
    " AND order_id = :order_id"
)

Row = RowMapping | dict[str, Any]
"""A row by the names of its columns."""


class Found(NamedTuple):
    """An answer.

    Attributes:
        seq: Up to which seq it is true.
        rows: Its rows.
    """

    seq: int
    rows: Sequence[Row]


class OrderFilter(NamedTuple):
    """Which orders are asked for.

    Attributes:
        instrument: A number, or -1 for every one.
        before: Only those with a lower order number; 0: all.
    """

    client_id: str | None = None
    instrument: int = -1
    status: str | None = None
    limit: int = 50
    before: int = 0


class LedgerReader:
    """Asks a ledger; many threads may use it.

    Args:
        url: Its database.
        seconds: How long a question may take.
        connections: How many it holds at most.
    """

    def __init__(self, url: str, seconds: float, connections: int) -> None:
        self._engine = database.open_reader(url, seconds, connections)
        self._sqlite = database.is_sqlite(self._engine)
        self._seconds = seconds

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A transaction in which everything is of one moment, and which ends in time."""
        with database.faults(), self._engine.connect() as connection, connection.begin():
            if self._sqlite:
                self._limit_sqlite(connection)
            yield connection

    def _limit_sqlite(self, connection: Connection) -> None:
        end = time.monotonic() + self._seconds
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(lambda: time.monotonic() > end, SQLITE_STEPS)

    def _ask(self, statement: str, **values: Any) -> Found:
        with self._reading() as connection:
            # First of all, as the writer does: who meets a rebuild then waits and holds nothing.
            seq = _seq(connection)
            rows = connection.execute(sa.text(statement), values).mappings().all()
            return Found(seq, rows)

    def seq(self) -> int:
        """The last command whose rows the ledger has."""
        with self._reading() as connection:
            return _seq(connection)

    def orders(self, wanted: OrderFilter) -> Found:
        """Orders, newest first."""
        with self._reading() as connection:
            seq = _seq(connection)
            conditions, values = _order_conditions(wanted)
            if wanted.client_id is None:
                return Found(seq, _listed(connection, conditions, values, wanted.limit))
            client = _client(connection, wanted.client_id)
            if client is None:
                return Found(seq, [])
            values["client"] = client
            last = min(seq, wanted.before - 1) if wanted.before else seq
            found = blocks.newest(connection, _CLIENTS_NEWEST, last, client=client)
            ask = functools.partial(_of_client, connection, conditions, values)
            return Found(seq, blocks.read(found, wanted.limit, ask))

    def order(self, order_id: str) -> Found:
        """The newest order of this id, if there is one."""
        named = {"name_hash": name_hash(order_id), "order_id": order_id}
        with self._reading() as connection:
            seq = _seq(connection)
            found = next(blocks.newest(connection, _NAMES_NEWEST, seq, **named), None)
            if found is None:
                return Found(seq, [])
            values = {"number": found[1]}
            return Found(seq, _listed(connection, ["o.order_number = :number"], values, 1))

    def order_events(self, order: Row, limit: int, skipped: int) -> Found:
        """An order's audit trail, oldest first."""
        return self._ask(
            _EVENTS,
            number=order["order_number"],
            instrument=order["instrument"],
            limit=limit,
            skipped=skipped,
        )

    def trades(self, instrument: int, limit: int, before: tuple[int, int] | None) -> Found:
        """Trades of an instrument, newest first; only those before (seq, index), if given.

        Each has its `bust_seq`, 0 if it stands, and the `correction` in its place, if there is one.
        """
        where = " WHERE t.instrument = :instrument"
        values: dict[str, Any] = {"instrument": instrument, "limit": limit}
        if before is not None:
            where += " AND (t.seq, t.trade_index) < (:seq, :trade_index)"
            values |= {"seq": before[0], "trade_index": before[1]}
        statement = sa.text(
            f"{_TRADES}{where} ORDER BY t.seq DESC, t.trade_index DESC LIMIT :limit"
        )
        with self._reading() as connection:
            seq = _seq(connection)
            rows = connection.execute(statement, values).mappings().all()
            return Found(seq, [with_correction(connection, row) for row in rows])

    def cleared_trade(
        self, instrument: int, seq: int, trade_index: int
    ) -> tuple[int, ClearedTrade | None]:
        """A trade with what it was charged, None: no such, with the seq up to which it is true."""
        with self._reading() as connection:
            state = _seq(connection)
            return state, cleared_trade(connection, instrument, seq, trade_index)

    def minutes(self, instrument: int, first: int, end: int) -> Found:
        """Minutes in which an instrument traded, from `first` up to and without `end`."""
        return self._ask(
            "SELECT * FROM trade_minutes WHERE instrument = :instrument AND minute >= :first"
            " AND minute < :end ORDER BY minute",
            instrument=instrument,
            first=first,
            end=end,
        )

    def candles(self, span: Span) -> CandlePage:
        """The newest candles of a span."""
        with self._reading() as connection:
            state = _state(connection)
            return CandlePage(*state, *candles.read(connection, span))

    def messages(self, instrument: int, first: int, end: int) -> activity.PastMessages:
        """Messages about orders from minute `first` up to and without minute `end`."""
        with self._reading() as connection:
            seq = _seq(connection)
            found = activity.messages(connection, instrument, first, end)
            return activity.PastMessages(seq, found)

    def markouts(self, instrument: int, start_s: int, end_s: int) -> activity.PastMarkouts:
        """Markouts of the trades of whole minutes, given in seconds."""
        with self._reading() as connection:
            seq, time_ns = _state(connection)
            now_s = time_ns // 10**9
            found = activity.markouts(connection, instrument, start_s, end_s, now_s)
            return activity.PastMarkouts(seq, *found)

    def market(self, span: Span, time_ns: int) -> stored_books.PastMarket:
        """The book as it was stored last by a time, and the candles of a span."""
        with self._reading() as connection:
            seq = _seq(connection)
            book = stored_books.stored_book(connection, span.instrument, time_ns)
            return stored_books.PastMarket(seq, book, candles.read(connection, span)[0])

    def closed_cycle(self, number: int) -> tuple[int, settlements.ClosedCycle | None]:
        """A closed cycle, None: no such, with the seq up to which that is true."""
        with self._reading() as connection:
            return _seq(connection), settlements.closed_cycle(connection, number)

    def closed_cycles(self, before: int, limit: int) -> tuple[int, list[dict[str, Any]]]:
        """Closed cycles of lower numbers, newest first, with the seq up to which that is true."""
        with self._reading() as connection:
            return _seq(connection), settlements.closed_cycles(connection, before, limit)

    def lines(self, client_id: str, limit: int, before: tuple[int, int] | None) -> Found:
        """A client's entries, newest first; only those before (seq, entry), if given."""
        with self._reading() as connection:
            seq = _seq(connection)
            client = _client(connection, client_id)
            if client is None:
                return Found(seq, [])
            return Found(seq, settlements.lines(connection, seq, client, limit, before))


def _client(connection: Connection, client_id: str) -> int | None:
    """The number of a client, None: the ledger has none of this id."""
    statement = sa.text("SELECT client FROM clients WHERE client_id = :client_id")
    found = connection.execute(statement, {"client_id": client_id}).scalar_one_or_none()
    return None if found is None else int(found)


def _listed(
    connection: Connection, conditions: list[str], values: dict[str, Any], limit: int
) -> Sequence[RowMapping]:
    """Orders that meet all conditions, newest first."""
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    statement = f"{_ORDERS}{where} ORDER BY o.order_number DESC LIMIT :limit"
    return connection.execute(sa.text(statement), {"limit": limit, **values}).mappings().all()


def _of_client(
    connection: Connection, conditions: list[str], values: dict[str, Any], listed: str, limit: int
) -> Sequence[RowMapping]:
    """A client's orders in these blocks."""
    within = f"{blocks.block_of('o.order_number')} IN ({listed})"
    return _listed(connection, [within, "o.client = :client", *conditions], values, limit)


def _order_conditions(wanted: OrderFilter) -> tuple[list[str], dict[str, Any]]:
    conditions: list[str] = []
    values: dict[str, Any] = {}
    if wanted.instrument >= 0:
        conditions.append("o.instrument = :instrument")
        values["instrument"] = wanted.instrument
    if wanted.status is not None:
        conditions.append(f"({STATUS_SQL}) = :status")
        values["status"] = wanted.status
    if wanted.before:
        conditions.append("o.order_number < :before")
        values["before"] = wanted.before
    return conditions, values


def _seq(connection: Connection) -> int:
    return _state(connection)[0]


def _state(connection: Connection) -> tuple[int, int]:
    """(the last command whose rows the ledger has, its time in ns)."""
    found = connection.execute(sa.select(ledger_state.c.seq, ledger_state.c.timestamp_ns)).first()
    if found is None:
        raise LedgerAway("the ledger has no rows yet")
    return int(found.seq), int(found.timestamp_ns)
