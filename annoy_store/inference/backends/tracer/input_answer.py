"""Writes the answer to an input question: small inputs of the described types, tried in order.

First come inputs built from small values, from constants of the code and from parts of the wanted
output; then random inputs in the described ranges. The sandbox tries them; the first that gives the
output is the answer, else the one whose output was nearest.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from annoy_store.hashing import derive_seed
from annoy_store.inference.backends.tracer.generator_code import (
    parameter_expressions,
    render_generator,
)
from annoy_store.inference.backends.tracer.input_candidates import (
    candidate_inputs,
    described_parameters,
)
from annoy_store.inference.backends.tracer.parameters import Parameter
from annoy_store.inference.backends.tracer.sandbox_calls import SearchReport, parse_json, try_inputs
from annoy_store.interfaces import Sandbox


@dataclass(frozen=True)
class SearchBudget:
    """How much is tried.

    Attributes:
        built: Inputs built from small values and constants.
        drawn: Random inputs.
        varied: Variations of the nearest inputs.
        lines: Executed lines for each input.
    """

    built: int
    drawn: int
    varied: int
    lines: int


def write_input_answer(
    sandbox: Sandbox,
    parts: Mapping[str, str],
    budget: SearchBudget,
    number: int,
    wrong_answer: str | None,
) -> str:
    """Search an input for which the code returns the wanted output, and write the answer.

    Args:
        sandbox: Where the code runs.
        parts: The values of the prompt: `code`, `output`, `io` and `problem`.
        budget: How much is tried.
        number: Makes searches for the same prompt differ.
        wrong_answer: JSON text of an earlier, wrong answer.

    Raises:
        SandboxError: The sandbox failed.
    """
    try:
        wanted = parse_json(parts.get("output", ""))
    except ValueError:
        return _closing("The output is not JSON, so there is nothing to look for.", "{}")
    code = parts["code"]
    parameters = described_parameters(code, parts.get("io", ""))
    if not parameters:
        return _closing("I cannot tell which arguments the code takes.", "{}")
    tries = list(itertools.islice(candidate_inputs(parameters, code, wanted), budget.built))
    report = try_inputs(
        sandbox,
        code=code,
        wanted=wanted,
        tries=[text for text in tries if text != wrong_answer],
        generator=render_generator(
            parameter_expressions(parameters, parts.get("problem", "").lower())
        ),
        seed=derive_seed("search", parts["output"], code, number) % 1_000_000,
        draws=budget.drawn,
        variations=budget.varied,
        lines=budget.lines,
    )
    return _answer(parameters, parts["output"], report, wrong_answer, tries)


# What is said --------------------------------------------------------------------------------


def _answer(
    parameters: Sequence[Parameter],
    wanted: str,
    report: SearchReport,
    refused: str | None,
    tries: list[str],
) -> str:
    names = ", ".join(f"`{p.name}` ({p.value_type.kind})" for p in parameters)
    goal = wanted if len(wanted) <= 200 else wanted[:197] + "..."
    lines = [f"I look for values of {names} with which the code returns `{goal}`."]
    if refused:
        lines.append(f"`{refused}` did not give it, so I leave that aside and look further.")
    lines += ["", _summary(report), *_tried_lines(report), ""]
    if not report.nearest:
        return _closing(
            "\n".join([*lines, "No input could be tried; this one is a guess."]),
            tries[0] if tries else "{}",
        )
    lines.append(_verdict(report))
    return _closing("\n".join(lines), report.nearest[0].input)


def _verdict(report: SearchReport) -> str:
    if not report.hit:
        return (
            "None of them gives the wanted output; the first comes nearest, and I have no better."
        )
    if report.exact:
        return "The first line gives exactly the wanted output."
    output = _shortened(report.nearest[0].output)
    return f"The first line gives `{output}`, which is the wanted output within the tolerance."


def _shortened(output: str) -> str:
    return output if len(output) <= 160 else output[:157] + "..."


def _summary(report: SearchReport) -> str:
    failures = [
        f"{n} ended with {what}"
        for what, n in sorted(report.outcomes.items())
        if what not in ("ok", "long")
    ]
    long = report.outcomes.get("long", 0)
    failures += [f"{long} took more steps than I follow"] if long else []
    added = f" ({'; '.join(failures)})" if failures else ""
    noun = "input" if report.tried == 1 else "inputs"
    return f"I went through {report.tried} {noun}, small ones first{added}. The nearest:"


def _tried_lines(report: SearchReport) -> Iterator[str]:
    for row in report.nearest:
        output = row.output if row.outcome == "ok" else row.outcome
        yield f"- `{row.input}` gives `{_shortened(output)}`"


def _closing(text: str, input_text: str) -> str:
    return f'{text}\n\n```json\n{{"input": {input_text}}}\n```'
