"""The two entries of a transfer are one row; `ledger_entries` is a view of them from now on.

Half the rows, and each balances by its form.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SMALL = ("account", "source", "target", "kind")

PAIRED = """INSERT INTO ledger_transfers
 SELECT s.seq, s.entry, CASE s.client WHEN -1 THEN t.client ELSE s.client END, s.asset,
 s.account, t.account, t.amount_high, t.amount_low, s.kind, s.reference, s.reference_index,
 s.timestamp_ns FROM ledger_entries s JOIN ledger_entries t
 ON t.seq = s.seq AND t.entry = s.entry + 1 WHERE s.entry % 2 = 0 ORDER BY s.seq, s.entry"""
APART = """INSERT INTO ledger_entries
 SELECT seq, entry, asset, source, CASE WHEN source <= 3 THEN -1 ELSE client END,
 CASE amount_low WHEN 0 THEN -amount_high ELSE -amount_high - 1 END,
 CASE amount_low WHEN 0 THEN 0 ELSE 1000000000000000000 - amount_low END,
 kind, reference, reference_index, timestamp_ns FROM ledger_transfers
 UNION ALL SELECT seq, entry + 1, asset, target, CASE WHEN target <= 3 THEN -1 ELSE client END,
 amount_high, amount_low, kind, reference, reference_index, timestamp_ns FROM ledger_transfers"""


def _make(name: str, *columns: str) -> None:
    op.create_table(
        name,
        *(sa.Column(key, BIG, autoincrement=False, nullable=False) for key in ("seq", "entry")),
        *(
            sa.Column(column, sa.SmallInteger() if column in SMALL else BIG, nullable=False)
            for column in columns
        ),
        sa.PrimaryKeyConstraint("seq", "entry"),
        sqlite_with_rowid=False,
    )


def upgrade() -> None:
    """Put the pairs together."""
    _make(
        "ledger_transfers",
        "client",
        "asset",
        "source",
        "target",
        "amount_high",
        "amount_low",
        "kind",
        "reference",
        "reference_index",
        "timestamp_ns",
    )
    op.execute(PAIRED)
    op.drop_index("ledger_entries_of_client", "ledger_entries")
    op.drop_table("ledger_entries")
    columns = ["client", "seq", "entry"]
    op.create_index("ledger_transfers_of_client", "ledger_transfers", columns, unique=False)


def downgrade() -> None:
    """Take them apart."""
    _make(
        "ledger_entries",
        "asset",
        "account",
        "client",
        "amount_high",
        "amount_low",
        "kind",
        "reference",
        "reference_index",
        "timestamp_ns",
    )
    op.execute(APART)
    op.drop_index("ledger_transfers_of_client", "ledger_transfers")
    op.drop_table("ledger_transfers")
    of_clients = sa.text("client >= 0")
    op.create_index(
        "ledger_entries_of_client",
        "ledger_entries",
        ["client", "seq", "entry"],
        unique=False,
        sqlite_where=of_clients,
        postgresql_where=of_clients,
    )
