"""What a reply means: the host's judgement, made of the kernel's facts first.

Decisions, in the order in which they are asked
- The ceiling and a SIGKILL that nobody here sent are trouble, never an outcome.
- Measured CPU over the limit is `cpu_timeout`, whatever the child managed to say.
- A report counts only from a child that ended by itself with status 0; its words are checked
  like any stranger's. What is not a report is `bad_frame`; silence is `no_result`.
- An output is parsed and written again, so that what is stored is JSON of our own making.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn

from annoy_store.hashing import clean_text, compact_json
from annoy_store.interfaces import ExecutionResult, Limits
from annoy_store.sandbox.zygote import ZygoteError, ZygoteReply

REPORTED_OUTCOMES = {"ok", "exception", "bad_args", "missing_module", "exit", "memory", "not_json"}
REPORTED_OUTCOMES |= {"output_too_large", "repeated"}
PHASES = {"load", "generate", "call", "result"}
MAX_DEPTH = 200
MAX_MESSAGE_CHARS = 500


class MalformedReport(Exception):
    """A report that no runner writes."""


class NotSerializable(Exception):
    """A JSON text that cannot be kept; `kind` says why."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.error_type = kind


def to_result(
    reply: ZygoteReply, input_text: str | None, limits: Limits, kill_blocked: bool
) -> ExecutionResult:
    """Return what became of a task; `given` is its input if it was a call.

    `guarded` says that the code cannot have sent itself a SIGKILL. Raises Trouble.
    """
    head = reply.header
    used = {"cpu_ms": head["cpu"] * 1e3, "wall_ms": head["wall"] * 1e3, "input": input_text}
    ended = _by_force(head, limits, kill_blocked)
    if ended is not None:
        return replace(ended, **used)
    try:
        ran = _by_report(reply, limits)
    except MalformedReport as error:
        ran = ExecutionResult("bad_frame", error_message=str(error), input=input_text)
    return replace(ran, **{**used, "input": ran.input if input_text is None else input_text})


def _by_force(head: Mapping[str, Any], limits: Limits, guarded: bool) -> ExecutionResult | None:
    """Return the outcome that needs no word of the child, if there is one."""
    killed, status = head.get("killed"), head["status"]
    if killed == "ceiling":
        raise ZygoteError(f"a call was not done after {limits.ceiling_seconds:g} s")
    if killed == "cpu" or head["cpu"] >= limits.cpu_seconds:
        return ExecutionResult(
            "cpu_timeout", error_message=f"used {limits.cpu_seconds:g} s of CPU time"
        )
    if killed == "wall":
        return ExecutionResult("wall_timeout", error_message=f"slept for {limits.wall_seconds:g} s")
    if killed == "flood":
        return ExecutionResult("bad_frame", error_message="wrote to a pipe that is not its own")
    if killed != "late" and status < 0:
        return _crash(-status, guarded)
    if not head["framed"] or status > 0:
        silent = head["silent"]
        said = "ended without a result" if silent else "wrote to a pipe that is not its own"
        return ExecutionResult("no_result" if silent else "bad_frame", error_message=said)
    return None


def _crash(number: int, guarded: bool) -> ExecutionResult:
    if number == signal.SIGKILL and guarded:
        raise ZygoteError("a call was killed from outside (out of memory?)")
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return ExecutionResult("crash", error_type=name, error_message=f"killed by {name}")


def _by_report(reply: ZygoteReply, limits: Limits) -> ExecutionResult:
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
    ran = _worded(report, outcome, phase)
    return _with_output(ran, report, limits) if outcome == "ok" else ran


def _worded(report: Mapping[str, Any], outcome: str, phase: str) -> ExecutionResult:
    kind, message = _text(report, "type"), _text(report, "message")
    lines = report.get("lines")
    if not (lines is None or (isinstance(lines, int) and lines >= 0)):
        raise MalformedReport("the report counts lines oddly")
    drawn = _text(report, "input")
    return ExecutionResult(
        outcome,
        input=None if drawn is None else _object(drawn),
        error_type=None if kind is None else clean_text(kind)[:100],
        error_message=None if message is None else clean_text(message)[:MAX_MESSAGE_CHARS],
        missing_module=_text(report, "module"),
        phase=None if outcome == "ok" else phase,
        lines=lines,
        mutated=report.get("mutated") is True,
    )


def _with_output(
    ran: ExecutionResult, report: Mapping[str, Any], limits: Limits
) -> ExecutionResult:
    output = _text(report, "output")
    if output is None:
        raise MalformedReport("the report has no output")
    try:
        text = normalise_json(output)
    except NotSerializable as error:
        refused = replace(ran, outcome="not_json", phase="result")
        return replace(refused, error_type=error.error_type, error_message=str(error))
    if len(text.encode()) > limits.output_bytes:
        return replace(ran, outcome="output_too_large", phase="result")
    return replace(ran, output=text)


def _object(text: str) -> str:
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
    """Return a JSON text as `identity.compact` writes it. Raises Unfit."""
    try:
        return compact_json(parse_json(text))
    except ValueError as error:  # 1e999 is read as infinity
        raise NotSerializable("NaN", str(error)) from error
    except RecursionError as error:
        raise NotSerializable("RecursionError", "nested too deeply") from error


def parse_json(text: str) -> Any:
    """Return the value of a JSON text: finite numbers, not nested past all use. Raises Unfit."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise NotSerializable("RecursionError", "nested too deeply") from error
    except ValueError as error:
        raise NotSerializable("ValueError", str(error)) from error
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise NotSerializable("RecursionError", f"nested more than {MAX_DEPTH} deep")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise NotSerializable("NaN", f"{name} is not JSON")


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        inner = [v.values() if isinstance(v, dict) else v for v in level if _holds(v)]
        level = [item for items in inner for item in items]
    return deepest


def _holds(value: Any) -> bool:
    return isinstance(value, dict | list)
