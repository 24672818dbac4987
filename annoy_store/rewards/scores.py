"""Judges one answer as the stage `verify` does.

Decision: reasoning in the answer (`<think>` and its relatives) is separated first, as it is when a
response is stored: a value in a thought is no final answer.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from annoy_store.errors import SandboxError
from annoy_store.hashing import clean_text
from annoy_store.interfaces import Answer, CheckResult
from annoy_store.parsing.think_blocks import split_reasoning
from annoy_store.rewards.process_sandbox import process_sandbox
from annoy_store.rewards.truth import Truth, parse_truth

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Score:
    """The verdict about one answer.

    Attributes:
        score: 1.0 if the answer is correct, else 0.0.
        status: The status of a verdict, e.g. `correct`, `wrong`, `no_answer`, `cpu_timeout`.
        mismatch: How a wrong value differs, e.g. `type`, `length`; None if it does not apply.
        feedback: Sentences for a next turn; they never reveal the expected value.
    """

    score: float
    status: str
    mismatch: str | None
    feedback: str


def score(answer: str, truth: Mapping[str, Any] | str, *, finish_reason: str = "stop") -> Score:
    """Judge an answer against its ground truth.

    Thread-safe. Code runs in the sandbox of this process, which the first call opens.

    Args:
        answer: The text of the model, reasoning included.
        truth: The ground truth of the question, a mapping or its JSON text: `ground_truth` of the
            export format `rl`.
        finish_reason: Why the answer ended (`stop`, `length`, ..). It changes the feedback alone:
            an answer that holds a whole final answer is judged by it.

    Returns:
        The score.

    Raises:
        UsageError: The ground truth is not valid, or no isolation level works on this machine.
        SandboxError: The sandbox failed twice; this is no verdict about the answer.

    Example:
        >>> truth = {
        ...     "task": "predict_output",
        ...     "code": "def main_solution(n): return n + 1",
        ...     "funcname": "main_solution",
        ...     "input": '{"n": 1}',
        ...     "output": "2",
        ... }
        >>> score('So it is {"output": 2}', truth).score
        1.0
    """
    text, _ = split_reasoning(answer)
    result = _check(Answer(clean_text(text), finish_reason), parse_truth(truth))
    value = 1.0 if result.status == "correct" else 0.0
    return Score(value, result.status, result.mismatch, clean_text(result.feedback))


def _check(answer: Answer, truth: Truth) -> CheckResult:
    """Check an answer, once more where the sandbox failed."""
    try:
        return truth.task.check(answer, truth.row, process_sandbox.get, truth.policy)
    except SandboxError as error:
        logger.warning("the sandbox failed, and the answer is checked once more: %s", error)
        return truth.task.check(answer, truth.row, process_sandbox.get, truth.policy)
