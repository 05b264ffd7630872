"""The tables of the ledger, for SQLite and PostgreSQL alike.

Keys are integers. Prices are ticks and quantities lots of their instrument (`instruments` has
their scale), never floats. What can pass 64 bits (notional, cost, amounts) stands in two columns:

    value = high * 10**18 + low        0 <= low < 10**18

`high` bears the sign, so the pair sorts by (high, low); both halves add up in 64 bits with a carry
(`docs/ledger.md` has the sums). A notional is in ticks x lots of its instrument: times the
instrument's `quote_units` it is in units of the quote asset. Times are nanoseconds since 1970 UTC.

Numbers of kinds, sides, types and reasons are those of `novate.model`. No column is ever NULL.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)

from novate.ledger.blocks import block_of

LIMB: Final = 10**18
"""Base of the two halves of a wide number."""

metadata: Final = MetaData()

# An INTEGER PRIMARY KEY is the row's own address in SQLite; a BIGINT one would be an index beside.
_Big = BigInteger().with_variant(Integer, "sqlite")

_ORDERED: Final[dict[str, Any]] = {"sqlite_with_rowid": False}
"""Tables whose key is their order: appended at the end of one tree, with no second one."""


def _key(name: str) -> Column[int]:
    return Column(name, _Big, primary_key=True, autoincrement=False)


def _big(name: str) -> Column[int]:
    return Column(name, _Big, nullable=False)


def _small(name: str) -> Column[int]:
    return Column(name, SmallInteger, nullable=False)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _wide(name: str) -> tuple[Column[int], Column[int]]:
    return _big(f"{name}_high"), _big(f"{name}_low")


def _by_block(name: str, sequence: str, *columns: str) -> Index:
    """An index within blocks of sequences: new rows go to the pages of the last one."""
    return Index(name, text(block_of(sequence)), *columns)


def _elsewhere(name: str, columns: str, condition: str) -> Index:
    """An index of those rows alone that are not found by their key."""
    where = text(condition)
    return Index(name, *columns.split(), sqlite_where=where, postgresql_where=where)


ledger_state: Final = Table(
    "ledger_state",
    metadata,
    _key("partition"),
    _big("seq"),  # the last command whose rows are here
    _big("timestamp_ns"),  # its time
    Column("events_hash", LargeBinary, nullable=False),  # running hash of the events up to it
    _big("book_snapshot_seq"),  # where the books were last stored
)

instruments: Final = Table(
    "instruments",
    metadata,
    _key("instrument"),
    _text("name"),
    _text("base"),
    _text("quote"),
    _big("tick_coefficient"),  # a price is ticks * tick_coefficient / 10**tick_exponent
    _small("tick_exponent"),
    _big("lot_coefficient"),
    _small("lot_exponent"),
    _big("quote_units"),  # units of 10**-quote_scale of the quote asset in one tick x one lot
    _small("quote_scale"),
    _big("created_seq"),
    _big("created_ns"),
)

clients: Final = Table(
    "clients",
    metadata,
    _key("client"),
    _text("client_id"),
    _big("first_seq"),
    _big("first_ns"),
    Index("clients_by_id", "client_id", unique=True),
)

orders: Final = Table(
    "orders",
    metadata,
    _key("order_number"),  # seq of the command that placed it
    _big("client"),
    _big("instrument"),
    _small("side"),
    _small("order_type"),
    _small("time_in_force"),
    _small("flags"),  # Flag bits POST_ONLY, BY_QUOTE, EXTENDED
    _big("price_ticks"),  # 0: it has no limit
    _big("quantity_lots"),  # total now; 0: by quote quantity
    _big("filled_lots"),
    *_wide("notional"),  # of its trades, ticks x lots
    *_wide("quote"),  # quote quantity asked, units of the quote asset
    _small("ended"),  # 0: not ended by anything but its fills; 1: ended; 2: rejected
    _small("reason"),
    _big("created_ns"),
    _big("updated_ns"),
    _big("updated_seq"),
    _by_block("orders_of_client", "order_number", "client", "order_number"),
    Index("orders_of_instrument", "instrument", "order_number"),
    postgresql_with={"fillfactor": 80},  # updates then stay in their page
)

order_names: Final = Table(
    "order_names",
    metadata,
    _key("order_number"),
    _big("name_hash"),  # `naming.name_hash` of it: a short key, where the text would be a long one
    _text("order_id"),
    _by_block("order_names_by_hash", "order_number", "name_hash"),
)

order_terms: Final = Table(
    "order_terms",
    metadata,
    _key("order_number"),
    _big("stop_price_ticks"),
    _small("triggered"),
    _big("display_lots"),
    _big("minimum_lots"),
    _big("expire_ns"),
    _small("self_trade"),
    _big("self_trade_group"),
    _big("session"),
    _small("link_use"),
)

order_events: Final = Table(
    "order_events",
    metadata,
    _key("seq"),
    _key("position"),  # place among the events of its command, its trades counted
    _small("kind"),  # EventKind; TRADE is in `trades`
    _small("reason"),
    _small("side"),
    _small("order_type"),
    _small("time_in_force"),
    _small("flags"),
    _big("instrument"),
    _big("event_index"),  # what EVENT calls index
    _big("order_number"),  # of kinds without an order what EVENT says
    _big("client"),
    _big("other_client"),
    _big("price_ticks"),
    _big("quantity_lots"),
    _big("remaining_lots"),
    _big("timestamp_ns"),
    # What an order's own command says of it is found by seq; the index has the rest.
    _elsewhere("order_events_of_order", "order_number", "order_number <> seq"),
    **_ORDERED,
)

trades: Final = Table(
    "trades",
    metadata,
    _key("instrument"),
    _key("seq"),
    _key("trade_index"),
    _big("position"),
    _big("price_ticks"),
    _big("quantity_lots"),
    _small("taker_side"),
    _small("auction"),  # 1: nobody is maker or taker; `taker` is the buyer
    _big("maker_order"),
    _big("taker_order"),
    _big("maker_client"),
    _big("taker_client"),
    _big("maker_remaining_lots"),
    _big("timestamp_ns"),
    Index("trades_of_maker", "maker_order"),
    # Most takers trade at the command that places them.
    _elsewhere("trades_of_taker", "taker_order", "taker_order <> seq"),
    **_ORDERED,
)

trade_minutes: Final = Table(
    "trade_minutes",
    metadata,
    _key("instrument"),
    _key("minute"),  # whole minutes since 1970 UTC
    _big("trade_count"),
    *_wide("volume"),  # lots
    *_wide("notional"),  # ticks x lots
    *_wide("price_sum"),  # ticks
    _big("open_ticks"),
    _big("high_ticks"),
    _big("low_ticks"),
    _big("close_ticks"),
    _big("first_seq"),
    _big("last_seq"),
    **_ORDERED,
)

order_minutes: Final = Table(
    "order_minutes",
    metadata,
    _key("instrument"),
    _key("minute"),  # whole minutes since 1970 UTC
    _big("orders"),  # accepted
    _big("rejected"),
    _big("amendments"),  # by the client
    _big("cancels"),  # by the client; of a mass cancel each order
    **_ORDERED,
)

quotes: Final = Table(
    "quotes",
    metadata,
    _key("instrument"),
    _key("second"),  # whole seconds since 1970 UTC, at whose end the best prices were others
    _big("bid_ticks"),  # 0: no bid
    _big("ask_ticks"),
    **_ORDERED,
)

orderbook_snapshots: Final = Table(
    "orderbook_snapshots",
    metadata,
    _key("seq"),
    _key("instrument"),
    _big("timestamp_ns"),
    _small("on_demand"),
    Index("orderbook_snapshots_of_instrument", "instrument", "timestamp_ns"),
    **_ORDERED,
)

orderbook_levels: Final = Table(
    "orderbook_levels",
    metadata,
    _key("seq"),
    _key("instrument"),
    _key("side"),
    _key("level"),  # 0: the best
    _big("price_ticks"),
    _big("quantity_lots"),
    _big("orders"),
    **_ORDERED,
)

positions: Final = Table(
    "positions",
    metadata,
    _key("position"),  # client * 2**32 + instrument
    _big("client"),
    _big("instrument"),
    *_wide("net"),  # lots, under 0: short
    *_wide("cost"),  # of what is held, ticks x lots; the sign of the net
    *_wide("realized"),  # ticks x lots
    _big("updated_seq"),
    _big("updated_ns"),
    Index("positions_of_client", "client", "instrument"),
)

assets: Final = Table(
    "assets",
    metadata,
    _key("asset"),
    _text("name"),
    _small("scale"),  # an amount is in units of 10**-scale
)

# Two entries of a transfer, so they balance: `amount` less in `source`, and more in `target`. A row
# has one or two transfers of a client, as a trade makes them of what it pays and what it gets. The
# view `ledger_entries` has each entry by itself.
ledger_transfers: Final = Table(
    "ledger_transfers",
    metadata,
    _key("seq"),
    _key("entry"),  # place of the source's entry among those of its command; the target's is next
    _big("client"),  # whose the accounts are that are not the house's; -1: both are
    _big("asset"),
    _small("source"),  # Account
    _small("target"),
    *_wide("amount"),  # units of the asset; under 0: it goes the other way
    _big("other_asset"),  # of the second transfer, whose entries are two places on
    _small("other_source"),  # 0: there is none
    _small("other_target"),
    *_wide("other_amount"),
    _small("kind"),
    _big("reference"),  # seq of the trade, number of the cycle, or seq of the command
    _big("reference_index"),  # of a trade: its index
    _big("timestamp_ns"),
    _by_block("ledger_transfers_of_client", "seq", "client", "seq", "entry"),
    **_ORDERED,
)

settlement_cycles: Final = Table(
    "settlement_cycles",
    metadata,
    _key("cycle"),
    # Its trades are those behind the event that closed the cycle before, up to the one that closes
    # it: by seq, and by place among the events of one command.
    _big("opened_seq"),
    _big("opened_position"),
    _big("closed_seq"),
    _big("closed_position"),
    _big("opened_ns"),
    _big("closed_ns"),
    _small("state"),  # SettlementState
    _big("obligations"),  # how many
    _big("moved_seq"),  # command that its state came with
)

settlement_totals: Final = Table(
    "settlement_totals",
    metadata,
    _key("cycle"),
    _key("instrument"),
    _big("trades"),  # how many
    *_wide("lots"),
    *_wide("turnover"),  # ticks x lots
    *_wide("fees"),  # units of the quote asset
    _big("busts"),
    *_wide("bust_lots"),
    *_wide("bust_turnover"),
    **_ORDERED,
)

settlement_obligations: Final = Table(
    "settlement_obligations",
    metadata,
    _key("cycle"),
    _key("client"),
    _key("asset"),
    *_wide("amount"),  # units of the asset; over 0: the client receives
    _big("due_ns"),
    _small("state"),
    _big("updated_seq"),
    **_ORDERED,
)

TABLES: Final = tuple(metadata.sorted_tables)
"""Every table of the ledger."""

FORMER_TABLES: Final = ("ledger_entries",)
"""Tables of earlier forms that are none now."""
