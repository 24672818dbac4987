"""Planning: which jobs there should be, entered where they are missing.

Decisions
- A stage's SELECT is used restricted to the rows just written, in the transaction that writes
  them (`plan_new`), and unrestricted behind a watermark, when a run starts and before it ends
  (`plan_all`). So a stage added later, a raised policy or a row committed late by another
  transaction is found without anyone remembering, and planning costs only what is new.
- A subject with a job under any variant is not entered again: an upgrade never spends by itself.
  `replan` enters all wanted subjects under the active variants, because somebody asked.
- The watermark's scope is the stage's version and its `reach`: when these change, old rows are
  looked at again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
)

from annoy_store.contracts import Stage
from annoy_store.counting import NOBODY, count
from annoy_store.database import among, insert_from, settled_upto
from annoy_store.identity import digest
from annoy_store.policies import Agenda, Case
from annoy_store.settings import Policy
from annoy_store.tables import jobs, watermarks


def plan_new(
    connection: Connection, agenda: Agenda, worker_id: int, touched: Mapping[str, Sequence[int]]
) -> None:
    """Enter the jobs that the rows just written (ids by table) make, restricted to those rows."""
    for stage in agenda.stages.values():
        if ids := touched.get(stage.watches.table.name):
            _enter(connection, agenda, stage, worker_id, among(connection, stage.watches, set(ids)))


def plan_all(connection: Connection, agenda: Agenda, worker_id: int = NOBODY) -> Counter[str]:
    """Enter every job that is wanted and missing, above each stage's watermark."""
    entered: Counter[str] = Counter()
    for stage in agenda.stages.values():
        upto = settled_upto(connection, stage.watches)
        scope = _scope(stage, agenda.policy)
        mark = _watermark(connection, stage, scope)
        entered[stage.name] = _enter(connection, agenda, stage, worker_id, stage.watches > mark)
        if upto > mark:
            _move_watermark(connection, stage, scope, upto)
    return entered


def count_wanted(connection: Connection, stage: Stage, policy: Policy) -> int:
    """How many jobs `plan_all` would enter for a stage; writes nothing."""
    mark = _watermark(connection, stage, _scope(stage, policy))
    wanted = _missing(stage, policy, stage.watches > mark).subquery()
    return int(connection.scalar(select(func.count()).select_from(wanted)) or 0)


def replan(connection: Connection, agenda: Agenda, stage: Stage) -> int:
    """Enter every wanted subject under the active variants, also those done under another."""
    entered = 0
    for case in agenda.cases[stage.name]:
        new = _subjects(stage, agenda.policy).where(*_narrowed(stage, agenda.policy, case))
        entered += insert_from(connection, jobs, _as_jobs(stage, case, new))
    count(connection, NOBODY, {(stage.name, "pending"): entered})
    return entered


def subject_column(stage: Stage, policy: Policy) -> ColumnElement[int]:
    """The column that a stage's SELECT labels `subject_id`."""
    return _column(stage.wants(policy), "subject_id")


def _column(wants: Select[Any], name: str) -> ColumnElement[Any]:
    column = wants.selected_columns[name]
    return getattr(column, "element", column)


def _subjects(stage: Stage, policy: Policy) -> Select[Any]:
    wants = stage.wants(policy)
    subject = wants.selected_columns["subject_id"]
    return wants.with_only_columns(subject, maintain_column_froms=True).distinct()


def _narrowed(stage: Stage, policy: Policy, case: Case) -> list[ColumnElement[bool]]:
    wants = stage.wants(policy)
    return [_column(wants, name) == value for name, value in case.only.items()]


def _missing(stage: Stage, policy: Policy, *restrictions: ColumnElement[bool]) -> Select[Any]:
    subject = subject_column(stage, policy)
    taken = exists().where(jobs.c.stage == stage.name, jobs.c.subject_id == subject)
    return _subjects(stage, policy).where(and_(*restrictions), ~taken)


def _enter(
    connection: Connection,
    agenda: Agenda,
    stage: Stage,
    worker_id: int,
    restriction: ColumnElement[bool],
) -> int:
    entered = 0
    for case in agenda.cases[stage.name]:
        narrowed = _narrowed(stage, agenda.policy, case)
        new = _missing(stage, agenda.policy, restriction, *narrowed)
        entered += insert_from(connection, jobs, _as_jobs(stage, case, new))
    count(connection, worker_id, {(stage.name, "pending"): entered})
    return entered


def _as_jobs(stage: Stage, case: Case, subjects: Select[Any]) -> Select[Any]:
    subject = subjects.subquery().c.subject_id
    chosen: Select[Any] = select(
        literal(stage.name, Text).label("stage"),
        subject.label("subject_id"),
        literal(case.variant_id, BigInteger).label("variant_id"),
        literal("pending", Text).label("state"),
    )
    return chosen.where(subject.is_not(None))  # SQLite needs a WHERE before ON CONFLICT


def _scope(stage: Stage, policy: Policy) -> str:
    return digest("scope", stage.version, {key: getattr(policy, key) for key in stage.reach})


def _watermark(connection: Connection, stage: Stage, scope: str) -> int:
    chosen = select(watermarks.c.upto).where(
        watermarks.c.stage == stage.name, watermarks.c.scope == scope
    )
    return int(connection.scalar(chosen) or 0)


def _move_watermark(connection: Connection, stage: Stage, scope: str, upto: int) -> None:
    mine = and_(watermarks.c.stage == stage.name, watermarks.c.scope == scope)
    connection.execute(delete(watermarks).where(mine))
    row = {"stage": stage.name, "scope": scope, "upto": upto}
    connection.execute(insert(watermarks).values(row))
