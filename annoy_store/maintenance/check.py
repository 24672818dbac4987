"""Is the store in order? Every finding says how many, one example, and what to do about it.

The file itself, the references between tables, the ledger against the data that it stands for, the
counters against a scan, and the digests against the content that they name. Nothing is changed,
except by `recount`, which makes the counters anew.
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
from annoy_store.db.introspect import referenced_table
from annoy_store.db.sql import integrity_errors
from annoy_store.db.states import WAITING_STATES
from annoy_store.db.tables import (
    STATUSES,
    batch_items,
    io_pairs,
    job_counters,
    jobs,
    metadata,
    responses,
    sample_origins,
    turns,
    variants,
    verdicts,
    workers,
)
from annoy_store.maintenance.accounting import reconcile
from annoy_store.maintenance.digests import DIGEST_FUNCTIONS, rows_with_wrong_digest
from annoy_store.queue.counters import NO_WORKER, add_to_counters, funnel
from annoy_store.queue.jobs import IN_BATCH
from annoy_store.queue.workers import IS_ALIVE


@dataclass(frozen=True)
class CheckFinding:
    """Something that is not in order: how often, where for example, and what helps."""

    what: str
    table: str
    n: int
    example: str
    hint: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


Note = Callable[[str], None]


def check(
    store: Database,
    note: Note = lambda _: None,
    *,
    tasks: Collection[str] | None = None,
    digests: bool = True,
) -> list[CheckFinding]:
    """Look at everything, the rows in one snapshot.

    Args:
        store: the store, of the newest schema.
        note: called with the name of each part before it is looked at.
        tasks: names of all tasks; None leaves out whether turns are of one of them.
        digests: whether content is read again and compared with its digest.

    Returns:
        What is not in order.
    """
    note("the file")
    if damaged := _damage(store):
        return [CheckFinding("damaged file", "", len(damaged), damaged[0], _DAMAGED)]
    found: list[CheckFinding] = []
    with store.read() as connection:
        for what, look in (
            ("references", _references),
            ("kinds and statuses", lambda c: _unknown_words(c, tasks)),
            ("the ledger", _ledger),
            ("counters", _counters),
            ("sums", _sums),
        ):
            note(what)
            found += look(connection)
        for table in DIGEST_FUNCTIONS if digests else ():
            note(f"digests of {table.name}")
            if wrong := rows_with_wrong_digest(connection, table):
                found.append(
                    CheckFinding(_MISNAMED, table.name, len(wrong), f"id {wrong[0]}", _CHANGED)
                )
    return found


_MISNAMED = "content that its digest does not name"
_CHANGED = "rows were changed by hand; go back to a backup"
_DAMAGED = "stop all workers, keep the file with its -wal, and go back to the last backup"


def _damage(store: Database) -> list[str]:
    """What is wrong with the file; the rest of a damaged one is not worth asking."""
    words: list[str] = []
    try:
        with store.read() as connection:
            words = integrity_errors(connection)
    except DatabaseError as error:
        words = words or [str(error.orig)]
    return words


# References ----------------------------------------------------------------------------------


def _references(connection: Connection) -> Iterator[CheckFinding]:
    """Also those that no foreign key declares."""
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
                f"{column.name} points at no row of {parent.name}",
                "rows were deleted by hand; bring them back from a backup",
            )


def _finding(
    connection: Connection, table: Table, broken: ColumnElement[bool], what: str, hint: str
) -> Iterator[CheckFinding]:
    key = next(iter(table.c))
    found = connection.execute(select(func.count(), func.min(key)).where(broken)).one()
    if found[0]:
        yield CheckFinding(what, table.name, found[0], f"{key.name} {found[1]}", hint)


def _unknown_words(connection: Connection, tasks: Collection[str] | None) -> Iterator[CheckFinding]:
    """Statuses and kinds that no code of ours writes; no CHECK of the schema lists them."""
    known: list[tuple[Table, str, Collection[str], str]] = [
        (verdicts, "status", STATUSES, "no status of a verdict"),
    ]
    if tasks is not None:
        known.append((turns, "kind", ("transform", *tasks), "no known task"))
    for table, name, words, what in known:
        column = table.c[name]
        chosen = select(column, func.count(), func.min(table.c.id)).where(column.not_in(words))
        for word, n, example in connection.execute(chosen.group_by(column)):
            yield CheckFinding(
                f"{name} {word!r} is {what}", table.name, n, f"id {example}", _UNKNOWN
            )


_UNKNOWN = "install the package that brings it; rows of it are kept and left alone"


# The ledger ----------------------------------------------------------------------------------


def _ledger(connection: Connection) -> Iterator[CheckFinding]:
    yield from _states(connection)
    for stage, made in RESULT_EXISTS.items():
        chosen = select(func.count(), func.min(jobs.c.subject_id)).where(
            jobs.c.stage == stage, jobs.c.state == "done", ~made
        )
        n, example = connection.execute(chosen).one()
        if n:
            yield CheckFinding(
                f"{stage} is done and left nothing",
                "jobs",
                n,
                f"{stage} of subject {example}",
                f"annoy retry {stage} --state done, or go back to a backup",
            )


def _states(connection: Connection) -> Iterator[CheckFinding]:
    holder = exists().where(workers.c.id == jobs.c.worker_id, IS_ALIVE)
    for broken, what, hint in (
        (
            and_(jobs.c.state == "claimed", ~holder),
            "claimed by nobody who is alive",
            "nothing to do: the next `annoy run` takes them back",
        ),
        (
            and_(jobs.c.state.in_(WAITING_STATES), jobs.c.worker_id.is_not(None)),
            "held and not claimed",
            "annoy retry --state pending",
        ),
        (
            and_(jobs.c.state == "deferred", jobs.c.due_at.is_(None), ~_IN_A_BATCH),
            "deferred for ever",
            "no batch holds them: go back to a backup",
        ),
        (
            ~exists().where(variants.c.id == jobs.c.variant_id),
            "of a variant that is not there",
            "rows were deleted by hand; bring them back from a backup",
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


def _left(table: Table, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().select_from(table).where(*conditions)


_SUBJECT = jobs.c.subject_id
RESULT_EXISTS: dict[str, ColumnElement[bool]] = {
    "transform": or_(
        _left(turns, turns.c.source_id == _SUBJECT),
        _left(sample_origins, sample_origins.c.source_id == _SUBJECT),
    ),
    "complete": _left(responses, responses.c.call_id == _SUBJECT),
    "parse": _left(sample_origins, sample_origins.c.response_id == _SUBJECT),
    "generate": _left(io_pairs, io_pairs.c.sample_id == _SUBJECT),
    "predict": _left(turns, turns.c.io_pair_id == _SUBJECT),
    "verify": _left(verdicts, verdicts.c.response_id == _SUBJECT),
    "revise": exists().where(
        verdicts.c.id == _SUBJECT, turns.c.revises_response_id == verdicts.c.response_id
    ),
}
"""What a job of a stage that is done has left behind."""


# Counters ------------------------------------------------------------------------------------


def count_jobs(connection: Connection) -> dict[tuple[str, str], int]:
    """Jobs by (stage, state), counted one by one."""
    chosen = select(jobs.c.stage, jobs.c.state, func.count()).group_by(jobs.c.stage, jobs.c.state)
    return {(stage, state): n for stage, state, n in connection.execute(chosen)}


def _counters(connection: Connection) -> Iterator[CheckFinding]:
    truth = count_jobs(connection)
    told = {(s, state): n for s, by in funnel(connection).items() for state, n in by.items()}
    for stage, state in sorted(truth.keys() | told.keys()):
        have, want = told.get((stage, state), 0), truth.get((stage, state), 0)
        if have != want:
            yield CheckFinding(
                "a counter is wrong",
                "job_counters",
                abs(have - want),
                f"{stage} {state}: {have}, counted {want}",
                "annoy check --recount",
            )


def _sums(connection: Connection) -> Iterator[CheckFinding]:
    return (CheckFinding(**asdict(imbalance)) for imbalance in reconcile(connection))


def recount(connection: Connection) -> None:
    """Make the counters anew from the jobs; nobody may be at work."""
    connection.execute(delete(job_counters))
    add_to_counters(connection, NO_WORKER, count_jobs(connection))
