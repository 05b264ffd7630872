"""A cycle ends at an event: those of its command before it are of the cycle, those behind are not.

The tables of settlement were empty until now. A cycle's totals come beside it, and a client's
entries are found by when they came.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TOTALS = (
    "trades",
    "lots_high",
    "lots_low",
    "turnover_high",
    "turnover_low",
    "fees_high",
    "fees_low",
    "busts",
    "bust_lots_high",
    "bust_lots_low",
    "bust_turnover_high",
    "bust_turnover_low",
)


def _make(*names: str) -> None:
    op.drop_table("settlement_cycles")
    op.create_table(
        "settlement_cycles",
        sa.Column("cycle", BIG, autoincrement=False, nullable=False),
        *(
            sa.Column(name, sa.SmallInteger() if name == "state" else BIG, nullable=False)
            for name in names
        ),
        sa.PrimaryKeyConstraint("cycle"),
    )


def upgrade() -> None:
    """Make the table anew."""
    _make(
        "opened_seq",
        "opened_position",
        "closed_seq",
        "closed_position",
        "opened_ns",
        "closed_ns",
        "state",
        "obligations",
        "moved_seq",
    )
    op.create_table(
        "settlement_totals",
        *(
            sa.Column(name, BIG, autoincrement=False, nullable=False)
            for name in ("cycle", "instrument")
        ),
        *(sa.Column(name, BIG, nullable=False) for name in TOTALS),
        sa.PrimaryKeyConstraint("cycle", "instrument"),
        sqlite_with_rowid=False,
    )
    op.drop_index("ledger_entries_of_client", "ledger_entries")
    of_clients = sa.text("client >= 0")
    op.create_index(
        "ledger_entries_of_client",
        "ledger_entries",
        ["client", "seq", "entry"],
        unique=False,
        sqlite_where=of_clients,
        postgresql_where=of_clients,
    )


def downgrade() -> None:
    """Make it as it was."""
    op.drop_index("ledger_entries_of_client", "ledger_entries")
    columns = ["client", "asset", "seq"]
    op.create_index("ledger_entries_of_client", "ledger_entries", columns, unique=False)
    op.drop_table("settlement_totals")
    _make("first_seq", "last_seq", "opened_ns", "closed_ns", "state")
