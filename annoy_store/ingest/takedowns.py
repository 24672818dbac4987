"""Takedowns: rules that hide origins, and with the last allowed one the source and its samples.

Decisions
- A rule names an origin, a repository or a licence as the origins spell it (case aside), or a
  source or sample by its digest, so that it holds after a merge and for what is ingested later.
- Hidden is what has no allowed origin left: a source whose origins all fall under rules, a sample
  whose sources are all hidden (the file it was imported from is one until its source is known).
  Stages, exports and reports leave it out; nothing is deleted.
- Lifting brings everything back: jobs that were turned down meanwhile are taken up again, and the
  stages look at all rows once more for what never became a job.
- A purge blanks the texts and cannot be undone. Rows and digests stay as tombstones, and rules by
  digest keep them hidden, so that the same text ingested again is known and not worked on. What
  an allowed source shares with a purged one (an equal prompt, an equal sample) is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    union,
    update,
)

from annoy_store.db.sql import in_values, insert_from
from annoy_store.db.tables import (
    calls,
    export_rows,
    exports,
    hidden_subjects,
    io_pairs,
    origins,
    responses,
    sample_origins,
    samples,
    sources,
    takedowns,
    turns,
    watermarks,
)
from annoy_store.db.timestamps import utc_now
from annoy_store.errors import UsageError
from annoy_store.interfaces import Stage
from annoy_store.queue.counters import NO_WORKER
from annoy_store.queue.reassign import requeue_unwanted

KINDS = ("source", "sample", "origin", "repo", "licence")
COLUMNS = {"origin": origins.c.origin, "repo": origins.c.repo, "licence": origins.c.licence}


@dataclass(frozen=True)
class TakedownRule:
    """One takedown; it acts as long as it is not lifted."""

    id: int
    kind: str
    value: str
    why: str
    created_at: str
    lifted_at: str | None
    purged_at: str | None


@dataclass(frozen=True)
class AffectedExport:
    """An export that holds rows of what is hidden."""

    export_id: int
    format: str
    folder: str
    published_at: str | None
    rows: int


@dataclass(frozen=True)
class TakedownResult:
    """What a takedown or a lift did: sources and samples newly hidden, and shown again."""

    sources: int
    samples: int
    shown: int
    exports: tuple[AffectedExport, ...]


# Rules ---------------------------------------------------------------------------------------


def takedown_rules(connection: Connection) -> list[TakedownRule]:
    """All rules, the oldest first."""
    columns = [takedowns.c[name] for name in TakedownRule.__dataclass_fields__]
    return [
        TakedownRule(*row) for row in connection.execute(select(*columns).order_by(takedowns.c.id))
    ]


def resolve_value(connection: Connection, kind: str, value: str) -> str:
    """The value that a rule keeps: of a source or sample, given by id or digest, its digest.

    Raises UsageError when there is none such, and never was.
    """
    if kind not in ("source", "sample"):
        known = select(func.count()).where(_same(COLUMNS[kind], literal(value)))
        if not connection.scalar(known) and not (kind == "origin" and _imported(connection, value)):
            raise UsageError(
                f"nothing here has the {kind} {value!r}; see: annoy sql 'SELECT "
                f"DISTINCT {kind} FROM origins'"
            )
        return value
    table = sources if kind == "source" else samples
    mine = table.c.id == int(value) if value.isdecimal() else table.c.digest.startswith(value)
    found = list(connection.scalars(select(table.c.digest).where(mine).limit(2)))
    if len(found) != 1:
        raise UsageError(f"{'no' if not found else 'more than one'} {kind} is called {value!r}")
    return str(found[0])


def _imported(connection: Connection, value: str) -> bool:
    chosen = select(func.count()).where(_same(sample_origins.c.origin, literal(value)))
    return bool(connection.scalar(chosen))


def _same(column: ColumnElement[Any], value: ColumnElement[Any]) -> ColumnElement[bool]:
    return func.lower(column) == func.lower(value)


def take_down(connection: Connection, kind: str, value: str, why: str) -> TakedownResult:
    """Enter a rule and hide what falls under it."""
    if _active(connection, kind, value):
        raise UsageError(f"{kind} {value!r} is taken down already")
    row = {"kind": kind, "value": value, "why": why, "created_at": utc_now()}
    connection.execute(insert(takedowns).values(row))
    return refresh_hidden(connection)


def lift(connection: Connection, kind: str, value: str) -> TakedownResult:
    """Lift a rule and bring back what it hid. Raises UsageError for one that was purged."""
    found = _active(connection, kind, value)
    if not found:
        raise UsageError(f"{kind} {value!r} is not taken down; see: annoy takedown --list")
    if any(rule.purged_at for rule in found):
        raise UsageError(f"{kind} {value!r} was purged: its texts are gone, it cannot be lifted")
    mine = takedowns.c.id.in_([rule.id for rule in found])
    connection.execute(update(takedowns).where(mine).values(lifted_at=utc_now()))
    change = refresh_hidden(connection)
    connection.execute(delete(watermarks))
    return change


def requeue_hidden(connection: Connection, stages: Sequence[Stage]) -> int:
    """Take up again the jobs that were turned down because they were hidden; return how many."""
    return sum(requeue_unwanted(connection, stage, NO_WORKER) for stage in stages)


def _active(connection: Connection, kind: str, value: str) -> list[TakedownRule]:
    return [
        rule
        for rule in takedown_rules(connection)
        if rule.kind == kind and rule.value.casefold() == value.casefold() and not rule.lifted_at
    ]


# Hiding --------------------------------------------------------------------------------------


def refresh_hidden(connection: Connection) -> TakedownResult:
    """Hide what has no allowed origin left, show what has one again.

    The exports named are those that hold rows of what is newly hidden.
    """
    if not connection.scalar(select(exists().where(IN_FORCE))):
        shown = connection.execute(delete(hidden_subjects)).rowcount
        return TakedownResult(0, 0, shown, ())
    before = _ids(connection, "source"), _ids(connection, "sample")
    shown = _hide(connection, "source", sources_under_rules(IN_FORCE))
    shown += _hide(connection, "sample", samples_under_rules(IN_FORCE))
    new = _ids(connection, "source") - before[0], _ids(connection, "sample") - before[1]
    return TakedownResult(
        len(new[0]), len(new[1]), shown, tuple(affected_exports(connection, new[1]))
    )


def hide_ingested(connection: Connection, source_ids: Sequence[int]) -> None:
    """The same for sources just written, in the transaction that writes them."""
    if not connection.scalar(select(exists().where(IN_FORCE))):
        return
    mine = in_values(connection, sources.c.id, source_ids)
    made = select(sample_origins.c.sample_id).where(
        in_values(connection, sample_origins.c.source_id, source_ids)
    )
    for kind, chosen, touched in (
        ("source", sources_under_rules(IN_FORCE).where(mine), select(sources.c.id).where(mine)),
        ("sample", samples_under_rules(IN_FORCE).where(samples.c.id.in_(made)), made),
    ):
        _hide(connection, kind, chosen, hidden_subjects.c.subject_id.in_(touched))


IN_FORCE = takedowns.c.lifted_at.is_(None)
PURGED = and_(IN_FORCE, takedowns.c.purged_at.is_not(None))


def sources_under_rules(force: ColumnElement[bool]) -> Select[Any]:
    """Sources that rules with `force` name, and those that have origins, none of them allowed."""
    found = exists().where(origins.c.source_id == sources.c.id)
    allowed = exists().where(
        origins.c.source_id == sources.c.id,
        *(~_ruled(force, kind, column) for kind, column in COLUMNS.items()),
    )
    return select(sources.c.id).where(
        or_(_ruled(force, "source", sources.c.digest), and_(found, ~allowed))
    )


def samples_under_rules(force: ColumnElement[bool]) -> Select[Any]:
    """Samples that such rules name, and those that come from somewhere and nowhere allowed."""
    mine = sample_origins.c.sample_id == samples.c.id
    of_source = and_(
        sample_origins.c.source_id.is_not(None),
        sample_origins.c.source_id.not_in(sources_under_rules(force)),
    )
    unruled = or_(
        sample_origins.c.origin.is_(None), ~_ruled(force, "origin", sample_origins.c.origin)
    )
    of_file = and_(sample_origins.c.source_id.is_(None), unruled, ~_found_since())
    allowed = exists().where(mine, or_(of_source, of_file))
    return select(samples.c.id).where(
        or_(_ruled(force, "sample", samples.c.digest), and_(exists().where(mine), ~allowed))
    )


def _found_since() -> ColumnElement[bool]:
    """The function of the file has a source by now, and that is where it comes from."""
    other = sample_origins.alias("found")
    return exists().where(
        other.c.sample_id == sample_origins.c.sample_id,
        other.c.source_id.is_not(None),
    )


def _ruled(
    force: ColumnElement[bool], kind: str, column: ColumnElement[Any]
) -> ColumnElement[bool]:
    return exists().where(force, takedowns.c.kind == kind, _same(column, takedowns.c.value))


def _hide(
    connection: Connection, kind: str, chosen: Select[Any], *within: ColumnElement[bool]
) -> int:
    """Make the hidden rows of a kind those that are chosen; return how many are shown again."""
    wanted = chosen.subquery()
    key = next(iter(wanted.c))
    shown = delete(hidden_subjects).where(
        hidden_subjects.c.kind == kind, hidden_subjects.c.subject_id.not_in(select(key)), *within
    )
    gone = connection.execute(shown).rowcount
    rows = select(literal(kind).label("kind"), key.label("subject_id")).where(key.is_not(None))
    insert_from(connection, hidden_subjects, rows)
    return gone


def _ids(connection: Connection, kind: str) -> set[int]:
    return set(
        connection.scalars(
            select(hidden_subjects.c.subject_id).where(hidden_subjects.c.kind == kind)
        )
    )


def affected_exports(connection: Connection, only: set[int] | None = None) -> list[AffectedExport]:
    """The exports that hold rows of hidden samples (or of `only` those), the newest first."""
    mine = hidden_subjects.c.kind == "sample"
    by_chain = (
        select(export_rows.c.id, export_rows.c.export_id, hidden_subjects.c.subject_id)
        .select_from(
            export_rows.join(responses, responses.c.id == export_rows.c.chain_id)
            .join(calls, calls.c.id == responses.c.call_id)
            .join(turns, turns.c.prompt_id == calls.c.prompt_id)
            .join(io_pairs, io_pairs.c.id == turns.c.io_pair_id)
            .join(hidden_subjects, hidden_subjects.c.subject_id == io_pairs.c.sample_id)
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
