"""An answer to "what does the code return": the run in words, then the value as JSON."""

from __future__ import annotations

from collections.abc import Mapping

from annoy_store.inference.backends.tracer.extrapolation import Extrapolation, extrapolate
from annoy_store.inference.backends.tracer.narrative import narrate
from annoy_store.inference.backends.tracer.sandbox_calls import (
    TraceReport,
    parse_json,
    trace_execution,
)
from annoy_store.interfaces import Sandbox


def write_output_answer(
    sandbox: Sandbox, parts: Mapping[str, str], budget: int, refused: str | None
) -> str:
    """Follow the code for at most `budget` lines and answer; `refused` is an earlier answer.

    Raises SandboxError.
    """
    code, given = parts["code"], parts.get("input", "")
    try:
        arguments = parse_json(given)
    except ValueError:
        return _closing("The input is not JSON, so I cannot follow it.", "null")
    followed = trace_execution(sandbox, code, arguments, budget)
    opening = [_opening(given, refused, budget), ""]
    return "\n".join([*opening, *_story(code, followed), "", _ending(followed)])


def _opening(given: str, refused: str | None, budget: int) -> str:
    shown = given if len(given) <= 300 else given[:297] + "..."
    start = f"I follow the code line by line for the input `{shown}`."
    if refused is None:
        return start
    return (
        f"My earlier answer {refused[:200]} does not hold: it was put together before the code had "
        f"come to its end. {start} This time I go on for up to {budget} lines."
    )


def _story(code: str, followed: TraceReport) -> list[str]:
    try:
        return narrate(code, followed.events)
    except Exception:  # the report comes from the code's own process: a forged one tells nothing
        return []


def _ending(followed: TraceReport) -> str:
    if followed.end == "returned" and followed.value is not None:
        return _closing(f"That is all: {_lines(followed)} were executed.", followed.value)
    if followed.end == "raised":
        return _closing(f"The code stops with {followed.error}, so there is no value.", "null")
    if followed.end == "spent":
        guessed = _guess(followed)
        text = (
            f"I stop stepping through here, after {_lines(followed)}; the code is not at its "
            f"end. From what I have seen so far, {guessed.reason}. I have not checked that."
        )
        return _closing(text, guessed.output)
    return _closing("The code runs for longer than I can follow it, so I can only guess.", "0")


def _guess(followed: TraceReport) -> Extrapolation:
    try:
        return extrapolate(followed.stack)
    except Exception:  # as above
        return Extrapolation("0", "nothing that I have seen tells the result")


def _lines(followed: TraceReport) -> str:
    return "1 line" if followed.lines == 1 else f"{followed.lines} lines"


def _closing(text: str, output: str) -> str:
    return f'{text}\n\n```json\n{{"output": {output}}}\n```'
