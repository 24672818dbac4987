"""Marks of readers: flags, tags and notes on rows, as rows that are only added."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COMMENT = (
    "a reader set or removed a mark of a row, which is named by content (db/annotation_views.py)"
)


def upgrade() -> None:
    """Add the table; no row of an older store is marked."""
    op.create_table(
        "annotation_log",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("mark", sa.Text(), nullable=False),
        sa.Column("is_set", sa.SmallInteger(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.CheckConstraint("mark IN ('flag', 'tag', 'note')", name=op.f("ck_annotation_log_mark")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotation_log")),
        sa.UniqueConstraint("digest", name=op.f("uq_annotation_log_digest")),
        comment=COMMENT,
    )
    op.create_index("ix_annotation_log_subject", "annotation_log", ["root", "subject"])


def downgrade() -> None:
    """Drop the table with all marks."""
    op.drop_table("annotation_log")
