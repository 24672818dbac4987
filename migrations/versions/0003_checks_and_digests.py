"""What stands in a question of a pair, digests of answers and attempts, texts kept of attempts.

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
NEW_TEXTS = (("attempts", "text"), ("attempts", "reasoning"), ("teachers", "omitted"))


def upgrade() -> None:
    """Add each part in a function of its own."""
    _add_shown()
    _add_texts()


def downgrade() -> None:
    """Take each part back, the last one first."""
    _drop_texts()
    _drop_shown()


def _add_shown() -> None:
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


def _drop_shown() -> None:
    op.drop_index(NOT_COMPARED, "pair_checks")
    with op.batch_alter_table("pair_checks") as table:
        table.drop_constraint(op.f("ck_pair_checks_shown"), type_="check")
        table.drop_column("shown")


def _add_texts() -> None:
    """Texts that were paid for and became no response; parameters that an endpoint refuses."""
    for table, column in NEW_TEXTS:
        op.add_column(table, sa.Column(column, sa.Text(), nullable=True))


def _drop_texts() -> None:
    for table, column in reversed(NEW_TEXTS):
        op.drop_column(table, column)
