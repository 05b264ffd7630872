"""The ledger's first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _key(name: str) -> sa.Column[int]:
    return sa.Column(name, BIG, autoincrement=False, nullable=False)


def _big(name: str) -> sa.Column[int]:
    return sa.Column(name, BIG, nullable=False)


def _small(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.SmallInteger(), nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def upgrade() -> None:
    """Make them."""
    _assets()
    _clients()
    _instruments()
    _ledger_entries()
    _ledger_state()
    _order_events()
    _order_names()
    _order_terms()
    _orderbook_levels()
    _orderbook_snapshots()
    _orders()
    _positions()
    _settlement_cycles()
    _settlement_obligations()
    _trade_minutes()
    _trades()


def downgrade() -> None:
    """Drop them."""
    for name in TABLES:
        op.drop_table(name)


TABLES = (
    "assets",
    "clients",
    "instruments",
    "ledger_entries",
    "ledger_state",
    "order_events",
    "order_names",
    "order_terms",
    "orderbook_levels",
    "orderbook_snapshots",
    "orders",
    "positions",
    "settlement_cycles",
    "settlement_obligations",
    "trade_minutes",
    "trades",
)


def _assets() -> None:
    op.create_table(
        "assets", _key("asset"), _text("name"), _small("scale"), sa.PrimaryKeyConstraint("asset")
    )


def _clients() -> None:
    op.create_table(
        "clients",
        _key("client"),
        _text("client_id"),
        _big("first_seq"),
        _big("first_ns"),
        sa.PrimaryKeyConstraint("client"),
    )
    op.create_index("clients_by_id", "clients", ["client_id"], unique=True)


def _instruments() -> None:
    op.create_table(
        "instruments",
        _key("instrument"),
        _text("name"),
        _text("base"),
        _text("quote"),
        _big("tick_coefficient"),
        _small("tick_exponent"),
        _big("lot_coefficient"),
        _small("lot_exponent"),
        _big("quote_units"),
        _small("quote_scale"),
        _big("created_seq"),
        _big("created_ns"),
        sa.PrimaryKeyConstraint("instrument"),
    )


def _ledger_entries() -> None:
    op.create_table(
        "ledger_entries",
        _key("seq"),
        _key("entry"),
        _big("asset"),
        _small("account"),
        _big("client"),
        _big("amount_high"),
        _big("amount_low"),
        _small("kind"),
        _big("reference"),
        _big("reference_index"),
        _big("timestamp_ns"),
        sa.PrimaryKeyConstraint("seq", "entry"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ledger_entries_of_client", "ledger_entries", ["client", "asset", "seq"], unique=False
    )


def _ledger_state() -> None:
    op.create_table(
        "ledger_state",
        _key("partition"),
        _big("seq"),
        _big("timestamp_ns"),
        sa.Column("events_hash", sa.LargeBinary(), nullable=False),
        _big("book_snapshot_seq"),
        sa.PrimaryKeyConstraint("partition"),
    )


def _order_events() -> None:
    op.create_table(
        "order_events",
        _key("seq"),
        _key("position"),
        _small("kind"),
        _small("reason"),
        _small("side"),
        _small("order_type"),
        _small("time_in_force"),
        _small("flags"),
        _big("instrument"),
        _big("event_index"),
        _big("order_number"),
        _big("client"),
        _big("other_client"),
        _big("price_ticks"),
        _big("quantity_lots"),
        _big("remaining_lots"),
        _big("timestamp_ns"),
        sa.PrimaryKeyConstraint("seq", "position"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "order_events_of_order",
        "order_events",
        ["order_number"],
        unique=False,
        sqlite_where=sa.text("order_number <> seq"),
        postgresql_where=sa.text("order_number <> seq"),
    )


def _order_names() -> None:
    op.create_table(
        "order_names",
        _key("order_number"),
        _big("name_hash"),
        _text("order_id"),
        sa.PrimaryKeyConstraint("order_number"),
    )
    op.create_index("order_names_by_hash", "order_names", ["name_hash"], unique=False)


def _order_terms() -> None:
    op.create_table(
        "order_terms",
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
        sa.PrimaryKeyConstraint("order_number"),
    )


def _orderbook_levels() -> None:
    op.create_table(
        "orderbook_levels",
        _key("seq"),
        _key("instrument"),
        _key("side"),
        _key("level"),
        _big("price_ticks"),
        _big("quantity_lots"),
        _big("orders"),
        sa.PrimaryKeyConstraint("seq", "instrument", "side", "level"),
        sqlite_with_rowid=False,
    )


def _orderbook_snapshots() -> None:
    op.create_table(
        "orderbook_snapshots",
        _key("seq"),
        _key("instrument"),
        _big("timestamp_ns"),
        _small("on_demand"),
        sa.PrimaryKeyConstraint("seq", "instrument"),
        sqlite_with_rowid=False,
    )


def _orders() -> None:
    op.create_table(
        "orders",
        _key("order_number"),
        _big("client"),
        _big("instrument"),
        _small("side"),
        _small("order_type"),
        _small("time_in_force"),
        _small("flags"),
        _big("price_ticks"),
        _big("quantity_lots"),
        _big("filled_lots"),
        _big("notional_high"),
        _big("notional_low"),
        _big("quote_high"),
        _big("quote_low"),
        _small("ended"),
        _small("reason"),
        _big("created_ns"),
        _big("updated_ns"),
        _big("updated_seq"),
        sa.PrimaryKeyConstraint("order_number"),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index("orders_of_client", "orders", ["client", "order_number"], unique=False)
    op.create_index("orders_of_instrument", "orders", ["instrument", "order_number"], unique=False)


def _positions() -> None:
    op.create_table(
        "positions",
        _key("position"),
        _big("client"),
        _big("instrument"),
        _big("net_high"),
        _big("net_low"),
        _big("cost_high"),
        _big("cost_low"),
        _big("realized_high"),
        _big("realized_low"),
        _big("updated_seq"),
        _big("updated_ns"),
        sa.PrimaryKeyConstraint("position"),
    )
    op.create_index("positions_of_client", "positions", ["client", "instrument"], unique=False)


def _settlement_cycles() -> None:
    op.create_table(
        "settlement_cycles",
        _key("cycle"),
        _big("first_seq"),
        _big("last_seq"),
        _big("opened_ns"),
        _big("closed_ns"),
        _small("state"),
        sa.PrimaryKeyConstraint("cycle"),
    )


def _settlement_obligations() -> None:
    op.create_table(
        "settlement_obligations",
        _key("cycle"),
        _key("client"),
        _key("asset"),
        _big("amount_high"),
        _big("amount_low"),
        _big("due_ns"),
        _small("state"),
        _big("updated_seq"),
        sa.PrimaryKeyConstraint("cycle", "client", "asset"),
        sqlite_with_rowid=False,
    )


def _trade_minutes() -> None:
    op.create_table(
        "trade_minutes",
        _key("instrument"),
        _key("minute"),
        _big("trade_count"),
        _big("volume_high"),
        _big("volume_low"),
        _big("notional_high"),
        _big("notional_low"),
        _big("price_sum_high"),
        _big("price_sum_low"),
        _big("open_ticks"),
        _big("high_ticks"),
        _big("low_ticks"),
        _big("close_ticks"),
        _big("first_seq"),
        _big("last_seq"),
        sa.PrimaryKeyConstraint("instrument", "minute"),
        sqlite_with_rowid=False,
    )


def _trades() -> None:
    op.create_table(
        "trades",
        _key("instrument"),
        _key("seq"),
        _key("trade_index"),
        _big("position"),
        _big("price_ticks"),
        _big("quantity_lots"),
        _small("taker_side"),
        _small("auction"),
        _big("maker_order"),
        _big("taker_order"),
        _big("maker_client"),
        _big("taker_client"),
        _big("maker_remaining_lots"),
        _big("timestamp_ns"),
        sa.PrimaryKeyConstraint("instrument", "seq", "trade_index"),
        sqlite_with_rowid=False,
    )
    op.create_index("trades_of_maker", "trades", ["maker_order"], unique=False)
    op.create_index(
        "trades_of_taker",
        "trades",
        ["taker_order"],
        unique=False,
        sqlite_where=sa.text("taker_order <> seq"),
        postgresql_where=sa.text("taker_order <> seq"),
    )
