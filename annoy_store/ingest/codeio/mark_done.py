"""Mark as done the jobs whose results were imported.

    transform   sources whose question was answered, or whose function was imported
    parse       answers whose function was imported
    predict     pairs about which both directions were answered

Decision: these jobs have the variant `import`, so `annoy rerun STAGE` repeats them under the active
variant, and nothing else does.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Text,
    exists,
    func,
    literal,
    literal_column,
    select,
    update,
)

from annoy_store.db.insert import insert_rows
from annoy_store.db.sql import insert_from
from annoy_store.db.tables import calls, jobs, prompts, responses, sample_origins, turns, variants
from annoy_store.hashing import canonical_json, digest
from annoy_store.interfaces import NewRow
from annoy_store.queue.counters import NO_WORKER, add_to_counters, state_change

TASKS = ("predict_output", "predict_input")  # what the files of the scripts are about


def import_variant(connection: Connection, task: str = "") -> int:
    """Return the id of the variant of what was imported, of one task if given; insert it if new."""
    described = {"version": 1} | ({"task": task} if task else {})
    row = {
        "stage": "import",
        "digest": digest("variant", "import", described),
        "description": canonical_json(described),
        "active": 1,
        "task": task,
    }
    return insert_rows(connection, [NewRow(variants, row)])["variants"][0]


def mark_imported_done(connection: Connection, variant_id: int) -> None:
    """Add `done` jobs for imported results, and end pending jobs that would repeat them."""
    brought = (
        ("transform", "", _asked()),
        ("transform", "", _came(sample_origins.c.source_id)),
        ("parse", "", _came(sample_origins.c.response_id)),
        *(("predict", task, _predicted()) for task in TASKS),
    )
    for stage, task, subjects in brought:
        variant = import_variant(connection, task) if task else variant_id
        _insert_done(connection, stage, task, variant, subjects)


def _insert_done(
    connection: Connection, stage: str, task: str, variant_id: int, subjects: Select[Any]
) -> None:
    named = subjects.distinct().subquery().c.subject_id
    known = exists().where(
        jobs.c.stage == stage, jobs.c.subject_id == named, _of_task(jobs.c.variant_id, task)
    )
    chosen = select(
        literal(stage, Text).label("stage"),
        named.label("subject_id"),
        literal(variant_id, BigInteger).label("variant_id"),
        literal("done", Text).label("state"),
        literal("imported", Text).label("reason"),
    ).where(~known)
    entered = insert_from(connection, jobs, chosen)
    add_to_counters(connection, NO_WORKER, {(stage, "done"): entered})
    _end(connection, stage, task, select(named))


def _of_task(variant_id: ColumnElement[int], task: str) -> ColumnElement[bool]:
    return variant_id.in_(select(variants.c.id).where(variants.c.task == task))


def _end(connection: Connection, stage: str, task: str, subjects: Select[Any]) -> None:
    """End the jobs that wait to do what files brought, but those that were enqueued again."""
    other = jobs.alias("other")
    again = exists().where(
        other.c.stage == stage,
        other.c.subject_id == jobs.c.subject_id,
        other.c.variant_id != jobs.c.variant_id,
        _of_task(other.c.variant_id, task),
    )
    waiting = (
        jobs.c.stage == stage,
        jobs.c.state == literal_column("'pending'"),
        _of_task(jobs.c.variant_id, task),
        ~again,
    )
    ended = connection.execute(
        update(jobs)
        .where(*waiting, jobs.c.subject_id.in_(subjects))
        .values(state=literal_column("'done'"), reason="imported")
    ).rowcount
    add_to_counters(connection, NO_WORKER, state_change({stage: ended}, "pending", "done"))


def _asked() -> Select[Any]:
    return _answered(turns.c.source_id).where(turns.c.kind == "transform")


def _predicted() -> Select[Any]:
    both = func.count(turns.c.kind.distinct()) == 2
    pairs = _answered(turns.c.io_pair_id).where(turns.c.number == 1)
    return pairs.group_by(turns.c.io_pair_id).having(both)


def _answered(subject: ColumnElement[Any]) -> Select[Any]:
    """The subjects of imported questions that have an answer."""
    return (
        select(subject.label("subject_id"))
        .join(prompts, prompts.c.id == turns.c.prompt_id)
        .where(subject.is_not(None), prompts.c.template == "imported")
        .where(exists().where(calls.c.prompt_id == prompts.c.id, responses.c.call_id == calls.c.id))
    )


def _came(subject: ColumnElement[Any]) -> Select[Any]:
    """The subjects that imported functions came from, if they were not parsed here."""
    return select(subject.label("subject_id")).where(
        subject.is_not(None), sample_origins.c.variant_id.is_(None)
    )
