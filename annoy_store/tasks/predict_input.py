"""predict_input: which input makes the code return this output?

Decisions. Any input that gives the output is correct, so the code is run: also with the stored input,
whose keys may be in another order. What was run before under the same conditions is not run again
(known_runs.py): the verdict then names that execution. The outcome
of the sandbox is the status, with three exceptions: `exit`, `no_result` and `bad_frame` all mean
that the code ended without a valid result, and become `crash`; a module that is missing during the
call is an `exception` like any other; a module that is missing when the code is loaded, with the
stored input too, is a fault of this machine and raises SandboxError, for the code ran when its
pairs were made; with the predicted input alone it is a report that the answer forged. A pair with the output of an earlier pair of its sample is not
asked about: the question would be the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import Select, literal, select

from annoy_store.config import Policy
from annoy_store.db.tables import io_pairs, pair_checks
from annoy_store.errors import SandboxError
from annoy_store.interfaces import (
    Answer,
    CheckResult,
    ExecutionResult,
    Outcome,
    Program,
    Question,
    Row,
    Sandbox,
    Task,
    TaskOptions,
    rejected,
)
from annoy_store.parsing import json_values
from annoy_store.parsing.final_answer import find_final_answer
from annoy_store.parsing.json_values import JsonValue
from annoy_store.records.executions import call_limits
from annoy_store.tasks import compare
from annoy_store.tasks.feedback import kept, no_answer, quoted, what_happened
from annoy_store.tasks.known_runs import find_known_run, known_runs
from annoy_store.tasks.pairs import askable_earlier, pair_question, pair_truth, select_pairs
from annoy_store.tasks.shown_values import CALL, INPUT

RIGHT = "Correct: with this input the code returns the given output."
NEAR = "Correct within the tolerance: with this input the code returns {}."

REVEALING = (CALL, INPUT)  # the values of `shown` of pairs whose input stands in the question

STATUSES = {
    "exception": "exception",
    "bad_args": "bad_args",
    "missing_module": "exception",
    "cpu_timeout": "cpu_timeout",
    "wall_timeout": "wall_timeout",
    "memory": "memory",
    "output_too_large": "output_too_large",
    "not_json": "not_json",
}


class PredictInputOptions(TaskOptions):
    """The policies of this task."""

    template: str = "predict_input"


def select_outputs(policy: Policy) -> Select[Any]:
    """Select the pairs to ask about; `same_output` marks those that repeat an earlier output."""
    earlier, is_askable = askable_earlier(REVEALING)
    same_output = (
        select(literal(1))
        .select_from(earlier)
        .where(is_askable, earlier.c.earlier_output == io_pairs.c.output)
        .correlate(io_pairs)
        .exists()
    )
    return select_pairs(policy, same_output.label("same_output"), revealing=REVEALING)


def render(row: Row, policy: Policy) -> Question | Outcome:
    """Ask for an input that gives a pair's output, unless it is shown or an earlier pair asks."""
    if row["answer_shown"]:
        return rejected("answer_shown")
    return rejected("same_prompt") if row["same_output"] else pair_question(row, "output")


def check(
    answer: Answer, truth: Row, sandbox: Callable[[], Sandbox], policy: Policy
) -> CheckResult:
    """Judge a predicted input by running the code with it. Raises SandboxError."""
    found = find_final_answer(answer.text, "input")
    if found is None:
        return no_answer("input", answer)
    predicted = kept(found.text)
    if not isinstance(found.value, dict):
        feedback = (
            f"The predicted input is {quoted(found.text)} but it has to be a JSON object "
            "that gives every argument by its name."
        )
        return CheckResult("bad_args", feedback, predicted=predicted)
    stored = find_known_run(truth.get("known_runs"), found.text, sandbox)
    if stored is not None:
        repeated = ExecutionResult("ok", found.text, stored.output)
        result = _compare(repeated, stored.output, predicted, truth["output"], policy)
        return replace(result, execution=None, execution_id=stored.execution_id)
    program = Program(truth["code"], truth["funcname"])
    [ran] = sandbox().call(program, [found.text], call_limits(policy))
    if ran.outcome == "missing_module" and ran.phase == "load":
        [known] = sandbox().call(program, [truth["input"]], call_limits(policy))
        if known.outcome == "missing_module":
            raise SandboxError(f"module {known.missing_module} is missing on this machine")
    if ran.outcome != "ok" or ran.output is None:
        return _no_output(STATUSES.get(ran.outcome, "crash"), ran, predicted, policy)
    return _compare(ran, ran.output, predicted, truth["output"], policy)


def _no_output(
    status: str, ran: ExecutionResult, predicted: str | None, policy: Policy
) -> CheckResult:
    feedback = f"With the predicted input the code {what_happened(ran, policy)}."
    return CheckResult(status, feedback, predicted=predicted, execution=ran)


def _compare(
    ran: ExecutionResult, output: str, predicted: str | None, expected: str, policy: Policy
) -> CheckResult:
    got = _value(output)
    if got is None:
        return _no_output("not_json", replace(ran, outcome="not_json"), predicted, policy)
    rule = (policy.tolerance, policy.same_integer_part)
    wanted = json.loads(expected)
    kind = compare.mismatch(wanted, got.value, *rule)
    if kind is None:
        equal = compare.same(wanted, got.value, tolerance=0.0)
        feedback = RIGHT if equal else NEAR.format(quoted(output))
        return CheckResult("correct", feedback, None, predicted, kept(output), ran)
    feedback = (
        f"With the predicted input the code returns {quoted(output)} and not the given output."
    )
    return CheckResult("wrong", feedback, kind, predicted, kept(output), ran)


def _value(output: str) -> JsonValue | None:
    """Parse what untrusted code returned; None if it is nested too deeply or has a huge number."""
    try:
        return json_values.parse_value(output)
    except json_values.UnsupportedValue:
        return None


TASK = Task(
    name="predict_input",
    title="predict an input",
    subject=io_pairs,
    trigger=pair_checks.c.id,
    select=select_outputs,
    render=render,
    truth=pair_truth,
    check=check,
    options=PredictInputOptions,
    rescan_on=("pairs_per_sample",),
    by_default=True,
    legacy_options={"template": "template_predict_input"},
    known_runs=known_runs,
    revealing=REVEALING,
)
