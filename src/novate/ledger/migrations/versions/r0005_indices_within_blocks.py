"""Indices of clients and names stand within blocks of sequences, and two transfers in a row.

A transaction writes the pages of the last block alone, and half the rows of transfers. What is
there is kept.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SMALL = ("source", "target", "other_source", "other_target", "kind")

TRANSFER = ("asset", "source", "target", "amount_high", "amount_low")
SHARED = ("client", "kind", "reference", "reference_index")
BLOCK = 32768

# Runs of transfers that could stand together, counted from their first; every odd one begins a row.
TOGETHER = f"""INSERT INTO ledger_transfers SELECT seq, entry, client, {", ".join(TRANSFER)},
 {", ".join(f"coalesce(other_{name}, 0)" for name in TRANSFER)}, kind, reference,
 reference_index, timestamp_ns FROM (
 SELECT runs.*, row_number() OVER run AS place,
 {", ".join(f"lead({name}) OVER run AS other_{name}" for name in TRANSFER)} FROM (
 SELECT marked.*, sum(fresh) OVER (ORDER BY seq, entry) AS number FROM (
 SELECT former_transfers.*, CASE WHEN lag(seq) OVER sorted = seq
 {" ".join(f"AND lag({name}) OVER sorted = {name}" for name in SHARED)}
 THEN 0 ELSE 1 END AS fresh FROM former_transfers WINDOW sorted AS (ORDER BY seq, entry)
 ) marked ) runs WINDOW run AS (PARTITION BY number ORDER BY entry)
 ) placed WHERE place % 2 = 1 ORDER BY seq, entry"""
APART = f"""INSERT INTO ledger_transfers
 SELECT seq, entry, client, {", ".join(TRANSFER)}, kind, reference, reference_index, timestamp_ns
 FROM former_transfers
 UNION ALL SELECT seq, entry + 2, client, {", ".join(f"other_{name}" for name in TRANSFER)},
 kind, reference, reference_index, timestamp_ns FROM former_transfers WHERE other_source <> 0"""


def _make(*transfer: str) -> None:
    """Make the table of transfers anew; what it had is then in `former_transfers`."""
    op.execute("CREATE TABLE former_transfers AS SELECT * FROM ledger_transfers")
    op.drop_index("ledger_transfers_of_client", "ledger_transfers")
    op.drop_table("ledger_transfers")
    columns = ("client", *transfer, "kind", "reference", "reference_index", "timestamp_ns")
    op.create_table(
        "ledger_transfers",
        *(sa.Column(key, BIG, autoincrement=False, nullable=False) for key in ("seq", "entry")),
        *(
            sa.Column(column, sa.SmallInteger() if column in SMALL else BIG, nullable=False)
            for column in columns
        ),
        sa.PrimaryKeyConstraint("seq", "entry"),
        sqlite_with_rowid=False,
    )


def _fill(statement: str) -> None:
    op.execute(statement)
    op.drop_table("former_transfers")


def _index(name: str, table: str, *columns: str) -> None:
    op.create_index(name, table, [sa.text(each) for each in columns], unique=False)


def upgrade() -> None:
    """Put transfers together, and make the indices anew."""
    _make(*TRANSFER, *(f"other_{name}" for name in TRANSFER))
    _fill(TOGETHER)
    op.drop_index("orders_of_client", "orders")
    op.drop_index("order_names_by_hash", "order_names")
    order = f"(order_number / {BLOCK})"
    _index("orders_of_client", "orders", order, "client", "order_number")
    _index("order_names_by_hash", "order_names", order, "name_hash")
    columns = (f"(seq / {BLOCK})", "client", "seq", "entry")
    _index("ledger_transfers_of_client", "ledger_transfers", *columns)


def downgrade() -> None:
    """Take them apart."""
    _make(*TRANSFER)
    _fill(APART)
    op.drop_index("orders_of_client", "orders")
    op.drop_index("order_names_by_hash", "order_names")
    _index("orders_of_client", "orders", "client", "order_number")
    _index("order_names_by_hash", "order_names", "name_hash")
    _index("ledger_transfers_of_client", "ledger_transfers", "client", "seq", "entry")
