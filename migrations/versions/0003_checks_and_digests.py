"""What stands in a question of a pair, and digests of answers and attempts.

Decision: `pair_checks.shown` of older rows stays null, and such pairs are not asked about, until
`annoy init` has filled it page by page after the migration: reading all code may take long.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NOT_COMPARED = "ix_pair_checks_not_compared"
SHOWN = "shown IN ('call', 'input', 'no')"


def upgrade() -> None:
    """Add what stands in the question to the checks of pairs."""
    with op.batch_alter_table("pair_checks") as table:
        table.add_column(sa.Column("shown", sa.Text, nullable=True))
        table.create_check_constraint(op.f("ck_pair_checks_shown"), SHOWN)
    op.create_index(
        NOT_COMPARED,
        "pair_checks",
        ["id"],
        sqlite_where=sa.text("shown IS NULL"),
        postgresql_where=sa.text("shown IS NULL"),
    )


def downgrade() -> None:
    """Remove it again."""
    op.drop_index(NOT_COMPARED, "pair_checks")
    with op.batch_alter_table("pair_checks") as table:
        table.drop_constraint(op.f("ck_pair_checks_shown"), type_="check")
        table.drop_column("shown")
