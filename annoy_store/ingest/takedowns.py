"""Takedowns: rules that hide origins and, with the last allowed origin, the source and its samples.

Decisions
- A rule names an origin, a repository or a licence as the origins spell it (ignoring case), or a
  source or sample by its digest, so that it holds after a merge and for rows ingested later.
- What the rules hide is defined in db/hidden.py. Stages, exports and reports skip it; nothing is
  deleted.
- Lifting a rule restores everything: jobs that were rejected meanwhile are queued again, and the
  stages scan all rows once more for subjects that never got a job.
- A rule has a digest of its content, so that it is one rule in every store that it is merged into.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, insert, literal, select, union, update

from annoy_store.db.hidden import ORIGIN_COLUMNS, HiddenChange, refresh_hidden
from annoy_store.db.tables import (
    calls,
    export_rows,
    exports,
    hidden_subjects,
    responses,
    sample_origins,
    samples,
    sources,
    takedowns,
    turns,
)
from annoy_store.db.timestamps import utc_now
from annoy_store.errors import UsageError
from annoy_store.interfaces import Stage
from annoy_store.queue.counters import NO_WORKER
from annoy_store.queue.reassign import requeue_unwanted
from annoy_store.records.digests import takedown_digest

KINDS = ("source", "sample", "origin", "repo", "licence")


@dataclass(frozen=True)
class TakedownRule:
    """One takedown; it is in force until it is lifted.

    Attributes:
        id: Row id.
        kind: `source`, `sample`, `origin`, `repo` or `licence`.
        value: Digest of the source or sample, else the text to match.
        why: The reason given.
        created_at: UTC timestamp.
        lifted_at: UTC timestamp, None while in force.
        purged_at: UTC timestamp, None if the texts were not purged.
    """

    id: int
    kind: str
    value: str
    why: str
    created_at: str
    lifted_at: str | None
    purged_at: str | None


@dataclass(frozen=True)
class AffectedExport:
    """An export that holds rows of hidden samples, and how many."""

    export_id: int
    format: str
    folder: str
    published_at: str | None
    rows: int


@dataclass(frozen=True)
class TakedownResult:
    """What a takedown or a lift changed.

    Attributes:
        sources: Number of sources newly hidden.
        samples: Number of samples newly hidden.
        shown: Number of sources and samples visible again.
        exports: Exports that hold rows of newly hidden samples, the newest first.
    """

    sources: int
    samples: int
    shown: int
    exports: tuple[AffectedExport, ...]


# Rules ---------------------------------------------------------------------------------------


def takedown_rules(connection: Connection) -> list[TakedownRule]:
    """Return all rules, the oldest first, lifted ones included."""
    columns = [takedowns.c[name] for name in TakedownRule.__dataclass_fields__]
    return [
        TakedownRule(*row) for row in connection.execute(select(*columns).order_by(takedowns.c.id))
    ]


def resolve_value(connection: Connection, kind: str, value: str) -> str:
    """Return the value that a rule stores: the digest of a source or sample, else `value`.

    Args:
        connection: A connection to the store.
        kind: One of `KINDS`.
        value: Id, digest or beginning of a digest of a source or sample; else an origin, repository
            or licence.

    Raises:
        UsageError: Nothing in the store matches, or a digest is ambiguous.
    """
    if kind not in ("source", "sample"):
        known = select(func.count()).where(_same(ORIGIN_COLUMNS[kind], literal(value)))
        if not connection.scalar(known) and not (kind == "origin" and _imported(connection, value)):
            raise UsageError(
                f"no row has the {kind} {value!r}; see: annoy sql 'SELECT "
                f"DISTINCT {kind} FROM origins'"
            )
        return value
    table = sources if kind == "source" else samples
    matches = table.c.id == int(value) if value.isdecimal() else table.c.digest.startswith(value)
    found = list(connection.scalars(select(table.c.digest).where(matches).limit(2)))
    if len(found) != 1:
        raise UsageError(
            f"{'no' if not found else 'more than one'} {kind} has the id or digest {value!r}"
        )
    return str(found[0])


def _imported(connection: Connection, value: str) -> bool:
    chosen = select(func.count()).where(_same(sample_origins.c.origin, literal(value)))
    return bool(connection.scalar(chosen))


def _same(column: ColumnElement[Any], value: ColumnElement[Any]) -> ColumnElement[bool]:
    return func.lower(column) == func.lower(value)


def take_down(connection: Connection, kind: str, value: str, why: str) -> TakedownResult:
    """Add a rule and hide what it matches.

    Args:
        connection: A write transaction.
        kind: One of `KINDS`.
        value: The value as `resolve_value` returns it.
        why: The reason, kept with the rule.

    Returns:
        What was hidden, and the exports that hold rows of it.

    Raises:
        UsageError: Such a rule is in force already.
    """
    if _active(connection, kind, value):
        raise UsageError(f"{kind} {value!r} is already taken down")
    earlier = select(func.count()).where(takedowns.c.kind == kind, takedowns.c.value == value)
    row = {"kind": kind, "value": value, "why": why, "created_at": utc_now()}
    row |= {"digest": takedown_digest(row, connection.scalar(earlier) or 0)}
    connection.execute(insert(takedowns).values(row))
    return _result(connection, refresh_hidden(connection))


def lift(connection: Connection, kind: str, value: str) -> TakedownResult:
    """Lift a rule and show what only it hid.

    Args:
        connection: A write transaction.
        kind: One of `KINDS`.
        value: The value as the rule stores it.

    Returns:
        What is shown again.

    Raises:
        UsageError: No such rule is in force, or it was purged.
    """
    found = _active(connection, kind, value)
    if not found:
        raise UsageError(f"{kind} {value!r} is not taken down; see: annoy takedown --list")
    if any(rule.purged_at for rule in found):
        raise UsageError(f"{kind} {value!r} was purged: its texts are gone, it cannot be lifted")
    mine = takedowns.c.id.in_([rule.id for rule in found])
    connection.execute(update(takedowns).where(mine).values(lifted_at=utc_now()))
    return _result(connection, refresh_hidden(connection))


def _result(connection: Connection, change: HiddenChange) -> TakedownResult:
    held = affected_exports(connection, set(change.samples)) if change.samples else []
    return TakedownResult(len(change.sources), len(change.samples), change.shown, tuple(held))


def requeue_hidden(connection: Connection, stages: Sequence[Stage]) -> int:
    """Queue jobs again that were rejected because their subject was hidden; return how many.

    Args:
        connection: A write transaction.
        stages: The stages whose jobs are queued again.
    """
    return sum(requeue_unwanted(connection, stage, NO_WORKER) for stage in stages)


def _active(connection: Connection, kind: str, value: str) -> list[TakedownRule]:
    return [
        rule
        for rule in takedown_rules(connection)
        if rule.kind == kind and rule.value.casefold() == value.casefold() and not rule.lifted_at
    ]


def affected_exports(connection: Connection, only: set[int] | None = None) -> list[AffectedExport]:
    """Return the exports that hold rows of hidden samples, the newest first.

    Args:
        connection: A connection to the store.
        only: Ids of samples to consider; None means all hidden ones.
    """
    mine = hidden_subjects.c.kind == "sample"
    by_chain = (
        select(export_rows.c.id, export_rows.c.export_id, hidden_subjects.c.subject_id)
        .select_from(
            export_rows.join(responses, responses.c.id == export_rows.c.chain_id)
            .join(calls, calls.c.id == responses.c.call_id)
            .join(turns, turns.c.prompt_id == calls.c.prompt_id)
            .join(hidden_subjects, hidden_subjects.c.subject_id == turns.c.sample_id)
        )
        .where(mine)
    )
    by_sample = (
        select(export_rows.c.id, export_rows.c.export_id, hidden_subjects.c.subject_id)
        .select_from(
            export_rows.join(
                hidden_subjects, hidden_subjects.c.subject_id == export_rows.c.sample_id
            )
        )
        .where(mine)
    )
    counted: dict[int, set[int]] = {}
    for row, export, sample in connection.execute(union(by_chain, by_sample)):
        if only is None or sample in only:
            counted.setdefault(export, set()).add(row)
    known = select(exports.c.id, exports.c.format, exports.c.folder, exports.c.published_at)
    return [
        AffectedExport(key, form, folder, at, len(counted[key]))
        for key, form, folder, at in connection.execute(known.order_by(exports.c.id.desc()))
        if key in counted
    ]
