"""Turns what a zygote sends into execution results; process state outranks the child's own report.

Decisions, in the order in which they apply
- A child that starved until the ceiling, and a SIGKILL that nobody here sent, raise ZygoteError;
  they are never an outcome.
- Measured CPU time over the limit is `cpu_timeout`, whatever the child reported.
- A report counts only if the child exited with status 0. Its content is untrusted: every field has
  a type and a bound, and there is no other way for a word of the child into the store. A report
  that does not fit is `bad_frame`; none at all is `no_result`.
- Only the zygote can say that the sandbox failed, never a report.
- An output is parsed and serialised again, so that only JSON written by this module is stored.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NoReturn

from annoy_store.hashing import LossyJson, clean_text, exact_json, unique_keys
from annoy_store.interfaces import ExecutionResult, Limits
from annoy_store.sandbox.zygote import ZygoteError, ZygoteReply

REPORTED_OUTCOMES = {"ok", "exception", "bad_args", "missing_module", "exit", "memory", "not_json"}
REPORTED_OUTCOMES |= {"output_too_large", "repeated", "drawn"}
PHASES = {"load", "generate", "call", "result"}
MAX_DEPTH = 200
MAX_MESSAGE_CHARS, MAX_NAME_CHARS = 500, 100


class MalformedReport(Exception):
    """A report that the runner never writes."""


class NotSerializable(Exception):
    """A JSON text that cannot be stored; `error_type` is the class of the problem."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


def to_result(
    reply: ZygoteReply, input_text: str | None, limits: Limits, kill_blocked: bool
) -> ExecutionResult:
    """Convert the reply of a zygote into the result of one call.

    Args:
        reply: Process state from the zygote and the report of the child.
        input_text: JSON text of the input of a call; None for a draw, which reports its input.
        limits: The limits under which the call ran.
        kill_blocked: Whether the code cannot have sent SIGKILL to itself.

    Raises:
        ZygoteError: The sandbox failed, so nothing is known about the code.
    """
    state = reply.header
    used = {"cpu_ms": state["cpu"] * 1e3, "wall_ms": state["wall"] * 1e3, "input": input_text}
    forced = _from_process_state(state, limits, kill_blocked)
    if forced is not None:
        return replace(forced, **used)
    try:
        result = _from_report(reply, limits, input_text is None)
    except MalformedReport as error:
        result = ExecutionResult("bad_frame", error_message=str(error), input=input_text)
    return replace(result, **{**used, "input": result.input if input_text is None else input_text})


def _from_process_state(
    state: Mapping[str, Any], limits: Limits, kill_blocked: bool
) -> ExecutionResult | None:
    """Return the outcome that follows from the process state alone, if one does."""
    killed, status = state.get("killed"), state["status"]
    if killed == "ceiling":
        raise ZygoteError(f"a call was not done after {limits.ceiling_seconds:g} s")
    if killed == "cpu" or state["cpu"] >= limits.cpu_seconds:
        return ExecutionResult(
            "cpu_timeout", error_message=f"used {limits.cpu_seconds:g} s of CPU time"
        )
    if killed == "wall":
        return ExecutionResult("wall_timeout", error_message=f"slept for {limits.wall_seconds:g} s")
    if killed == "asleep":
        message = f"was not done after {limits.ceiling_seconds:g} s, for it slept"
        return ExecutionResult("wall_timeout", error_message=message)
    if killed == "flood":
        return ExecutionResult("bad_frame", error_message="wrote to a pipe that is not its own")
    if killed != "late" and status < 0:
        return _crash(-status, kill_blocked)
    if not state["framed"] or status > 0:
        silent = state["silent"]
        message = "ended without a result" if silent else "wrote to a pipe that is not its own"
        return ExecutionResult("no_result" if silent else "bad_frame", error_message=message)
    return None


def _crash(number: int, kill_blocked: bool) -> ExecutionResult:
    if number == signal.SIGKILL and kill_blocked:
        raise ZygoteError("a call was killed from outside (out of memory?)")
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return ExecutionResult("crash", error_type=name, error_message=f"killed by {name}")


def _from_report(reply: ZygoteReply, limits: Limits, is_draw: bool) -> ExecutionResult:
    """Return what a report says. Raises MalformedReport."""
    report = _read_report(reply.payload, limits, is_draw)
    outcome = report["outcome"]
    result = ExecutionResult(
        outcome,
        error_type=report.get("type"),
        error_message=_cleaned(report.get("message")),
        missing_module=report.get("module"),
        phase=None if outcome == "ok" else report["phase"],
        lines=report.get("lines"),
        mutated=report.get("mutated", False),
    )
    try:
        if "input" in report:
            result = replace(result, input=_drawn_input(report["input"]))
    except NotSerializable as error:
        return _not_json(ExecutionResult("not_json"), error, "generate")
    if outcome != "ok":
        return result
    try:
        return replace(result, output=normalise_json(report["output"]))
    except NotSerializable as error:
        return _not_json(result, error, "result")


