"""Writes the answer to an output question: the run in words, then the value as JSON."""

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
    sandbox: Sandbox, parts: Mapping[str, str], budget: int, wrong_answer: str | None
) -> str:
    """Trace the code and write the answer.

    Args:
        sandbox: Where the code runs.
        parts: The values of the prompt: `code` and `input`.
        budget: How many lines to follow at most.
        wrong_answer: JSON text of an earlier, wrong answer.

    Raises:
        SandboxError: The sandbox failed.
    """
    code, input_text = parts["code"], parts.get("input", "")
    try:
        arguments = parse_json(input_text)
    except ValueError:
        return _closing("The input is not JSON, so I cannot follow it.", "null")
    report = trace_execution(sandbox, code, arguments, budget)
    opening = [_opening(input_text, wrong_answer, budget), ""]
    return "\n".join([*opening, *_narrative(code, report), "", _ending(report)])


def _opening(input_text: str, wrong_answer: str | None, budget: int) -> str:
    start = f"I follow the code line by line for the input `{_shortened(input_text, 300)}`."
    if wrong_answer is None:
        return start
    return (
        f"My earlier answer {_shortened(wrong_answer)} does not hold. {start} This time I go on for "
        f"up to {budget} lines."
    )


def _shortened(text: str, most: int = 200) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _narrative(code: str, report: TraceReport) -> list[str]:
    try:
        return narrate(code, report.events)
    except Exception:  # the report comes from the code's own process: a forged one tells nothing
        return []


def _ending(report: TraceReport) -> str:
    if report.end == "returned" and report.value is not None:
        return _closing(f"That is all: {_lines(report)} were executed.", report.value)
    if report.end == "raised":
        return _closing(f"The code stops with {report.error}, so there is no value.", "null")
    if report.end == "spent":
        extrapolation = _extrapolated(report)
        text = (
            f"I stop stepping through here, after {_lines(report)}; the code is not at its "
            f"end. From what I have seen so far, {extrapolation.reason}. I have not checked that."
        )
        return _closing(text, extrapolation.output)
    return _closing("The code runs for longer than I can follow it, so I can only guess.", "0")


def _extrapolated(report: TraceReport) -> Extrapolation:
    try:
        return extrapolate(report.stack)
    except Exception:  # as above
        return Extrapolation("0", "nothing that I have seen tells the result")


def _lines(report: TraceReport) -> str:
    return "1 line" if report.lines == 1 else f"{report.lines} lines"


def _closing(text: str, output: str) -> str:
    return f'{text}\n\n```json\n{{"output": {output}}}\n```'
