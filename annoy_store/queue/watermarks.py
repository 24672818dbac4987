"""Watermarks: the trigger rows that each stage has examined, and the rows known to be committed.

Decisions
- The scope of a watermark is the stage's version, the values of its `rescan_on` and its task: when
  these change, old rows are examined again.
- A watermark never passes a row that may still be committed. PostgreSQL assigns ids before the
  commit, so the highest id of a table counts once every transaction has ended that was writing to
  it when that id was seen (`commit_horizons`).
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import (
    Connection,
    Table,
    and_,
    func,
    select,
    update,
)

from annoy_store.config import Policy
from annoy_store.db.sql import (
    open_writers,
    upsert,
)
from annoy_store.db.tables import commit_horizons, watermarks
from annoy_store.hashing import digest
from annoy_store.interfaces import Stage


def _scope(stage: Stage, policy: Policy) -> str:
    values = {key: getattr(policy, key) for key in stage.rescan_on}
    return digest("scope", stage.version, values, *filter(None, [stage.task]))


def read_watermark(connection: Connection, stage: Stage, policy: Policy) -> int:
    """Return the id up to which a stage has scanned its subjects; 0 for none."""
    chosen = select(watermarks.c.upto).where(
        watermarks.c.stage == stage.name, watermarks.c.scope == _scope(stage, policy)
    )
    return int(connection.scalar(chosen) or 0)


def move_watermark(
    connection: Connection, stage: Stage, policy: Policy, mark: int, upto: int
) -> None:
    """Raise the watermark of a stage from `mark` to `upto`, unless another worker did."""
    if upto <= mark:
        return
    row = {"stage": stage.name, "scope": _scope(stage, policy), "upto": upto}
    if not mark:
        upsert(connection, watermarks, row)
        return
    same = and_(*(watermarks.c[key] == row[key] for key in ("stage", "scope")))
    unmoved = and_(same, watermarks.c.upto == mark)
    connection.execute(update(watermarks).where(unmoved).values(upto=upto))


def rewind_watermark(
    connection: Connection, stages: Iterable[Stage], table: Table, first: int
) -> None:
    """Let the stages triggered by a table examine its rows again.

    Args:
        connection: a write transaction.
        stages: the stages.
        table: the table whose rows are to be examined again.
        first: the id of the first of them.
    """
    triggered = [stage.name for stage in stages if stage.trigger.table is table]
    passed = and_(watermarks.c.stage.in_(triggered), watermarks.c.upto >= first)
    connection.execute(update(watermarks).where(passed).values(upto=first - 1))


def advance_commit_horizon(connection: Connection, table: Table) -> int:
    """Determine, and store, up to which id every row of a table is committed."""
    known = connection.execute(
        select(commit_horizons).where(commit_horizons.c.table_name == table.name)
    ).first()
    upto, seen, waited = (known.upto, known.seen, known.writers) if known else (0, 0, "")
    newest = int(connection.scalar(select(func.max(table.c.id))) or 0)
    writers = open_writers(connection, table)  # after `newest`: a writer of a lower id is seen here
    if not writers & set(waited.split()):
        upto, seen, waited = seen, newest, " ".join(sorted(writers))
    if not writers:
        upto = newest
    row = {"table_name": table.name, "upto": upto, "seen": seen, "writers": waited}
    if known is None or tuple(row.values()) != tuple(known):
        upsert(connection, commit_horizons, row)
    return int(upto)
