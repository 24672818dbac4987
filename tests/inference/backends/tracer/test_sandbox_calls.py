"""Reports of the programs that run beside untrusted code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from annoy_store.inference.backends.tracer import sandbox_calls
from annoy_store.interfaces import ExecutionResult, Limits, Program

WHOLE = {
    "tried": 2,
    "hit": False,
    "exact": False,
    "nearest": [{"input": '{"n": 1}', "outcome": "ok", "output": "3"}],
    "outcomes": {"ok": 2},
}


class Told:
    """A sandbox that reports one value."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def call(self, _: Program, __: Sequence[str], ___: Limits) -> list[ExecutionResult]:
        return [ExecutionResult("ok", output=json.dumps(self.value))]


def test_try_inputs_returns_a_whole_report() -> None:
    report = sandbox_calls.try_inputs(Told(WHOLE))  # type: ignore[arg-type]
    assert (report.tried, report.nearest[0].input) == (2, '{"n": 1}')


@pytest.mark.parametrize(
    "forged",
    [
        {"tried": "2"},
        {"tried": True},
        {"hit": 1},
        {"outcomes": ["ok"]},
        {"outcomes": {"ok": "2"}},
        {"nearest": [{"input": 5, "outcome": "ok", "output": "3"}]},
        {"nearest": [{"input": "[1]", "outcome": "ok", "output": "3"}]},
        {"nearest": [{"input": "{", "outcome": "ok", "output": "3"}]},
        {"nearest": [{"input": "{}", "outcome": None, "output": "3"}]},
        {"nearest": {"input": "{}"}},
        {"more": 1},
    ],
)
def test_try_inputs_takes_a_forged_report_for_none(forged: dict[str, Any]) -> None:
    report = sandbox_calls.try_inputs(Told(WHOLE | forged))  # type: ignore[arg-type]
    assert report == sandbox_calls.SearchReport()
