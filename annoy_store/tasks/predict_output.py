"""predict_output: does the predicted output equal what the code gave?

Decisions. Nothing is run: the pair was made and checked before. An answer found in a text that was
cut off counts like any other; the response keeps its `finish_reason`, by which it can be left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from annoy_store.config import Policy
from annoy_store.interfaces import CheckResult, Program, Sandbox
from annoy_store.parsing import final_answer
from annoy_store.tasks import compare
from annoy_store.tasks.feedback import kept, no_answer, quoted

VERSION: int = 1

RIGHT = "Correct: the code returns exactly this output."


def check(
    answer_text: str,
    finish_reason: str,
    pair_input_json: str,
    pair_output_json: str,
    program: Program,
    sandbox: Callable[[], Sandbox],
    policy: Policy,
) -> CheckResult:
    """Judge a predicted output: `correct`, `wrong` or `no_answer`. Opens no sandbox."""
    found = final_answer.find_final_answer(answer_text, "output")
    if found is None:
        return no_answer("output", finish_reason)
    rule = (policy.tolerance, policy.same_integer_part)
    kind = compare.mismatch(json.loads(pair_output_json), found.value, *rule)
    if kind is None:
        return CheckResult("correct", RIGHT, predicted=kept(found.text))
    feedback = (
        f"The predicted output is {quoted(found.text)} but the code returns something else "
        "for the given input."
    )
    return CheckResult("wrong", feedback, mismatch=kind, predicted=kept(found.text))
