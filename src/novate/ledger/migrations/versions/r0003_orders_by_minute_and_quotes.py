"""Messages about orders by minute, and best prices by second.

The first are counted from the events that are there. Best prices of the past are not in the
ledger: they begin with this revision, and a rebuild gives those before. Stored books are found by
instrument and time.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

COUNTS = {
    "orders": "kind = 1",
    "rejected": "kind = 2",
    "amendments": "kind = 5 AND reason = 0",
    "cancels": "kind = 4 AND reason IN (1, 6)",
}
"""Numbers of event kinds and reasons, which never change."""


def _make(name: str, keys: tuple[str, ...], rest: tuple[str, ...]) -> None:
    op.create_table(
        name,
        *(sa.Column(key, BIG, autoincrement=False, nullable=False) for key in keys),
        *(sa.Column(each, BIG, nullable=False) for each in rest),
        sa.PrimaryKeyConstraint(*keys),
        sqlite_with_rowid=False,
    )


def upgrade() -> None:
    """Make the tables, and fill the first."""
    _make("order_minutes", ("instrument", "minute"), tuple(COUNTS))
    _make("quotes", ("instrument", "second"), ("bid_ticks", "ask_ticks"))
    counts = ", ".join(f"SUM(CASE WHEN {each} THEN 1 ELSE 0 END)" for each in COUNTS.values())
    counted = " OR ".join(f"({each})" for each in COUNTS.values())
    op.execute(
        f"INSERT INTO order_minutes SELECT instrument, timestamp_ns / 60000000000, {counts}"
        f" FROM order_events WHERE {counted} GROUP BY 1, 2"
    )
    op.create_index(
        "orderbook_snapshots_of_instrument",
        "orderbook_snapshots",
        ["instrument", "timestamp_ns"],
        unique=False,
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("orderbook_snapshots_of_instrument", "orderbook_snapshots")
    op.drop_table("quotes")
    op.drop_table("order_minutes")