def _read_report(payload: bytes, limits: Limits, is_draw: bool) -> dict[str, Any]:
    """Return a report whose fields are all known and all fit. Raises MalformedReport."""
    try:
        report = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise MalformedReport("the report is not JSON") from error
    if not isinstance(report, dict):
        raise MalformedReport("the report is not an object")
    if not report.keys() <= _FIELDS.keys():
        raise MalformedReport("the report has a field that no report has")
    for name, value in report.items():
        if not _FIELDS[name](value, limits):
            raise MalformedReport(f"the report's {name} does not fit")
    outcome = str(report.get("outcome"))
    required = {"outcome", "phase", *_REQUIRED.get(outcome, ())}
    if is_draw and (outcome == "ok" or report.get("phase") in {"call", "result"}):
        required.add("input")
    if not required <= report.keys():
        raise MalformedReport(f"the report has no {min(required - report.keys())}")
    for name, wanted in (("module", outcome == "missing_module"), ("input", is_draw)):
        if name in report and not wanted:
            raise MalformedReport(f"the report has an unexpected {name}")
    return report


def _is_text(value: Any, most: int) -> bool:
    return isinstance(value, str) and len(value) <= most


def _is_json_text(value: Any, limits: Limits) -> bool:
    return isinstance(value, str) and len(value.encode(errors="replace")) <= limits.output_bytes


def _is_name(value: Any, _: Limits) -> bool:
    return value is None or (_is_text(value, MAX_NAME_CHARS) and value.isprintable())


# The bound of each field of a report; `runner.attempt` writes no other and nothing beyond it.
_FIELDS: Mapping[str, Callable[[Any, Limits], bool]] = {
    "outcome": lambda value, _: isinstance(value, str) and value in REPORTED_OUTCOMES,
    "phase": lambda value, _: isinstance(value, str) and value in PHASES,
    "type": _is_name,
    "message": lambda value, _: _is_text(value, MAX_MESSAGE_CHARS),
    "module": lambda value, _: _is_text(value, MAX_NAME_CHARS) and value.isidentifier(),
    "input": _is_json_text,
    "output": _is_json_text,
    "lines": lambda value, limits: type(value) is int and 0 <= value <= limits.lines,
    "mutated": lambda value, _: isinstance(value, bool),
}
_REQUIRED = {
    "ok": ("output",),
    "missing_module": ("module",),
    "repeated": ("input",),
    "drawn": ("input",),
}


def _cleaned(message: str | None) -> str | None:
    return None if message is None else clean_text(message)


def _not_json(result: ExecutionResult, error: NotSerializable, phase: str) -> ExecutionResult:
    refused = replace(result, outcome="not_json", phase=phase)
    return replace(refused, error_type=error.error_type, error_message=str(error))


def _drawn_input(text: str) -> str:
    """Return a drawn input as it is stored. Raises NotSerializable, MalformedReport."""
    normal = normalise_json(text)
    if not normal.startswith("{"):
        raise MalformedReport("the report's input is not an object")
    return normal


def normalise_json(text: str) -> str:
    """Return a JSON text as `hashing.exact_json` writes it.

    Raises:
        NotSerializable: It is no JSON, not finite, nested too deeply, or would lose a part.
    """
    try:
        return exact_json(parse_json(text))
    except LossyJson as error:
        raise NotSerializable("LossyJson", str(error)) from error
    except ValueError as error:  # 1e999 is read as infinity
        raise NotSerializable("NaN", str(error)) from error
    except RecursionError as error:
        raise NotSerializable("RecursionError", "nested too deeply") from error


def parse_json(text: str) -> Any:
    """Return the value of a JSON text with finite numbers and at most `MAX_DEPTH` levels.

    Raises:
        NotSerializable: It is no JSON, not finite, nested too deeply, or has keys that collide.
    """
    try:
        value = json.loads(text, parse_constant=_reject_constant, object_pairs_hook=unique_keys)
    except LossyJson as error:
        raise NotSerializable("LossyJson", str(error)) from error
    except RecursionError as error:
        raise NotSerializable("RecursionError", "nested too deeply") from error
    except ValueError as error:
        raise NotSerializable("ValueError", str(error)) from error
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise NotSerializable("RecursionError", f"nested more than {MAX_DEPTH} deep")
    return value


def _reject_constant(name: str) -> NoReturn:
    raise NotSerializable("NaN", f"{name} is not JSON")


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        inner = [v.values() if isinstance(v, dict) else v for v in level if _is_container(v)]
        level = [item for items in inner for item in items]
    return deepest


def _is_container(value: Any) -> bool:
    return isinstance(value, dict | list)
