"""Runs the tracing and the search program inside the sandbox, and validates their reports.

The two programs are files of this folder that are read as text and never imported; the code under
study is part of their input. Their reports come out of the sandbox, so they are treated as data
only: a report without the expected form counts as none.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from annoy_store.hashing import compact_json
from annoy_store.interfaces import Limits, Program, Sandbox

_LIMITS = Limits(cpu_seconds=10.0, wall_seconds=30.0, output_bytes=1_048_576)


@dataclass(frozen=True)
class TraceReport:
    """What tracing the code line by line showed; the fields are the keys of the report.

    Attributes:
        end: `returned`, `raised`, `spent` (the budget) or `lost` (the sandbox stopped it).
        value: JSON text of the result, if it returned.
        error: Class of the exception, if it raised.
        lines: How many lines were executed.
        events: Calls, lines, returns and exceptions, in order.
        dropped: How many events were left out.
        stack: What each open function knew when the budget was spent, outermost first.
    """

    end: str
    value: str | None = None
    error: str | None = None
    lines: int = 0
    events: Sequence[Sequence[Any]] = ()
    dropped: int = 0
    stack: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class TriedInput:
    """One input that was tried: JSON texts of both sides; `outcome` is `ok` or what went wrong."""

    input: str
    outcome: str
    output: str


@dataclass(frozen=True)
class SearchReport:
    """What trying inputs showed; the fields are the keys of the report.

    Attributes:
        tried: How many inputs were tried.
        hit: Whether the last one gives the wanted output, within the tolerance.
        exact: Whether it gives exactly this output.
        nearest: The inputs whose outputs are nearest, best first.
        outcomes: How many inputs had each outcome.
    """

    tried: int = 0
    hit: bool = False
    exact: bool = False
    nearest: Sequence[TriedInput] = ()
    outcomes: Mapping[str, int] = field(default_factory=dict)


@functools.cache
def _program(name: str) -> Program:
    folder = importlib.resources.files(__package__)
    return Program(folder.joinpath(f"{name}.py").read_text("utf-8"))


def trace_execution(sandbox: Sandbox, code: str, arguments: Any, budget: int) -> TraceReport:
    """Trace `main_solution(**arguments)` line by line.

    Args:
        sandbox: Where the code runs.
        code: The reference code.
        arguments: The keyword arguments.
        budget: How many lines to follow at most.

    Raises:
        SandboxError: The sandbox failed.
    """
    told = _run(
        sandbox, "sandbox_stepper", {"code": code, "arguments": arguments, "budget": budget}
    )
    has_form = (
        _is_json(told.get("value"))
        and isinstance(told.get("lines"), int)
        and isinstance(told.get("events"), list)
        and isinstance(told.get("stack"), list)
    )
    return TraceReport(**told) if has_form and told.keys() == _FIELDS else TraceReport("lost")


_FIELDS = {field.name for field in fields(TraceReport)}


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: It is no JSON, or has NaN or infinities.
    """
    try:
        return json.loads(text, parse_constant=_reject)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _is_json(text: Any) -> bool:
    """Return whether this is None or a JSON text."""
    try:
        return text is None or (parse_json(text), True)[1]
    except (ValueError, TypeError):
        return False


def _reject(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def try_inputs(sandbox: Sandbox, **arguments: Any) -> SearchReport:
    """Try inputs on the code.

    Args:
        sandbox: Where the code runs.
        **arguments: Those of `sandbox_prober.main_solution`.

    Raises:
        SandboxError: The sandbox failed.
    """
    told = _run(sandbox, "sandbox_prober", arguments)
    try:
        nearest = tuple(TriedInput(**row) for row in told.pop("nearest"))
        report = SearchReport(nearest=nearest, **told)
        return report if _has_form(report) else SearchReport()
    except (TypeError, KeyError, AttributeError):
        return SearchReport()


def _has_form(report: SearchReport) -> bool:
    """Return whether each field of a report is of its type, and each input a JSON object."""
    texts = [text for row in report.nearest for text in (row.input, row.outcome, row.output)]
    return (
        all(isinstance(text, str) for text in texts)
        and all(_is_json(row.input) and row.input.startswith("{") for row in report.nearest)
        and all(isinstance(flag, bool) for flag in (report.hit, report.exact))
        and isinstance(report.outcomes, dict)
        and all(type(n) is int and n >= 0 for n in (report.tried, *report.outcomes.values()))
    )


def _run(sandbox: Sandbox, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    (ran,) = sandbox.call(_program(name), [compact_json(arguments)], _LIMITS)
    if ran.outcome != "ok" or ran.output is None:
        return {}
    told = json.loads(ran.output)
    return told if isinstance(told, dict) else {}
