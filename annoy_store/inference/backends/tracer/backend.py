"""A teacher that is no model: it reads the prompts and answers by rules, with code run step by step.

Decisions. It is honest about what it is: its rows say backend `tracer`, its words tell what it
did, and where its budget of executed lines ends it says so and extrapolates, which may be wrong.
A later turn has the larger budget. Budgets count lines and tries, never time, and every seed comes
from the messages, so the same request always gets the same text. Foreign code is read here and
executed in the sandbox only.
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
from annoy_store.errors import UsageError
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
    """Return the rule-based teacher; it opens a sandbox of its own unless one is handed in.

    Raises UsageError for a model that is no set of rules.
    """
    if model not in (None, RULES):
        raise UsageError(f"the tracer has no model {model!r}; its rules are called {RULES}")
    return Tracer(settings, sandbox)


class Tracer:
    """Answers all three kinds of request by rules."""

    def __init__(self, settings: RunSettings, sandbox: Callable[[], Sandbox] | None) -> None:
        self.identity = TeacherIdentity("tracer", RULES, parameters=_parameters())
        self._settings = settings
        self._shared = sandbox
        self._own: Sandbox | None = None
        self._opening = threading.Lock()

    @property
    def capacity(self) -> int:
        """Return how many calls it is worth having in flight: the slots of the sandbox."""
        return self._settings.slots or os.cpu_count() or 1

    def use_sandbox(self, sandbox: Callable[[], Sandbox]) -> None:
        """Use the sandbox of the worker instead of one of our own."""
        self._shared = sandbox

    async def ask(self, request: Request) -> CallResult:
        """Answer one call. Raises SandboxError."""
        started, clock = datetime.now(UTC).isoformat(timespec="milliseconds"), time.monotonic()
        text = await asyncio.to_thread(self._text, request)
        attempt = Attempt("ok", started, (time.monotonic() - clock) * 1000, model=RULES)
        return CallResult("answered", (attempt,), Completion(text, model=RULES))

    def drain(self) -> None:
        """What is asked comes to its end by itself."""

    async def close(self) -> None:
        """Close the sandbox if it is our own."""
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
        found = extract_values(request.messages)
        if "code" not in found:
            return NO_CODE_ANSWER
        if request.kind == "transform":
            return write_transform_answer(found["code"])
        turn = sum(message["role"] == "assistant" for message in request.messages) + 1
        late, said = int(turn > 1), found.get(f"answer_{turn - 1}", "")
        if request.kind == "predict_output":
            refused = _last(_GIVEN_OUTPUT, said)
            text = write_output_answer(self._sandbox(), found, LINE_BUDGETS[late], refused)
        else:
            refused = _last(_GIVEN_INPUT, said)
            number = derive_seed(turn, request.sample_no)
            text = write_input_answer(self._sandbox(), found, SEARCH_BUDGETS[late], number, refused)
        return _heard(found.get(f"feedback_{turn - 1}")) + text


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


def _heard(feedback: str | None) -> str:
    """Repeat what was said about the last answer, if anything was."""
    if not feedback:
        return ""
    quoted = "\n".join(f"> {line}" for line in feedback[:600].split("\n"))
    return f"I was told:\n\n{quoted}\n\n"


def _last(rule: re.Pattern[str], text: str) -> str | None:
    found = rule.findall(text)
    return found[-1] if found else None
