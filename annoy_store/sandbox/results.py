"""Turns what a zygote sends into execution results; process state outranks the child's own report.

Decisions, in the order in which they apply
- The ceiling, and a SIGKILL that nobody here sent, raise ZygoteError; they are never an outcome.
- Measured CPU time over the limit is `cpu_timeout`, whatever the child reported.
- A report counts only if the child exited with status 0. Its content is untrusted and validated.
  What is not a valid report is `bad_frame`; none at all is `no_result`.
- An output is parsed and serialised again, so that only JSON written by this module is stored.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn

from annoy_store.hashing import LossyJson, clean_text, exact_json, unique_keys
from annoy_store.interfaces import ExecutionResult, Limits
from annoy_store.sandbox.zygote import ZygoteError, ZygoteReply

REPORTED_OUTCOMES = {"ok", "exception", "bad_args", "missing_module", "exit", "memory", "not_json"}
REPORTED_OUTCOMES |= {"output_too_large", "repeated"}
PHASES = {"load", "generate", "call", "result"}
MAX_DEPTH = 200
MAX_MESSAGE_CHARS = 500


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
        result = _from_report(reply, limits)
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


def _from_report(reply: ZygoteReply, limits: Limits) -> ExecutionResult:
    try:
        report = json.loads(reply.payload)
    except (ValueError, RecursionError) as error:
        raise MalformedReport("the report is not JSON") from error
    if not isinstance(report, dict):
        raise MalformedReport("the report is not an object")
    if "trouble" in report:
        raise ZygoteError(str(report["trouble"]))
    outcome, phase = report.get("outcome"), report.get("phase")
    if outcome not in REPORTED_OUTCOMES or phase not in PHASES:
        raise MalformedReport("the report has no outcome")
    result = _result_fields(report, outcome, phase)
    return _with_output(result, report, limits) if outcome == "ok" else result


def _result_fields(report: Mapping[str, Any], outcome: str, phase: str) -> ExecutionResult:
    error_type, message = _text(report, "type"), _text(report, "message")
    lines = report.get("lines")
    if not (lines is None or (isinstance(lines, int) and lines >= 0)):
        raise MalformedReport("the report counts lines oddly")
    drawn = _text(report, "input")
    return ExecutionResult(
        outcome,
        input=None if drawn is None else _drawn_input(drawn),
        error_type=None if error_type is None else clean_text(error_type)[:100],
        error_message=None if message is None else clean_text(message)[:MAX_MESSAGE_CHARS],
        missing_module=_text(report, "module"),
        phase=None if outcome == "ok" else phase,
        lines=lines,
        mutated=report.get("mutated") is True,
    )


def _with_output(
    result: ExecutionResult, report: Mapping[str, Any], limits: Limits
) -> ExecutionResult:
    output = _text(report, "output")
    if output is None:
        raise MalformedReport("the report has no output")
    try:
        text = normalise_json(output)
    except NotSerializable as error:
        refused = replace(result, outcome="not_json", phase="result")
        return replace(refused, error_type=error.error_type, error_message=str(error))
    if len(text.encode()) > limits.output_bytes:
        return replace(result, outcome="output_too_large", phase="result")
    return replace(result, output=text)


def _drawn_input(text: str) -> str:
    try:
        return normalise_json(text)
    except NotSerializable as error:
        raise MalformedReport("the report's input is not JSON") from error


def _text(report: Mapping[str, Any], key: str) -> str | None:
    value = report.get(key)
    if not (value is None or isinstance(value, str)):
        raise MalformedReport(f"the report's {key} is no text")
    return value


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
