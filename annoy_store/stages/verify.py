"""verify: check the answers to the questions of the tasks.

selects responses to the task's turns, with their ground truth
does    checks the answer with the task's `check`
writes  verdicts, executions

Decision: one stage per task, so that a changed task repeats no verdict of another.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy import Connection, Select, select

from annoy_store.config import Policy
from annoy_store.db.tables import executions, responses, turns, verdicts
from annoy_store.db.timestamps import utc_now
from annoy_store.hashing import clean_text
from annoy_store.interfaces import (
    Answer,
    CheckResult,
    NewRow,
    Outcome,
    Row,
    Stage,
    StageContext,
    Task,
    done,
)
from annoy_store.records.executions import new_execution
from annoy_store.records.queries import answered_turns, not_hidden
from annoy_store.tasks import TASKS, check_version
from annoy_store.tasks.policy import CHECK_POLICIES, option_values


def select_answers(task: Task, policy: Policy) -> Select[Any]:
    """Select every response to a turn of the task whose sample is not taken down."""
    truth = task.truth().subquery("truth")
    known = [task.known_runs(policy).label("known_runs")] if task.known_runs else []
    return (
        select(
            responses.c.id.label("subject_id"),
            responses.c.finish_reason,
            responses.c.text,
            *(column for column in truth.c if column.name != "turn_id"),
            *known,
        )
        .select_from(answered_turns().join(truth, truth.c.turn_id == turns.c.id))
        .where(turns.c.kind == task.name, not_hidden("sample", turns.c.sample_id))
    )


def run(task: Task, row: Row, context: StageContext) -> Outcome:
    """Check one answer. Raises SandboxError, which is never a verdict."""
    answer = Answer(row["text"], row["finish_reason"])
    result = task.check(answer, row, context.sandbox, context.policy)
    return done(_verdict(task, result, row, context))


def _verdict(task: Task, result: CheckResult, row: Row, context: StageContext) -> NewRow:
    execution: NewRow | int | None = result.execution_id
    if result.execution is not None:
        info = context.sandbox().info
        execution = new_execution(result.execution, info, "verify", response_id=row["subject_id"])
    return NewRow(
        verdicts,
        {
            "response_id": row["subject_id"],
            "checker": task.name,
            "variant_id": context.variant_id,
            "status": result.status,
            "mismatch": result.mismatch,
            "execution_id": execution,
            "created_at": utc_now(),
            "predicted": result.predicted,
            "got": result.got,
            "feedback": clean_text(result.feedback),
        },
    )


def partitions(task: Task, _: Connection, __: Policy) -> list[dict[str, Any]]:
    """One partition: answers to the task's questions are checked whether it is enabled or not."""
    return [{"task": task.name}]


def _stage(task: Task) -> Stage:
    return Stage(
        "verify",
        partial(select_answers, task),
        trigger=responses.c.id,
        run=partial(run, task),
        writes=(verdicts, executions),
        executor="sandbox",
        version=check_version(task),
        depends=(*CHECK_POLICIES, "verdict_round"),
        partitions=partial(partitions, task),
        task=task.name,
        options=partial(option_values, task, template=False),
    )


STAGES = tuple(map(_stage, TASKS.values()))
