"""Check a store for damage and inconsistencies.

Checked are the database file, the references between tables, the jobs against the rows that they
produced, the counters against a scan, hidden rows against the takedown rules, sums (accounting.py),
and digests against content (digests.py). Every finding has a count, an example, and advice. Nothing
is changed, except by `recount`, which recomputes the counters.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    delete,
    exists,
    func,
    or_,
    select,
)
from sqlalchemy.exc import DatabaseError

from annoy_store.db.engine import Database
from annoy_store.db.hidden import hidden_ids, ids_under_rules, was_purged
from annoy_store.db.introspect import referenced_table
from annoy_store.db.sql import integrity_errors
from annoy_store.db.states import OPEN_STATES, WAITING_STATES
from annoy_store.db.tables import (
    STATUSES,
    annotation_log,
    batch_items,
    calls,
    io_pairs,
    job_counters,
    jobs,
    metadata,
    responses,
    sample_origins,
    samples,
    sources,
    turns,
    variants,
    verdicts,
    workers,
)
from annoy_store.interfaces import ShowProgress, show_nothing
from annoy_store.maintenance.accounting import reconcile
from annoy_store.maintenance.digests import CHECKED_TABLES, FILLED_LATER, rows_with_wrong_digest
from annoy_store.queue.counters import NO_WORKER, add_to_counters, funnel
from annoy_store.queue.jobs import IN_BATCH
from annoy_store.queue.selection import subject_column
from annoy_store.queue.stale_verdicts import select_stale
from annoy_store.queue.workers import IS_ALIVE
from annoy_store.records.policy import load_policy
from annoy_store.stages import stages_named


@dataclass(frozen=True)
class CheckFinding:
    """One kind of inconsistency.

    Attributes:
        what: Description.
        table: Table, empty for the whole file.
        n: Number of rows.
        example: One of them.
        hint: What to do about it.
    """

    what: str
    table: str
    n: int
    example: str
    hint: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


def check(
    store: Database,
    progress: ShowProgress = show_nothing,
    *,
    tasks: Collection[str] | None = None,
    digests: bool = True,
) -> list[CheckFinding]:
    """Check everything; rows are read in one snapshot.

    Args:
        store: The store.
        progress: Called before each check with the number of checks done, and for the digests with
            the number of rows read.
        tasks: Names of all tasks; None skips the check of the kinds of turns.
        digests: Also recompute the digests of all rows.

    Returns:
        The findings; empty if the store is in order. A damaged file is checked no further.
    """
    progress("checking the database file")
    if damaged := _damage(store):
        return [CheckFinding("damaged file", "", len(damaged), damaged[0], _DAMAGED)]
    found: list[CheckFinding] = []
    with store.read() as connection:
        checks: tuple[tuple[str, Callable[[Connection], Iterator[CheckFinding]]], ...] = (
            ("references", _references),
            ("kinds and statuses", lambda c: _unknown_values(c, tasks)),
            ("jobs", _jobs),
            ("verdicts", _stale_verdicts),
            ("counters", _counters),
            ("takedowns", _takedowns),
            ("sums", _sums),
            ("missing digests", _missing_digests),
        )
        for n, (what, find) in enumerate(checks):
            progress(f"checking {what}", n, len(checks))
            found += find(connection)
        if digests:
            found += _wrong_digests(connection, progress)
    return found


def _wrong_digests(connection: Connection, progress: ShowProgress) -> Iterator[CheckFinding]:
    total = sum(
        connection.scalar(select(func.count()).select_from(table)) or 0 for table in CHECKED_TABLES
    )
    n_read = 0

    for table in CHECKED_TABLES:

        def note(n_rows: int, name: str = table.name) -> None:
            nonlocal n_read
            n_read += n_rows
            progress(f"checking digests of {name}", n_read, total)

        if wrong := rows_with_wrong_digest(connection, table, note):
            example = f"id {wrong[0]}"
            yield CheckFinding(_WRONG_DIGEST, table.name, len(wrong), example, _CHANGED)


def _missing_digests(connection: Connection) -> Iterator[CheckFinding]:
    for table in FILLED_LATER:
        missing = table.c.digest.is_(None)
        yield from _finding(connection, table, missing, "rows without their digest", _COMPLETE)


_WRONG_DIGEST = "content does not match its digest"
_CHANGED = "rows were changed by hand; restore a backup"
_DAMAGED = "stop all workers, keep the file with its -wal, and restore the last backup"


def _damage(store: Database) -> list[str]:
    """What is wrong with the database file."""
    problems: list[str] = []
    try:
        with store.read() as connection:
            problems = integrity_errors(connection)
    except DatabaseError as error:
        problems = problems or [str(error.orig)]
    return problems


# References ----------------------------------------------------------------------------------


def _references(connection: Connection) -> Iterator[CheckFinding]:
    """References to missing rows, including those that no foreign key declares."""
    for table in metadata.sorted_tables:
        for column in table.c:
            parent = referenced_table(column)
            if parent is None:
                continue
            other = parent.alias("other")
            lost = and_(column.is_not(None), ~exists().where(other.c.id == column))
            yield from _finding(
                connection,
                table,
                lost,
                f"{column.name} refers to no row of {parent.name}",
                "rows were deleted by hand; restore them from a backup",
            )


def _finding(
    connection: Connection, table: Table, broken: ColumnElement[bool], what: str, hint: str
) -> Iterator[CheckFinding]:
    key = next(iter(table.c))
    found = connection.execute(select(func.count(), func.min(key)).where(broken)).one()
    if found[0]:
        yield CheckFinding(what, table.name, found[0], f"{key.name} {found[1]}", hint)


def _unknown_values(
    connection: Connection, tasks: Collection[str] | None
) -> Iterator[CheckFinding]:
    """Statuses and kinds that no installed code writes; no CHECK constraint lists them."""
    known: list[tuple[Table, str, Collection[str], str]] = [
        (verdicts, "status", STATUSES, "no status of a verdict"),
    ]
    if tasks is not None:
        known.append((turns, "kind", ("transform", *tasks), "no known task"))
    for table, name, values, what in known:
        column = table.c[name]
        chosen = select(column, func.count(), func.min(table.c.id)).where(column.not_in(values))
        for value, n, example in connection.execute(chosen.group_by(column)):
            yield CheckFinding(
                f"{name} {value!r} is {what}", table.name, n, f"id {example}", _UNKNOWN
            )


_UNKNOWN = "install the package that provides it; its rows are kept and ignored until then"


# Jobs ----------------------------------------------------------------------------------------


def _jobs(connection: Connection) -> Iterator[CheckFinding]:
    yield from _states(connection)
    conditions = [(stage, ~result_exists) for stage, result_exists in RESULT_EXISTS.items()]
    for stage, has_no_result in conditions + _unasked(connection):
        chosen = select(func.count(), func.min(jobs.c.subject_id)).where(
            jobs.c.stage == stage, jobs.c.state == "done", has_no_result
        )
        n, example = connection.execute(chosen).one()
        if n:
            yield CheckFinding(
                f"{stage} is done without a result",
                "jobs",
                n,
                f"{stage} of subject {example}",
                f"annoy retry {stage} --state done, or restore a backup",
            )


def _stale_verdicts(connection: Connection) -> Iterator[CheckFinding]:
    """Verdicts on answers that were judged from a pair before it stopped holding."""
    stale = select_stale().subquery()
    chosen = select(func.count(), func.min(stale.c.response_id)).select_from(stale)
    waiting = exists().where(
        jobs.c.stage == "verify",
        jobs.c.subject_id == stale.c.response_id,
        jobs.c.state.in_(OPEN_STATES),
    )
    n, example = connection.execute(chosen.where(~waiting)).one()
    if n:
        yield CheckFinding(
            "judged from a pair that no longer holds",
            "verdicts",
            n,
            f"of response {example}",
            "annoy reverify --stale --run",
        )


def _states(connection: Connection) -> Iterator[CheckFinding]:
    holder = exists().where(workers.c.id == jobs.c.worker_id, IS_ALIVE)
    for broken, what, hint in (
        (
            and_(jobs.c.state == "claimed", ~holder),
            "claimed by no active worker",
            "nothing to do: the next `annoy run` reclaims them",
        ),
        (
            and_(jobs.c.state.in_(WAITING_STATES), jobs.c.worker_id.is_not(None)),
            "not claimed, but with a worker",
            "annoy retry --state pending",
        ),
        (
            and_(jobs.c.state == "deferred", jobs.c.due_at.is_(None), ~_IN_A_BATCH),
            "deferred without a due time",
            "no batch contains them: restore a backup",
        ),
        (
            ~exists().where(variants.c.id == jobs.c.variant_id),
            "of a missing variant",
            "rows were deleted by hand; restore them from a backup",
        ),
    ):
        chosen = select(jobs.c.stage, func.count(), func.min(jobs.c.subject_id)).where(broken)
        for stage, n, example in connection.execute(chosen.group_by(jobs.c.stage)):
            yield CheckFinding(what, "jobs", n, f"{stage} of subject {example}", hint)


_IN_A_BATCH = and_(
    jobs.c.stage == "complete",
    jobs.c.reason == IN_BATCH,
    exists().where(batch_items.c.call_id == jobs.c.subject_id, batch_items.c.is_open == 1),
)


def _exists(table: Table, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().select_from(table).where(*conditions)


_SUBJECT = jobs.c.subject_id
RESULT_EXISTS: dict[str, ColumnElement[bool]] = {
    "transform": or_(
        _exists(turns, turns.c.source_id == _SUBJECT),
        _exists(sample_origins, sample_origins.c.source_id == _SUBJECT),
    ),
    "complete": _exists(responses, responses.c.call_id == _SUBJECT),
    "parse": or_(
        _exists(sample_origins, sample_origins.c.response_id == _SUBJECT),
        exists().where(  # another answer to the same question had the same function
            responses.c.id == _SUBJECT,
            calls.c.id == responses.c.call_id,
            turns.c.prompt_id == calls.c.prompt_id,
            sample_origins.c.source_id == turns.c.source_id,
        ),
    ),
    "generate": _exists(io_pairs, io_pairs.c.sample_id == _SUBJECT),
    "verify": _exists(verdicts, verdicts.c.response_id == _SUBJECT),
    "revise": exists().where(
        verdicts.c.id == _SUBJECT, turns.c.revises_response_id == verdicts.c.response_id
    ),
}
"""What a job of a stage that is done has left behind; `_unasked` says it of `predict`."""


def _unasked(connection: Connection) -> list[tuple[str, ColumnElement[bool]]]:
    """Per task, the condition that a job of `predict` has no question about its subject."""
    policy = load_policy(connection)
    by_subject = {"io_pairs": turns.c.io_pair_id, "samples": turns.c.sample_id}
    found: list[tuple[str, ColumnElement[bool]]] = []
    for stage in stages_named("predict"):
        subject: Any = subject_column(stage, policy)
        column = by_subject.get(subject.table.name)
        if column is not None:
            of_task = select(variants.c.id).where(variants.c.task == stage.task)
            asked = _exists(turns, column == _SUBJECT, turns.c.kind == stage.task)
            found.append(("predict", and_(jobs.c.variant_id.in_(of_task), ~asked)))
    return found


# Takedowns -----------------------------------------------------------------------------------


def _takedowns(connection: Connection) -> Iterator[CheckFinding]:
    """What the rules hide, worked out anew, and texts that a purge should have blanked."""
    stored, right = hidden_ids(connection), ids_under_rules(connection)
    for kind in sorted(right):
        for ids, what in (
            (right[kind] - stored[kind], f"{kind}s under a takedown that are not hidden"),
            (stored[kind] - right[kind], f"hidden {kind}s that no takedown hides"),
        ):
            if ids:
                example = f"{kind} {min(ids)}"
                yield CheckFinding(what, "hidden_subjects", len(ids), example, _COMPLETE)
    for kind, column, digest in (
        ("source", sources.c.content, sources.c.digest),
        ("sample", samples.c.refcode, samples.c.digest),
        ("source", annotation_log.c.value, annotation_log.c.root),
        ("sample", annotation_log.c.value, annotation_log.c.root),
    ):
        legible = and_(column != "", was_purged(kind, digest))
        yield from _finding(connection, column.table, legible, "purged, but with text", _COMPLETE)


_COMPLETE = "annoy init"


# Counters ------------------------------------------------------------------------------------


def count_jobs(connection: Connection) -> dict[tuple[str, str], int]:
    """Return the number of jobs by (stage, state), counted from the table."""
    chosen = select(jobs.c.stage, jobs.c.state, func.count()).group_by(jobs.c.stage, jobs.c.state)
    return {(stage, state): n for stage, state, n in connection.execute(chosen)}


def _counters(connection: Connection) -> Iterator[CheckFinding]:
    truth = count_jobs(connection)
    stored = {(s, state): n for s, by in funnel(connection).items() for state, n in by.items()}
    for stage, state in sorted(truth.keys() | stored.keys()):
        have, want = stored.get((stage, state), 0), truth.get((stage, state), 0)
        if have != want:
            yield CheckFinding(
                "wrong counter",
                "job_counters",
                abs(have - want),
                f"{stage} {state}: {have}, should be {want}",
                "annoy check --recount",
            )


def _sums(connection: Connection) -> Iterator[CheckFinding]:
    return (CheckFinding(**asdict(imbalance)) for imbalance in reconcile(connection))


def recount(connection: Connection) -> None:
    """Recompute the counters from the jobs; no worker may be running."""
    connection.execute(delete(job_counters))
    add_to_counters(connection, NO_WORKER, count_jobs(connection))
