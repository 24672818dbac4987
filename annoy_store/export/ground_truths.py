"""The ground truths of questions as JSON texts: all that `annoy_store.rewards` needs to score answers.

Decision: a ground truth carries the policies that verdicts depend on where they are not the
defaults, so that an answer is judged elsewhere as it is judged here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, select

from annoy_store.db.sql import in_parameter
from annoy_store.db.tables import turns
from annoy_store.hashing import compact_json
from annoy_store.interfaces import Task
from annoy_store.records.policy import load_policy
from annoy_store.tasks import get_task
from annoy_store.tasks.policy import changed_check_policies


def ground_truths(
    connection: Connection, prompt_ids: Sequence[int], kinds: Sequence[str]
) -> list[str | None]:
    """Return the ground truth of each question.

    Args:
        connection: A read transaction.
        prompt_ids: The prompt of each question.
        kinds: The task of each question.

    Returns:
        A JSON text per question; None where its rows are gone.

    Raises:
        UsageError: If a task is of a package that is not installed.
    """
    found: dict[tuple[str, int], str] = {}
    questions = list(zip(kinds, prompt_ids, strict=True))
    for name in sorted(set(kinds)):
        ids = sorted({prompt for kind, prompt in questions if kind == name})
        found |= _of_task(connection, get_task(name), ids)
    return [found.get(question) for question in questions]


def _of_task(
    connection: Connection, task: Task, prompt_ids: Sequence[int]
) -> dict[tuple[str, int], str]:
    changed = changed_check_policies(task, load_policy(connection))
    policy: dict[str, Any] = {"policy": changed} if changed else {}
    rows = connection.execute(_select(task), {"ids": prompt_ids}).mappings()
    return {
        (task.name, row["prompt_id"]): compact_json(
            {"task": task.name} | {k: v for k, v in row.items() if k != "prompt_id"} | policy
        )
        for row in rows
    }


def _select(task: Task) -> Select[Any]:
    truth = task.truth().subquery("truth")
    columns = [column for column in truth.c if column.name != "turn_id"]
    return (
        select(turns.c.prompt_id, *columns)
        .join(truth, truth.c.turn_id == turns.c.id)
        .where(turns.c.kind == task.name, in_parameter(turns.c.prompt_id, "ids"))
    )
