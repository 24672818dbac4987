"""A random row of a given kind, status, mismatch or reason.

Decision: an id is drawn at random and the first matching row from there on is taken (from the
beginning, if there is none): one index lookup in a store of any size. Rows after a gap in the ids
are drawn more often, which does not matter for reading.
"""

from __future__ import annotations

from random import Random
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, FromClause, func, literal_column, select

from annoy_store.analysis.lineage_edges import ALIASES, SUBJECT_KINDS, TABLES
from annoy_store.db.states import FAILED_STATES
from annoy_store.db.tables import STATUSES, jobs, verdicts
from annoy_store.errors import UsageError, unknown_name

IS_FAILED = jobs.c.state.in_([literal_column("'rejected'"), literal_column("'failed'")])


def random_row(connection: Connection, selector: str | None, rng: Random) -> str:
    """Return a random row as `kind:id`.

    Args:
        connection: A connection to the store.
        selector: A kind (`sample`), a status of a verdict (`wrong`), a mismatch (`off_by_one`), or
            a reason or state of a failed job (`syntax_error`, `rejected`); None is any verdict.
        rng: Source of randomness.

    Raises:
        UsageError: There is no such row.
    """
    kind = ALIASES.get(selector or "", selector or "verdict")
    if kind in TABLES:
        key = _random_id(connection, TABLES[kind].c.id, TABLES[kind], [], rng)
        found = f"{kind}:{key}" if key is not None else None
    elif kind in STATUSES:
        found = _random_verdict(connection, verdicts.c.status == kind, rng)
    else:
        found = _random_failed_subject(connection, kind, rng) or _random_verdict(
            connection, verdicts.c.mismatch == kind, rng
        )
    if found is None:
        raise UsageError(_unmatched(connection, kind))
    return found


def _unmatched(connection: Connection, selector: str) -> str:
    """Return the message about a selector that no row matches."""
    words = {*TABLES, *STATUSES, *FAILED_STATES}
    if selector in words:
        return f"no row matches {selector!r}"
    words |= set(connection.scalars(select(jobs.c.reason).where(IS_FAILED).distinct()))
    words |= set(connection.scalars(select(verdicts.c.mismatch).distinct()))
    known = sorted(word for word in words if word)
    return unknown_name("kind, status or reason", selector, known, see="annoy failures")


def _random_id(
    connection: Connection,
    key: Column[Any],
    of: FromClause,
    where: list[ColumnElement[bool]],
    rng: Random,
) -> int | None:
    """Return the first matching id from a random place on, else from the beginning."""
    chosen = select(key).select_from(of).where(*where).order_by(key).limit(1)
    start = rng.randint(0, int(connection.scalar(select(func.max(key))) or 0))
    found = connection.scalar(chosen.where(key >= start))
    return found if found is not None else connection.scalar(chosen)


def _random_verdict(connection: Connection, where: ColumnElement[bool], rng: Random) -> str | None:
    key = _random_id(connection, verdicts.c.id, verdicts, [where], rng)
    return None if key is None else f"verdict:{key}"


def _random_failed_subject(connection: Connection, reason: str, rng: Random) -> str | None:
    """Return a subject whose job was rejected or failed, by the reason or the state."""
    is_state = reason in FAILED_STATES
    ended = IS_FAILED & ((jobs.c.state if is_state else jobs.c.reason) == reason)
    stages = connection.scalars(select(jobs.c.stage).where(ended).distinct()).all()
    if not stages:
        return None
    stage = rng.choice(sorted(stages))
    key = _random_id(connection, jobs.c.subject_id, jobs, [ended, jobs.c.stage == stage], rng)
    return f"{SUBJECT_KINDS[stage]}:{key}"
