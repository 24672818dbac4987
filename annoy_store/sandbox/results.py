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

from annoy_store.hashing import clean, compact
from annoy_store.interfaces import Limits, Ran
from annoy_store.sandbox.zygote import Reply, Trouble

SPOKEN = {"ok", "exception", "bad_args", "missing_module", "exit", "memory", "not_json"}
SPOKEN |= {"output_too_large", "repeated"}
PHASES = {"load", "generate", "call", "result"}
MOST_DEPTH = 200
MESSAGE_CHARS = 500


class Strange(Exception):
    """A report that no runner writes."""


class Unfit(Exception):
    """A JSON text that cannot be kept; `kind` says why."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def judge(reply: Reply, given: str | None, limits: Limits, guarded: bool) -> Ran:
    """Return what became of a task; `given` is its input if it was a call.

    `guarded` says that the code cannot have sent itself a SIGKILL. Raises Trouble.
    """
    head = reply.head
    used = {"cpu_ms": head["cpu"] * 1e3, "wall_ms": head["wall"] * 1e3, "input": given}
    ended = _by_force(head, limits, guarded)
    if ended is not None:
        return replace(ended, **used)
    try:
        ran = _by_report(reply, limits)
    except Strange as error:
        ran = Ran("bad_frame", error_message=str(error), input=given)
    return replace(ran, **{**used, "input": ran.input if given is None else given})


def _by_force(head: Mapping[str, Any], limits: Limits, guarded: bool) -> Ran | None:
    """Return the outcome that needs no word of the child, if there is one."""
    killed, status = head.get("killed"), head["status"]
    if killed == "ceiling":
        raise Trouble(f"a call was not done after {limits.ceiling_seconds:g} s")
    if killed == "cpu" or head["cpu"] >= limits.cpu_seconds:
        return Ran("cpu_timeout", error_message=f"used {limits.cpu_seconds:g} s of CPU time")
    if killed == "wall":
        return Ran("wall_timeout", error_message=f"slept for {limits.wall_seconds:g} s")
    if killed == "flood":
        return Ran("bad_frame", error_message="wrote to a pipe that is not its own")
    if killed != "late" and status < 0:
        return _crash(-status, guarded)
    if not head["framed"] or status > 0:
        silent = head["silent"]
        said = "ended without a result" if silent else "wrote to a pipe that is not its own"
        return Ran("no_result" if silent else "bad_frame", error_message=said)
    return None


def _crash(number: int, guarded: bool) -> Ran:
    if number == signal.SIGKILL and guarded:
        raise Trouble("a call was killed from outside (out of memory?)")
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return Ran("crash", error_type=name, error_message=f"killed by {name}")


def _by_report(reply: Reply, limits: Limits) -> Ran:
    try:
        report = json.loads(reply.payload)
    except (ValueError, RecursionError) as error:
        raise Strange("the report is not JSON") from error
    if not isinstance(report, dict):
        raise Strange("the report is not an object")
    if "trouble" in report:
        raise Trouble(str(report["trouble"]))
    outcome, phase = report.get("outcome"), report.get("phase")
    if outcome not in SPOKEN or phase not in PHASES:
        raise Strange("the report has no outcome")
    ran = _worded(report, outcome, phase)
    return _with_output(ran, report, limits) if outcome == "ok" else ran


def _worded(report: Mapping[str, Any], outcome: str, phase: str) -> Ran:
    kind, message = _text(report, "type"), _text(report, "message")
    lines = report.get("lines")
    if not (lines is None or (isinstance(lines, int) and lines >= 0)):
        raise Strange("the report counts lines oddly")
    drawn = _text(report, "input")
    return Ran(
        outcome,
        input=None if drawn is None else _object(drawn),
        error_type=None if kind is None else clean(kind)[:100],
        error_message=None if message is None else clean(message)[:MESSAGE_CHARS],
        missing_module=_text(report, "module"),
        phase=None if outcome == "ok" else phase,
        lines=lines,
        mutated=report.get("mutated") is True,
    )


def _with_output(ran: Ran, report: Mapping[str, Any], limits: Limits) -> Ran:
    output = _text(report, "output")
    if output is None:
        raise Strange("the report has no output")
    try:
        text = rewritten(output)
    except Unfit as error:
        refused = replace(ran, outcome="not_json", phase="result")
        return replace(refused, error_type=error.kind, error_message=str(error))
    if len(text.encode()) > limits.output_bytes:
        return replace(ran, outcome="output_too_large", phase="result")
    return replace(ran, output=text)


def _object(text: str) -> str:
    try:
        return rewritten(text)
    except Unfit as error:
        raise Strange("the report's input is not JSON") from error


def _text(report: Mapping[str, Any], key: str) -> str | None:
    value = report.get(key)
    if not (value is None or isinstance(value, str)):
        raise Strange(f"the report's {key} is no text")
    return value


def rewritten(text: str) -> str:
    """Return a JSON text as `identity.compact` writes it. Raises Unfit."""
    try:
        return compact(parsed(text))
    except ValueError as error:  # 1e999 is read as infinity
        raise Unfit("NaN", str(error)) from error
    except RecursionError as error:
        raise Unfit("RecursionError", "nested too deeply") from error


def parsed(text: str) -> Any:
    """Return the value of a JSON text: finite numbers, not nested past all use. Raises Unfit."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise Unfit("RecursionError", "nested too deeply") from error
    except ValueError as error:
        raise Unfit("ValueError", str(error)) from error
    if text.count("[") + text.count("{") > MOST_DEPTH and _depth(value) > MOST_DEPTH:
        raise Unfit("RecursionError", f"nested more than {MOST_DEPTH} deep")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise Unfit("NaN", f"{name} is not JSON")


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        inner = [v.values() if isinstance(v, dict) else v for v in level if _holds(v)]
        level = [item for items in inner for item in items]
    return deepest


def _holds(value: Any) -> bool:
    return isinstance(value, dict | list)
