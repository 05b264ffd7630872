"""Views of the ledger for people: decimals as they are spoken of, names, ISO 8601 times.

They never multiply or add raw amounts in 64 bits: PostgreSQL computes in NUMERIC, SQLite by limbs
of nine digits, and what comes out is exact decimal text there. They are made anew by every
migration, so that no revision has to know them.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from sqlalchemy import inspect
from sqlalchemy.engine import Connection

from novate.ledger.entries import HOUSES
from novate.ledger.schema import LIMB
from novate.ledger.statuses import STATUS_SQL
from novate.model.clearing import Account, EntryKind, SettlementState
from novate.model.commands import OrderType, Side, TimeInForce
from novate.model.events import EventKind
from novate.model.rejects import Reason

NAMES: Final = (
    "order_list",
    "trade_list",
    "audit_trail",
    "position_list",
    "minute_list",
    "book_list",
    "ledger_entries",  # those behind it look at it
    "entry_list",
    "entry_sums",
    "settlement_list",
    "obligation_list",
    "total_list",
    "cycle_sums",
    "cycle_trades",
)
"""Every view."""

_HALF: Final = 10**9
_DIGITS: Final = 56


class _Dialect:
    """SQL of what the two databases say differently."""

    def __init__(self, sqlite: bool) -> None:
        self.sqlite = sqlite

    def decimal(self, value: str, coefficient: str, exponent: str) -> str:
        """`value * coefficient * 10**-exponent` of a 64-bit value, exactly."""
        high, low = f"({value}) / {LIMB}", f"({value}) % {LIMB}"
        if self.sqlite:
            return _limbs(high, low, coefficient, exponent)
        return _numeric(f"({value})::numeric", coefficient, exponent)

    def wide(self, name: str, coefficient: str = "1", exponent: str = "0") -> str:
        """The same of a wide column, by its name without `_high` and `_low`."""
        if self.sqlite:
            return _limbs(f"{name}_high", f"{name}_low", coefficient, exponent)
        whole = f"({name}_high::numeric * {LIMB} + {name}_low)"
        return _numeric(whole, coefficient, exponent)

    def time(self, column: str) -> str:
        """Nanoseconds as ISO 8601 UTC with microseconds."""
        if self.sqlite:
            seconds = f"strftime('%Y-%m-%dT%H:%M:%S', {column} / 1000000000, 'unixepoch')"
            return f"{seconds} || printf('.%06dZ', {column} % 1000000000 / 1000)"
        moment = f"to_timestamp({column} / 1000000000) AT TIME ZONE 'UTC'"
        micros = f"lpad(({column} % 1000000000 / 1000)::text, 6, '0')"
        return f"to_char({moment}, 'YYYY-MM-DD\"T\"HH24:MI:SS') || '.' || {micros} || 'Z'"


def _numeric(value: str, coefficient: str, exponent: str) -> str:
    # By way of text: a division would be rounded to some digits.
    return f"trim_scale((({value} * {coefficient})::text || 'e-' || ({exponent}))::numeric)"


def _limbs(high: str, low: str, coefficient: str, exponent: str) -> str:
    """A product of a wide number and a coefficient as decimal text, in steps of nine digits."""
    sign = f"SELECT {high} AS h, {low} AS l, {coefficient} AS c, {exponent} AS e"
    size = (
        "SELECT h < 0 OR l < 0 AS minus, c, e, "
        f"CASE WHEN h >= 0 THEN h WHEN l = 0 THEN -h ELSE -h - 1 END AS h, "
        f"CASE WHEN h >= 0 THEN abs(l) WHEN l = 0 THEN 0 ELSE {LIMB} - l END AS l FROM ({sign})"
    )
    parts = (
        f"SELECT minus, e, c % {_HALF} AS c0, c / {_HALF} AS c1, l % {_HALF} AS v0, "
        f"l / {_HALF} AS v1, h % {_HALF} AS v2, h / {_HALF} AS v3 FROM ({size})"
    )
    products = (
        "SELECT minus, e, v0 * c0 AS r0, v1 * c0 + v0 * c1 AS r1, v2 * c0 + v1 * c1 AS r2, "
        f"v3 * c0 + v2 * c1 AS r3, v3 * c1 AS r4 FROM ({parts})"
    )
    one = f"SELECT minus, e, r0, r1 + r0 / {_HALF} AS r1, r2, r3, r4 FROM ({products})"
    two = f"SELECT minus, e, r0, r1, r2 + r1 / {_HALF} AS r2, r3, r4 FROM ({one})"
    three = f"SELECT minus, e, r0, r1, r2, r3 + r2 / {_HALF} AS r3, r4 FROM ({two})"
    digits = (
        f"SELECT minus, e, printf('%020d%09d%09d%09d%09d', r4 + r3 / {_HALF}, r3 % {_HALF}, "
        f"r2 % {_HALF}, r1 % {_HALF}, r0 % {_HALF}) AS d FROM ({three})"
    )
    cut = (
        f"SELECT minus, ltrim(substr(d, 1, {_DIGITS} - e), '0') AS i, "
        f"CASE WHEN e = 0 THEN '' ELSE rtrim(substr(d, -e), '0') END AS f FROM ({digits})"
    )
    return (
        "(SELECT CASE WHEN minus THEN '-' ELSE '' END || CASE i WHEN '' THEN '0' ELSE i END || "
        f"CASE f WHEN '' THEN '' ELSE '.' || f END FROM ({cut}))"
    )


def _named(column: str, kind: type[IntEnum]) -> str:
    cases = " ".join(f"WHEN {int(each)} THEN '{each.name.lower()}'" for each in kind)
    return f"CASE {column} {cases} ELSE '' END"


def _side(column: str) -> str:
    return _named(column, Side)


def _owner(column: str) -> str:
    """Whose an account is."""
    return f"CASE WHEN {column} < 0 THEN 'house' ELSE c.client_id END"


def _statements(sqlite: bool) -> dict[str, str]:
    sql = _Dialect(sqlite)
    price = ("i.tick_coefficient", "i.tick_exponent")
    lots = ("i.lot_coefficient", "i.lot_exponent")
    quote = ("i.quote_units", "i.quote_scale")
    grid = "JOIN instruments i ON i.instrument ="
    return {
        "order_list": f"""SELECT o.order_number, n.order_id, c.client_id, i.name AS instrument,
 {_side("o.side")} AS side, {_named("o.order_type", OrderType)} AS type,
 {_named("o.time_in_force", TimeInForce)} AS time_in_force,
 {sql.decimal("o.price_ticks", *price)} AS price,
 {sql.decimal("o.quantity_lots", *lots)} AS quantity,
 {sql.decimal("o.filled_lots", *lots)} AS filled_quantity,
 {sql.wide("o.notional", *quote)} AS filled_quote_quantity,
 {STATUS_SQL} AS status, {_named("o.reason", Reason)} AS reason,
 {sql.time("o.created_ns")} AS created_at, {sql.time("o.updated_ns")} AS updated_at,
 o.updated_seq AS sequence
 FROM orders o JOIN order_names n ON n.order_number = o.order_number
 JOIN clients c ON c.client = o.client {grid} o.instrument""",
        "trade_list": f"""SELECT s.partition || '-' || t.seq || '-' || t.trade_index AS trade_id,
 i.name AS instrument, {sql.decimal("t.price_ticks", *price)} AS price,
 {sql.decimal("t.quantity_lots", *lots)} AS quantity,
 CASE t.auction WHEN 1 THEN '' ELSE {_side("t.taker_side")} END AS taker_side,
 b.client_id AS maker_client_id, k.client_id AS taker_client_id,
 t.maker_order, t.taker_order, {sql.time("t.timestamp_ns")} AS time, t.seq AS sequence
 FROM trades t CROSS JOIN ledger_state s {grid} t.instrument
 JOIN clients b ON b.client = t.maker_client JOIN clients k ON k.client = t.taker_client""",
        "audit_trail": f"""SELECT seq, position, kind, order_number, other_order, price_ticks,
 quantity_lots, remaining_lots, reason, {sql.time("timestamp_ns")} AS time FROM (
 SELECT seq, position, {_named("kind", EventKind)} AS kind, order_number, 0 AS other_order,
 price_ticks, quantity_lots, remaining_lots, {_named("reason", Reason)} AS reason, timestamp_ns
 FROM order_events UNION ALL
 SELECT seq, position, 'trade', maker_order, taker_order, price_ticks, quantity_lots,
 maker_remaining_lots, 'none', timestamp_ns FROM trades) every_event""",
        "position_list": f"""SELECT c.client_id, i.name AS instrument,
 {sql.wide("p.net", *lots)} AS net_quantity, {sql.wide("p.cost", *quote)} AS total_cost,
 {sql.wide("p.realized", *quote)} AS realized_pnl,
 {sql.time("p.updated_ns")} AS last_updated, p.updated_seq AS sequence
 FROM positions p JOIN clients c ON c.client = p.client {grid} p.instrument""",
        "minute_list": f"""SELECT i.name AS instrument,
 {sql.time("m.minute * 60000000000")} AS minute, m.trade_count,
 {sql.wide("m.volume", *lots)} AS volume, {sql.wide("m.notional", *quote)} AS quote_volume,
 {sql.decimal("m.open_ticks", *price)} AS open, {sql.decimal("m.high_ticks", *price)} AS high,
 {sql.decimal("m.low_ticks", *price)} AS low, {sql.decimal("m.close_ticks", *price)} AS close
 FROM trade_minutes m {grid} m.instrument""",
        "book_list": f"""SELECT l.seq, i.name AS instrument, {sql.time("s.timestamp_ns")} AS time,
 {_named("l.side", _BookSide)} AS side, l.level, {sql.decimal("l.price_ticks", *price)} AS price,
 {sql.decimal("l.quantity_lots", *lots)} AS quantity, l.orders
 FROM orderbook_levels l JOIN orderbook_snapshots s
 ON s.seq = l.seq AND s.instrument = l.instrument {grid} l.instrument""",
        **_of_clearing(sql),
    }


_SUMMED: Final = (
    f"a.name AS asset, {_named('sums.account', Account)} AS account, {_owner('sums.client')}"
    " AS client_id"
)
_NAMED_SUMS: Final = (
    "JOIN assets a ON a.asset = sums.asset LEFT JOIN clients c ON c.client = sums.client"
)
_OF_TRADES: Final = ", ".join(
    str(int(kind)) for kind in (EntryKind.TRADE, EntryKind.FEE, EntryKind.BUST, EntryKind.REFUND)
)
_INSIDE: Final = """(t.seq, t.position) > (s.opened_seq, s.opened_position)
 AND (t.seq, t.position) < (s.closed_seq, s.closed_position)
 AND t.seq BETWEEN s.opened_seq AND s.closed_seq"""


def entries_of(source: str, more: str = "") -> str:
    """A query of the entries of transfers.

    A client's and the house's stand apart, so that whoever asks for a client's reads no other.

    Args:
        source: What has the transfers, by the name `t`.
        more: More columns of the source, each with a comma behind it.
    """
    houses = ", ".join(map(str, HOUSES))
    owners = (("t.client", f"NOT IN (0, {houses})"), ("CAST(-1 AS BIGINT)", f"IN ({houses})"))
    return " UNION ALL ".join(
        f"""SELECT {more}t.seq, t.entry + {place} AS entry, t.{other}asset AS asset,
 t.{account} AS account, {owner} AS client, {amount[0]} AS amount_high, {amount[1]} AS amount_low,
 t.kind, t.reference, t.reference_index, t.timestamp_ns FROM {source} WHERE t.{account} {whose}"""
        for first, other in ((0, ""), (2, "other_"))
        for place, account, amount in (
            (first, f"{other}source", _less(f"t.{other}amount")),
            (first + 1, f"{other}target", (f"t.{other}amount_high", f"t.{other}amount_low")),
        )
        for owner, whose in owners
    )


def _less(name: str) -> tuple[str, str]:
    """Both halves of a wide number with the other sign."""
    high, low = f"{name}_high", f"{name}_low"
    return (
        f"CASE {low} WHEN 0 THEN -{high} ELSE -{high} - 1 END",
        f"CASE {low} WHEN 0 THEN 0 ELSE {LIMB} - {low} END",
    )


_CYCLES_TRANSFERS: Final = (
    "settlement_cycles s JOIN ledger_transfers t ON t.seq > s.opened_seq AND t.seq <= s.closed_seq"
)


def _sums(sql: _Dialect, more: str, source: str, condition: str) -> str:
    """Entries summed by account, client and asset, and by `more`."""
    parts = ", ".join(
        f"{_sum(part, sql.sqlite)} AS {name}"
        for name, part in (
            ("highs", "e.amount_high"),
            ("uppers", f"e.amount_low / {_HALF}"),
            ("lowers", f"e.amount_low % {_HALF}"),
        )
    )
    return f"""SELECT {more}account, client, asset,
 highs + (uppers + lowers / {_HALF}) / {_HALF} AS amount_high,
 (uppers + lowers / {_HALF}) % {_HALF} * {_HALF} + lowers % {_HALF} AS amount_low FROM (
 SELECT {more}account, client, asset, {parts} FROM {source}
 WHERE {condition} GROUP BY {more}account, client, asset) halves"""


def _traded(sql: _Dialect) -> str:
    """What the trades of each cycle come to; price times quantity in steps of nine digits."""
    price, lots = "t.price_ticks", "t.quantity_lots"
    middle = f"{price} / {_HALF} * ({lots} % {_HALF}) + {price} % {_HALF} * ({lots} / {_HALF})"
    low = f"{price} % {_HALF} * ({lots} % {_HALF})"
    parts = ", ".join(
        f"{_sum(part, sql.sqlite)} AS {name}"
        for name, part in (
            ("l1", f"{lots} / {_HALF}"),
            ("l0", f"{lots} % {_HALF}"),
            ("n4", f"{price} / {_HALF} * ({lots} / {_HALF})"),
            ("n3", f"({middle}) / {_HALF}"),
            ("n2", f"({middle}) % {_HALF}"),
            ("n1", f"({low}) / {_HALF}"),
            ("n0", f"({low}) % {_HALF}"),
        )
    )
    second = f"(n2 + n1 + n0 / {_HALF})"
    return f"""SELECT cycle, instrument, trades,
 (l1 + l0 / {_HALF}) / {_HALF} AS lots_high,
 (l1 + l0 / {_HALF}) % {_HALF} * {_HALF} + l0 % {_HALF} AS lots_low,
 n4 + n3 + {second} / {_HALF} AS turnover_high,
 {second} % {_HALF} * {_HALF} + n0 % {_HALF} AS turnover_low FROM (
 SELECT s.cycle, t.instrument, count(*) AS trades, {parts}
 FROM settlement_cycles s JOIN trades t ON {_INSIDE} GROUP BY s.cycle, t.instrument) parts"""


def _of_clearing(sql: _Dialect) -> dict[str, str]:
    lots = ("i.lot_coefficient", "i.lot_exponent")
    quote = ("i.quote_units", "i.quote_scale")
    of_cycles = f"({entries_of(_CYCLES_TRANSFERS, 's.cycle, ')}) e"
    return {
        "ledger_entries": entries_of("ledger_transfers t"),
        "entry_list": f"""SELECT e.seq, e.entry, {_named("e.kind", EntryKind)} AS kind,
 {_named("e.account", Account)} AS account, {_owner("e.client")} AS client_id, a.name AS asset,
 {sql.wide("e.amount", "1", "a.scale")} AS amount, e.reference, e.reference_index,
 {sql.time("e.timestamp_ns")} AS time
 FROM ledger_entries e JOIN assets a ON a.asset = e.asset
 LEFT JOIN clients c ON c.client = e.client""",
        "entry_sums": f"""SELECT {_SUMMED}, {sql.wide("sums.amount", "1", "a.scale")} AS amount
 FROM ({_sums(sql, "", "ledger_entries e", "TRUE")}) sums {_NAMED_SUMS}""",
        "settlement_list": f"""SELECT s.cycle, {_named("s.state", SettlementState)} AS state,
 s.obligations, {sql.time("s.closed_ns")} AS closed_at, s.opened_seq, s.closed_seq, s.moved_seq
 FROM settlement_cycles s""",
        "obligation_list": f"""SELECT o.cycle, c.client_id, a.name AS asset,
 {sql.wide("o.amount", "1", "a.scale")} AS amount,
 {_named("o.state", SettlementState)} AS state, {sql.time("o.due_ns")} AS due_at
 FROM settlement_obligations o JOIN clients c ON c.client = o.client
 JOIN assets a ON a.asset = o.asset""",
        "total_list": f"""SELECT t.cycle, i.name AS instrument, t.trades,
 {sql.wide("t.lots", *lots)} AS quantity, {sql.wide("t.turnover", *quote)} AS turnover,
 {sql.wide("t.fees", "1", "i.quote_scale")} AS fees, t.busts
 FROM settlement_totals t JOIN instruments i ON i.instrument = t.instrument""",
        "cycle_sums": f"""SELECT sums.cycle, {_SUMMED},
 {sql.wide("sums.amount", "1", "a.scale")} AS amount
 FROM ({_sums(sql, "cycle, ", of_cycles, f"e.kind IN ({_OF_TRADES})")}) sums
 {_NAMED_SUMS} WHERE sums.account IN ({int(Account.DUE)}, {int(Account.FEES)})""",
        "cycle_trades": f"""SELECT t.cycle, i.name AS instrument, t.trades,
 {sql.wide("t.lots", *lots)} AS quantity, {sql.wide("t.turnover", *quote)} AS turnover
 FROM ({_traded(sql)}) t JOIN instruments i ON i.instrument = t.instrument""",
    }


class _BookSide(IntEnum):
    BID = 0
    ASK = 1


def _sum(expression: str, sqlite: bool) -> str:
    """A sum of halves; it fits in 64 bits for 10**9 entries and more."""
    return f"sum({expression})" if sqlite else f"sum({expression})::bigint"


def create(connection: Connection) -> None:
    """Make every view."""
    statements = _statements(connection.dialect.name == "sqlite")
    for name in NAMES:
        connection.exec_driver_sql(f"CREATE VIEW {name} AS {statements[name]}".replace("%", "%%")
                                   if connection.dialect.name != "sqlite"
                                   else f"CREATE VIEW {name} AS {statements[name]}")  # fmt: skip


def drop(connection: Connection) -> None:
    """Drop every view that is there."""
    # One may have been a table in an earlier form of the ledger.
    found = set(inspect(connection).get_view_names())
    for name in reversed(NAMES):
        if name in found:
            connection.exec_driver_sql(f"DROP VIEW {name}")
