"""An answer to "which input gives this output": small inputs of the described types, tried in order.

First come inputs put together from small values, from constants of the code and from parts of the
wanted output; then inputs drawn in the described ranges. The sandbox tries them; the first that
fits is the answer, else the one whose output came nearest.
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
    """How much is tried: inputs put together, drawn and varied, and executed lines for each."""

    built: int
    drawn: int
    varied: int
    lines: int


def write_input_answer(
    sandbox: Sandbox,
    parts: Mapping[str, str],
    effort: SearchBudget,
    number: int,
    refused: str | None,
) -> str:
    """Search an input for which the code returns `parts["output"]`; `refused` is an earlier answer.

    `number` makes searches for the same prompt differ. Raises SandboxError.
    """
    try:
        wanted = parse_json(parts.get("output", ""))
    except ValueError:
        return _closing("The output is not JSON, so there is nothing to look for.", "{}")
    code = parts["code"]
    given = described_parameters(code, parts.get("io", ""))
    if not given:
        return _closing("I cannot tell which arguments the code takes.", "{}")
    tries = list(itertools.islice(candidate_inputs(given, code, wanted), effort.built))
    probed = try_inputs(
        sandbox,
        code=code,
        wanted=wanted,
        tries=[text for text in tries if text != refused],
        generator=render_generator(parameter_expressions(given, parts.get("problem", "").lower())),
        seed=derive_seed("search", parts["output"], code, number) % 1_000_000,
        draws=effort.drawn,
        variations=effort.varied,
        lines=effort.lines,
    )
    return _answer(given, parts["output"], probed, refused, tries)


# What is said --------------------------------------------------------------------------------


def _answer(
    given: Sequence[Parameter],
    wanted: str,
    probed: SearchReport,
    refused: str | None,
    tries: list[str],
) -> str:
    names = ", ".join(f"`{p.name}` ({p.value_type.kind})" for p in given)
    goal = wanted if len(wanted) <= 200 else wanted[:197] + "..."
    lines = [f"I look for values of {names} with which the code returns `{goal}`."]
    if refused:
        lines.append(f"`{refused}` did not give it, so I leave that aside and look further.")
    lines += ["", _course(probed), *_told(probed), ""]
    if not probed.nearest:
        return _closing(
            "\n".join([*lines, "No input could be tried; this one is a guess."]),
            tries[0] if tries else "{}",
        )
    lines.append(
        "The first line gives exactly the wanted output."
        if probed.hit
        else "None of them gives the wanted output; the first comes nearest, and I have no better."
    )
    return _closing("\n".join(lines), probed.nearest[0].input)


def _course(probed: SearchReport) -> str:
    failures = [
        f"{n} ended with {what}"
        for what, n in sorted(probed.outcomes.items())
        if what not in ("ok", "long")
    ]
    long = probed.outcomes.get("long", 0)
    failures += [f"{long} took more steps than I follow"] if long else []
    added = f" ({'; '.join(failures)})" if failures else ""
    noun = "input" if probed.tried == 1 else "inputs"
    return f"I went through {probed.tried} {noun}, small ones first{added}. The nearest:"


def _told(probed: SearchReport) -> Iterator[str]:
    for row in probed.nearest:
        output = row.output if row.outcome == "ok" else row.outcome
        yield f"- `{row.input}` gives `{output[:160]}`"


def _closing(text: str, given: str) -> str:
    return f'{text}\n\n```json\n{{"input": {given}}}\n```'
