"""Reads the ground truth of a question, as the export format `rl` writes it.

Decision: a ground truth carries the policies that its verdict depends on where they differ from the
defaults, so that an answer is judged alike wherever it is judged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from annoy_store.config import Policy
from annoy_store.errors import UsageError
from annoy_store.hashing import compact_json
from annoy_store.interfaces import Task
from annoy_store.tasks import get_task

_TEXTS = ("code", "funcname")
_VALUES = ("input", "output")  # JSON; other than text they are encoded


@dataclass(frozen=True)
class Truth:
    """The ground truth of one question.

    Attributes:
        task: The task that checks answers to it.
        row: What the task's `check` reads, such as `code`, `funcname`, `input` and `output`.
        policy: The policy under which answers are checked.
    """

    task: Task
    row: Mapping[str, Any]
    policy: Policy


def parse_truth(truth: Mapping[str, Any] | str) -> Truth:
    """Read a ground truth.

    Args:
        truth: A mapping, or its JSON text, with `task`, `code`, `funcname`, what the task's ground
            truth holds (`input` and `output` as JSON texts), and optionally `policy`.

    Raises:
        UsageError: It is no such mapping; the message names what is missing or wrong.
    """
    values = _as_mapping(truth)
    missing = [name for name in ("task", *_TEXTS) if not isinstance(values.get(name), str)]
    if missing:
        raise UsageError(
            f"the ground truth has no text {', '.join(missing)}; "
            "use `ground_truth` of the export format rl"
        )
    row = {name: value for name, value in values.items() if name not in ("task", "policy")}
    for name in _VALUES:
        if name in row and not isinstance(row[name], str):
            row[name] = compact_json(row[name])
    task = get_task(values["task"])
    _check_values(row, task)
    return Truth(task, row, _policy(json.dumps(values.get("policy") or {}, sort_keys=True)))


def _as_mapping(truth: Mapping[str, Any] | str) -> Mapping[str, Any]:
    if isinstance(truth, str):
        try:
            truth = json.loads(truth)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"the ground truth is no JSON: {error}") from error
    if not isinstance(truth, Mapping):
        raise UsageError(f"the ground truth is a {type(truth).__name__}, not a mapping")
    return truth


def _check_values(row: Mapping[str, Any], task: Task) -> None:
    columns = {column.name for column in task.truth().selected_columns} - {"turn_id"}
    missing = sorted(columns - row.keys())
    if missing:
        raise UsageError(f"the ground truth of {task.name} has no {', '.join(missing)}")
    for name in _VALUES:
        try:
            json.loads(row.get(name, "null"))
        except (ValueError, RecursionError) as error:
            raise UsageError(f"the ground truth's {name} is no JSON: {error}") from error


@lru_cache(maxsize=256)
def _policy(text: str) -> Policy:
    """Return the policy with the given values over the defaults, from their JSON text."""
    values = json.loads(text)
    if not isinstance(values, dict):
        raise UsageError("the ground truth's policy is no mapping")
    general = {key: value for key, value in values.items() if key in Policy.model_fields}
    options = tuple(sorted((key, values[key]) for key in values.keys() - general.keys()))
    try:
        return Policy.model_validate({**general, "task_options": options})
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"the ground truth's policy {'.'.join(map(str, first['loc']))}: {first['msg']}"
        ) from error
