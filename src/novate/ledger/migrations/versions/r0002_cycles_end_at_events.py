"""A cycle ends at an event: those of its command before it are of the cycle, those behind are not.

The tables of settlement were empty until now.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


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


def downgrade() -> None:
    """Make it as it was."""
    _make("first_seq", "last_seq", "opened_ns", "closed_ns", "state")
