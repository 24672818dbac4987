"""The judges of answers: one file per kind of question, named after the turn's kind.

Decisions. A checker decides on the host, from the text of the answer and from what the sandbox
reports. Trouble of the sandbox itself is no verdict: it raises SandboxError. A checker's `VERSION`
is part of its variant and is raised whenever its verdicts or sentences change; what it has from
`parsing` and `compare` is counted by their versions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from annoy_store.config import Policy
from annoy_store.errors import UsageError
from annoy_store.interfaces import CheckResult, Program, Sandbox
from annoy_store.parsing import sections
from annoy_store.tasks import compare, predict_input, predict_output


class Checker(Protocol):
    """What each file of this folder is."""

    VERSION: int

    def check(
        self,
        answer_text: str,
        finish_reason: str,
        pair_input_json: str,
        pair_output_json: str,
        program: Program,
        sandbox: Callable[[], Sandbox],
        policy: Policy,
    ) -> CheckResult:
        """Judge one answer to a question about one I/O pair. Raises SandboxError."""


CHECKERS: dict[str, Checker] = {
    "predict_output": predict_output,
    "predict_input": predict_input,
}


def named(kind: str) -> Checker:
    """Return the checker of turns of this kind. Raises UsageError if there is none."""
    if kind not in CHECKERS:
        raise UsageError(f"no checker for {kind!r}; there are {', '.join(sorted(CHECKERS))}")
    return CHECKERS[kind]


def version() -> str:
    """Return what the verdicts of all checkers depend on, besides the policy."""
    own = [f"{kind} {checker.VERSION}" for kind, checker in sorted(CHECKERS.items())]
    return ", ".join([*own, f"parsing {sections.VERSION}", f"matching {compare.VERSION}"])
