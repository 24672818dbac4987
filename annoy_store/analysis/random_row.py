"""One row by chance, of a sort that is worth reading.

Decision: chance picks an id, and the first row of the sort from there on is taken (from the
beginning, if there is none): one look along a key, in a store of any size. Rows after a gap are
picked more often, which does no harm to a reader.
"""

from __future__ import annotations

from random import Random
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, FromClause, func, literal_column, select

from annoy_store.analysis.lineage_edges import ALIASES, STAGES_OF, TABLES
from annoy_store.db.states import FAILED_STATES
from annoy_store.db.tables import STATUSES, jobs, verdicts
from annoy_store.errors import UsageError

ENDED_BADLY = jobs.c.state.in_([literal_column("'rejected'"), literal_column("'failed'")])
KIND_OF = {stage: kind for kind, stages in STAGES_OF.items() for stage in stages}


def pick(connection: Connection, wanted: str | None, dice: Random) -> str:
    """Return `kind:id` of a row: of a kind (`sample`), with a verdict (`wrong`) or mismatch
    (`off_by_one`), or turned down for a reason (`syntax_error`, `rejected`). None is any verdict.

    Raises UsageError when there is no such row.
    """
    kind = ALIASES.get(wanted or "", wanted or "verdict")
    if kind in TABLES:
        key = _near(connection, TABLES[kind].c.id, TABLES[kind], [], dice)
        found = f"{kind}:{key}" if key is not None else None
    elif kind in STATUSES:
        found = _judged(connection, verdicts.c.status == kind, dice)
    else:
        found = _turned_down(connection, kind, dice) or _judged(
            connection, verdicts.c.mismatch == kind, dice
        )
    if found is None:
        raise UsageError(f"there is no row for {kind!r}; look for what there is with: annoy sql")
    return found


def _near(
    connection: Connection,
    key: Column[Any],
    of: FromClause,
    where: list[ColumnElement[bool]],
    dice: Random,
) -> int | None:
    """An id from a random place on, else from the beginning."""
    chosen = select(key).select_from(of).where(*where).order_by(key).limit(1)
    start = dice.randint(0, int(connection.scalar(select(func.max(key))) or 0))
    found = connection.scalar(chosen.where(key >= start))
    return found if found is not None else connection.scalar(chosen)


def _judged(connection: Connection, where: ColumnElement[bool], dice: Random) -> str | None:
    key = _near(connection, verdicts.c.id, verdicts, [where], dice)
    return None if key is None else f"verdict:{key}"


def _turned_down(connection: Connection, reason: str, dice: Random) -> str | None:
    """A subject whose job was rejected or failed, by the reason or the state."""
    is_state = reason in FAILED_STATES
    ended = ENDED_BADLY & ((jobs.c.state if is_state else jobs.c.reason) == reason)
    stages = connection.scalars(select(jobs.c.stage).where(ended).distinct()).all()
    if not stages:
        return None
    stage = dice.choice(sorted(stages))
    key = _near(connection, jobs.c.subject_id, jobs, [ended, jobs.c.stage == stage], dice)
    return f"{KIND_OF[stage]}:{key}"
