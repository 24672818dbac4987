"""A teacher without a model: reads the prompts and answers by rules, with code traced step by step.

Decisions. It does not pretend to be a model: its rows say backend `tracer`, its answers tell what
it did, and where its budget of executed lines ends it says so and extrapolates, which may be wrong.
A later turn has a larger budget. Budgets count lines and attempts, never time, and every seed is
derived from the messages, so the same request always gets the same text. Foreign code is read here
and executed in the sandbox only.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from annoy_store.config import RunSettings
from annoy_store.errors import UsageError, unknown_name
from annoy_store.hashing import derive_seed
from annoy_store.inference.backends.tracer.input_answer import SearchBudget, write_input_answer
from annoy_store.inference.backends.tracer.output_answer import write_output_answer
from annoy_store.inference.backends.tracer.transform_answer import write_transform_answer
from annoy_store.interfaces import (
    Attempt,
    CallResult,
    Completion,
    Request,
    Sandbox,
    TeacherIdentity,
)
from annoy_store.prompts.template import extract_values

RULES = "rules-1"
NO_CODE_ANSWER = "No suitable function\nI find no code in this message.\n"
LINE_BUDGETS = (60, 350)  # executed lines followed in the first turn, and in later ones
SEARCH_BUDGETS = (SearchBudget(20, 12, 0, 400), SearchBudget(150, 150, 500, 2_000))
_GIVEN_INPUT = re.compile(r'^\{"input": (.*)\}$', re.MULTILINE)
_GIVEN_OUTPUT = re.compile(r'^\{"output": (.*)\}$', re.MULTILINE)


def connect(
    settings: RunSettings, model: str | None = None, sandbox: Callable[[], Sandbox] | None = None
) -> Tracer:
    """Return the rule-based teacher.

    Args:
        settings: Settings of the sandbox that it opens if it gets none.
        model: None or `rules-1`.
        sandbox: Returns the sandbox to use; default: one of its own, opened when needed.

    Raises:
        UsageError: There is no such set of rules.
    """
    if model not in (None, RULES):
        raise UsageError(f"the tracer: {unknown_name('model', model, [RULES])}")
    return Tracer(settings, sandbox)


class Tracer:
    """Answers all three kinds of request by rules."""

    def __init__(self, settings: RunSettings, sandbox: Callable[[], Sandbox] | None) -> None:
        """Create the teacher; see `connect`."""
        self.identity = TeacherIdentity("tracer", RULES, parameters=_parameters())
        self._settings = settings
        self._shared = sandbox
        self._own: Sandbox | None = None
        self._opening = threading.Lock()

    @property
    def capacity(self) -> int:
        """Return how many calls are worth having in progress: the slots of the sandbox."""
        return self._settings.slots or os.cpu_count() or 1

    def use_sandbox(self, sandbox: Callable[[], Sandbox]) -> None:
        """Use this sandbox, usually the worker's, instead of one of its own."""
        self._shared = sandbox

    async def ask(self, request: Request) -> CallResult:
        """Answer one call.

        Raises:
            SandboxError: The sandbox failed.
        """
        started, start = datetime.now(UTC).isoformat(timespec="milliseconds"), time.monotonic()
        text = await asyncio.to_thread(self._text, request)
        attempt = Attempt("ok", started, (time.monotonic() - start) * 1000, model=RULES)
        return CallResult("answered", (attempt,), Completion(text, model=RULES))

    def drain(self) -> None:
        """Do nothing: calls in progress end by themselves."""

    async def close(self) -> None:
        """Close the sandbox if it is the teacher's own."""
        own, self._own = self._own, None
        if own is not None:
            await asyncio.to_thread(own.close)

    def _sandbox(self) -> Sandbox:
        if self._shared is not None:
            return self._shared()
        with self._opening:
            if self._own is None:
                self._own = _open(self._settings)
            return self._own

    def _text(self, request: Request) -> str:
        values = extract_values(request.messages)
        if "code" not in values:
            return NO_CODE_ANSWER
        if request.kind == "transform":
            return write_transform_answer(values["code"])
        turn = sum(message["role"] == "assistant" for message in request.messages) + 1
        later, answer = int(turn > 1), values.get(f"answer_{turn - 1}", "")
        if request.kind == "predict_output":
            wrong_answer = _last_match(_GIVEN_OUTPUT, answer)
            text = write_output_answer(self._sandbox(), values, LINE_BUDGETS[later], wrong_answer)
        else:
            wrong_answer = _last_match(_GIVEN_INPUT, answer)
            search_seed = derive_seed(turn, request.sample_no)
            text = write_input_answer(
                self._sandbox(), values, SEARCH_BUDGETS[later], search_seed, wrong_answer
            )
        return _quoted_feedback(values.get(f"feedback_{turn - 1}")) + text


def _open(settings: RunSettings) -> Sandbox:
    from annoy_store.sandbox import open_sandbox  # starts processes; transform needs none

    return open_sandbox(
        slots=settings.slots,
        python=settings.python,
        unsafe=settings.unsafe_no_sandbox,
        allow_subprocess=settings.allow_subprocess,
    )


def _parameters() -> dict[str, object]:
    efforts = [
        [effort.built, effort.drawn, effort.varied, effort.lines] for effort in SEARCH_BUDGETS
    ]
    return {"lines": list(LINE_BUDGETS), "efforts": efforts}


def _quoted_feedback(feedback: str | None) -> str:
    """Quote the feedback on the last answer, if there is any."""
    if not feedback:
        return ""
    quoted = "\n".join(f"> {line}" for line in feedback[:600].split("\n"))
    return f"I was told:\n\n{quoted}\n\n"


def _last_match(rule: re.Pattern[str], text: str) -> str | None:
    matches = rule.findall(text)
    return matches[-1] if matches else None
