"""predict: render the questions of the tasks.

selects the subjects of the task
does    renders the task's template
writes  prompts, turns, turn_pairs, calls

Decision: one stage per task, so that a task that is enabled later asks about all existing subjects,
and a changed task repeats no question of another.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy import Connection

from annoy_store.config import Policy
from annoy_store.db.tables import calls, prompts, turn_pairs, turns
from annoy_store.interfaces import (
    NewRow,
    Outcome,
    Question,
    Row,
    Stage,
    StageContext,
    Task,
    done,
    rejected,
)
from annoy_store.prompts.template import load_template
from annoy_store.records.prompts import count_chars, new_calls, new_prompt, new_turn
from annoy_store.tasks import TASKS
from annoy_store.tasks.policy import enabled_names, option_values, read_options


def run(task: Task, row: Row, context: StageContext) -> Outcome:
    """Render one question of a task and plan the calls for its answers."""
    question = task.render(row, context.policy)
    if isinstance(question, Outcome):
        return question
    template = load_template(read_options(task, context.policy).template)
    messages = template.render(**question.values)
    if count_chars(messages) > context.policy.max_prompt_chars:
        return rejected("too_long")
    prompt = new_prompt(messages, template)
    turn = _first_turn(task, prompt, question)
    pairs = [
        NewRow(turn_pairs, {"turn_id": turn, "io_pair_id": pair_id, "role": role})
        for pair_id, role in question.pairs
    ]
    return done(turn, *pairs, *new_calls(prompt, context.policy.samples_per_prompt))


def _first_turn(task: Task, prompt: NewRow, question: Question) -> NewRow:
    return new_turn(
        prompt,
        task.name,
        1,
        question.about,
        sample_id=question.sample_id,
        io_pair_id=question.io_pair_id,
    )


def partitions(task: Task, _: Connection, policy: Policy) -> list[dict[str, Any]]:
    """One partition while the task is enabled, none otherwise."""
    return [{"task": task.name}] if task.name in enabled_names(policy) else []


def _stage(task: Task) -> Stage:
    return Stage(
        "predict",
        task.select,
        trigger=task.trigger,
        run=partial(run, task),
        writes=(prompts, turns, turn_pairs, calls),
        version=task.version,
        depends=("max_prompt_chars", "samples_per_prompt"),
        rescan_on=("tasks", *task.rescan_on),
        partitions=partial(partitions, task),
        task=task.name,
        options=partial(option_values, task),
    )


STAGES = tuple(map(_stage, TASKS.values()))
