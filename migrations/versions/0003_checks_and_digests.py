"""What stands in a question of a pair, texts kept of attempts, digests of rules and answers.

Decisions
- Digests of answers and attempts are not computed here, because a store may hold millions of them:
  `annoy init` fills them in page by page (maintenance/digests.py). Until then they are null.
- `pair_checks.shown` of older rows stays null, and such pairs are not asked about, until
  `annoy init` has filled it page by page, too: reading all code may take long.
- The digests that a purge kept as rules of their own move to `purged_digests`.
"""

from __future__ import annotations

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NOT_COMPARED = "ix_pair_checks_not_compared"
SHOWN = "shown IN ('call', 'input', 'no')"
NEW_TEXTS = (
    ("attempts", "text"),
    ("attempts", "reasoning"),
    ("teachers", "omitted"),
    ("workers", "notice"),
)
DIGESTED = ("responses", "attempts")
PURGED_RULE = "why = 'purged' AND purged_at IS NOT NULL AND kind IN ('source', 'sample')"


def upgrade() -> None:
    """Add each part in a function of its own."""
    _add_shown()
    _add_texts()
    _add_takedown_digests()
    _add_row_digests()
    _add_unfinished_copies()
    _add_comparisons()


def downgrade() -> None:
    """Take each part back, the last one first; purged digests become rules again."""
    op.drop_table("benchmark_comparisons")
    op.drop_table("unfinished_copies")
    _drop_row_digests()
    _drop_takedown_digests()
    _drop_texts()
    _drop_shown()


# Pairs ---------------------------------------------------------------------------------------


def _add_shown() -> None:
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


# Texts ---------------------------------------------------------------------------------------


def _add_texts() -> None:
    """Texts of attempts without a response, refused parameters, and why a worker waits."""
    for table, column in NEW_TEXTS:
        op.add_column(table, sa.Column(column, sa.Text(), nullable=True))


def _drop_texts() -> None:
    for table, column in reversed(NEW_TEXTS):
        op.drop_column(table, column)


# Takedowns -----------------------------------------------------------------------------------


def _add_takedown_digests() -> None:
    op.create_table(
        "purged_digests",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("purged_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "digest", name=op.f("pk_purged_digests")),
        comment="digests of purged sources and samples, and of their texts: refused for ever",
    )
    op.execute(
        "INSERT INTO purged_digests (kind, digest, purged_at) SELECT kind, value, MIN(purged_at) "
        "FROM takedowns WHERE purged_at IS NOT NULL AND kind IN ('source', 'sample') "
        "GROUP BY kind, value"
    )
    op.execute(f"DELETE FROM takedowns WHERE {PURGED_RULE}")
    op.add_column("takedowns", sa.Column("digest", sa.Text(), nullable=True))
    connection = op.get_bind()
    chosen = "SELECT id, kind, value, why, created_at FROM takedowns"
    for row in connection.execute(sa.text(chosen)).all():
        named = hashlib.sha256(json.dumps(["takedown", *row]).encode()).hexdigest()[:32]
        connection.execute(
            sa.text("UPDATE takedowns SET digest = :digest WHERE id = :id"),
            {"digest": named, "id": row[0]},
        )
    with op.batch_alter_table("takedowns") as batch:
        batch.alter_column("digest", existing_type=sa.Text(), nullable=False)
        batch.create_unique_constraint(op.f("uq_takedowns_digest"), ["digest"])


def _drop_takedown_digests() -> None:
    with op.batch_alter_table("takedowns") as batch:
        batch.drop_constraint(op.f("uq_takedowns_digest"), type_="unique")
        batch.drop_column("digest")
    op.execute(
        "INSERT INTO takedowns (kind, value, why, created_at, purged_at) "
        "SELECT p.kind, p.digest, 'purged', p.purged_at, p.purged_at FROM purged_digests p "
        "WHERE p.kind IN ('source', 'sample') AND NOT EXISTS (SELECT 1 FROM takedowns t "
        "WHERE t.kind = p.kind AND t.value = p.digest AND t.purged_at IS NOT NULL)"
    )
    op.drop_table("purged_digests")


# Answers and attempts ------------------------------------------------------------------------


def _add_row_digests() -> None:
    undigested = sa.text("digest IS NULL")
    for table in DIGESTED:
        op.add_column(table, sa.Column("digest", sa.Text(), nullable=True))
        op.create_index(
            f"ix_{table}_undigested",
            table,
            ["id"],
            sqlite_where=undigested,
            postgresql_where=undigested,
        )


def _drop_row_digests() -> None:
    for table in DIGESTED:
        op.drop_index(f"ix_{table}_undigested", table_name=table)
        op.execute(f"ALTER TABLE {table} DROP COLUMN digest")


# Copies --------------------------------------------------------------------------------------


def _add_unfinished_copies() -> None:
    op.create_table(
        "unfinished_copies",
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("origin", name=op.f("pk_unfinished_copies")),
        comment="the store that is being copied into this one; empty when the copy is whole",
    )


# Benchmarks ----------------------------------------------------------------------------------


def _add_comparisons() -> None:
    """What was compared before is not known, so that it has to be compared again."""
    op.create_table(
        "benchmark_comparisons",
        sa.Column("benchmark", sa.Text(), nullable=False),
        sa.Column("n_items", sa.BigInteger(), nullable=False),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("sample_id", sa.BigInteger(), nullable=False),
        sa.Column("io_pair_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("benchmark", name=op.f("pk_benchmark_comparisons")),
        comment="up to which source, sample and pair a benchmark was compared, when it last was",
    )
