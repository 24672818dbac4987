"""predict_input: does the code give the output for the predicted input?

Decisions. Any input that gives the output is right, so the code is run, always: also with the
stored input, whose keys may come in another order, and whose pair may not hold. An outcome of the
sandbox is the status, with three exceptions: `exit`, `no_result` and `bad_frame` are all the code
ending without an honest result and become `crash`; a module that goes missing during the call is
an `exception` of the code like any other; a module that is missing when the code is loaded cannot
be the answer's fault, for the code ran when its pairs were made, so it is trouble of this machine
and raises SandboxError.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from annoy_store.config import Policy
from annoy_store.errors import SandboxError
from annoy_store.interfaces import CheckResult, ExecutionResult, Program, Sandbox
from annoy_store.parsing import final_answer, json_values
from annoy_store.parsing.json_values import JsonValue
from annoy_store.records.executions import call_limits
from annoy_store.tasks import compare
from annoy_store.tasks.feedback import kept, no_answer, quoted, what_happened

VERSION: int = 1

RIGHT = "Correct: with this input the code returns the given output."

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


def check(
    answer_text: str,
    finish_reason: str,
    pair_input_json: str,
    pair_output_json: str,
    program: Program,
    sandbox: Callable[[], Sandbox],
    policy: Policy,
) -> CheckResult:
    """Judge a predicted input by running the code with it. Raises SandboxError."""
    found = final_answer.find_final_answer(answer_text, "input")
    if found is None:
        return no_answer("input", finish_reason)
    predicted = kept(found.text)
    if not isinstance(found.value, dict):
        feedback = (
            f"The predicted input is {quoted(found.text)} but it has to be a JSON object "
            "that gives every argument by its name."
        )
        return CheckResult("bad_args", feedback, predicted=predicted)
    [ran] = sandbox().call(program, [found.text], call_limits(policy))
    if ran.outcome == "missing_module" and ran.phase == "load":
        raise SandboxError(f"module {ran.missing_module} is missing on this machine")
    if ran.outcome != "ok" or ran.output is None:
        return _nothing(STATUSES.get(ran.outcome, "crash"), ran, predicted, policy)
    return _compared(ran, ran.output, predicted, pair_output_json, policy)


def _nothing(
    status: str, ran: ExecutionResult, predicted: str | None, policy: Policy
) -> CheckResult:
    feedback = f"With the predicted input the code {what_happened(ran, policy)}."
    return CheckResult(status, feedback, predicted=predicted, execution=ran)


def _compared(
    ran: ExecutionResult, output: str, predicted: str | None, wanted: str, policy: Policy
) -> CheckResult:
    got = _value(output)
    if got is None:
        return _nothing("not_json", replace(ran, outcome="not_json"), predicted, policy)
    rule = (policy.tolerance, policy.same_integer_part)
    kind = compare.mismatch(json.loads(wanted), got.value, *rule)
    if kind is None:
        return CheckResult("correct", RIGHT, None, predicted, kept(output), ran)
    feedback = (
        f"With the predicted input the code returns {quoted(output)} and not the given output."
    )
    return CheckResult("wrong", feedback, kind, predicted, kept(output), ran)


def _value(output: str) -> JsonValue | None:
    """Read what foreign code returned: it may be nested beyond reading, or a monstrous number."""
    try:
        return json_values.parse_value(output)
    except json_values.UnsupportedValue:
        return None
