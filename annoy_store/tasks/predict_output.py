"""predict_output: what does the code return for this input?

Decisions. Nothing is run to check an answer: the pair was made and checked before. An answer found
in a truncated response counts like any other; the response keeps its `finish_reason`, so it can be
filtered out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import Select

from annoy_store.config import Policy
from annoy_store.db.tables import io_pairs, pair_checks
from annoy_store.interfaces import (
    Answer,
    CheckResult,
    Outcome,
    Question,
    Row,
    Sandbox,
    Task,
    TaskOptions,
    rejected,
)
from annoy_store.parsing.final_answer import find_final_answer
from annoy_store.tasks import compare
from annoy_store.tasks.feedback import kept, no_answer, quoted
from annoy_store.tasks.pairs import pair_question, pair_truth, select_pairs
from annoy_store.tasks.shown_values import CALL

RIGHT = "Correct: the code returns exactly this output."
NEAR = "Correct within the tolerance: the code returns {}."


REVEALING = (CALL,)  # the values of `shown` of pairs whose output stands in the question


class PredictOutputOptions(TaskOptions):
    """The policies of this task."""

    template: str = "predict_output"


def select_inputs(policy: Policy) -> Select[Any]:
    """Select the pairs whose output does not stand in the question."""
    return select_pairs(policy, revealing=REVEALING)


def render(row: Row, policy: Policy) -> Question | Outcome:
    """Ask for the output of a pair's input, unless it stands in the question."""
    return rejected("answer_shown") if row["answer_shown"] else pair_question(row, "input")


def check(
    answer: Answer, truth: Row, sandbox: Callable[[], Sandbox], policy: Policy
) -> CheckResult:
    """Judge a predicted output: `correct`, `wrong` or `no_answer`. Opens no sandbox."""
    found = find_final_answer(answer.text, "output")
    if found is None:
        return no_answer("output", answer)
    rule = (policy.tolerance, policy.same_integer_part)
    expected = json.loads(truth["output"])
    kind = compare.mismatch(expected, found.value, *rule)
    if kind is None:
        equal = compare.same(expected, found.value, tolerance=0.0)
        feedback = RIGHT if equal else NEAR.format(quoted(truth["output"]))
        return CheckResult("correct", feedback, predicted=kept(found.text))
    feedback = (
        f"The predicted output is {quoted(found.text)} but the code returns something else "
        "for the given input."
    )
    return CheckResult("wrong", feedback, mismatch=kind, predicted=kept(found.text))


TASK = Task(
    name="predict_output",
    title="predict the output",
    subject=io_pairs,
    trigger=pair_checks.c.id,
    select=select_inputs,
    render=render,
    truth=pair_truth,
    check=check,
    options=PredictOutputOptions,
    rescan_on=("pairs_per_sample",),
    by_default=True,
    legacy_options={"template": "template_predict_output"},
    revealing=REVEALING,
)
