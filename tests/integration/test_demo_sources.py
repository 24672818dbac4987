"""The bundled sources show every way that a file can take through the pipeline."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import annoy_store.hashing
from annoy_store.config import RunSettings
from annoy_store.inference.backends.tracer import backend
from annoy_store.inference.backends.tracer.transform_answer import write_transform_answer
from annoy_store.interfaces import ExecutionResult, Limits, Program, Request, Sandbox
from annoy_store.parsing import final_answer, sections
from annoy_store.prompts import template
from annoy_store.sandbox import open_sandbox
from annoy_store.stages.value_limits import size_violation

DEMO = sorted(Path(annoy_store.hashing.__file__).with_name("demo").glob("*.py"))
REFUSED = {"app_settings", "guess_menu", "legacy_report"}
SPOILT = {
    "check_disk": "exit",
    "distance_table": "not_json",
    "host_line": "exception",
    "phase_lock": "cpu_timeout",
    "plural_report": "missing_module",
    "powers_table": "oversize",
    "big_tip": "null",
    "letters_used": "unstable",
    "lucky_draw": "unstable",
}
LIMITS = Limits(cpu_seconds=0.5)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    opened = open_sandbox(slots=2, unsafe=True)
    yield opened
    opened.close()


def samples() -> dict[str, sections.ParsedSample | sections.ParseFailure]:
    return {
        path.stem: sections.parse_sections(write_transform_answer(path.read_text("utf-8")))
        for path in DEMO
    }


def test_demo_sources_are_many_small_and_different() -> None:
    texts = [path.read_text("utf-8") for path in DEMO]
    assert len(texts) >= 40
    assert len(set(texts)) == len(texts)
    assert max(map(len, texts)) < 2_000


def test_tracer_finds_a_function_in_each_demo_source_that_has_one() -> None:
    faults = {stem for stem, made in samples().items() if isinstance(made, sections.ParseFailure)}
    assert faults == REFUSED


def course(program: Program, sandbox: Sandbox) -> str:
    """Return the result of drawing pairs of a sample: `pairs`, or what is wrong with it."""
    first = sandbox.draw(program, [1], LIMITS)
    drawn = first + (
        sandbox.draw(program, range(2, 8), LIMITS) if first[0].outcome != "cpu_timeout" else []
    )
    words = Counter(map(word, drawn))
    good = {ran.input or "": ran.output for ran in drawn if word(ran) == "ok"}
    if len(good) < 2:
        return words.most_common(1)[0][0]
    again = sandbox.call(program, list(good), LIMITS, environment_seed=1)
    stable = sum(ran.output == output for ran, output in zip(again, good.values(), strict=True))
    return "pairs" if stable >= 2 else "unstable"


def word(ran: ExecutionResult) -> str:
    if ran.outcome != "ok":
        return ran.outcome
    if ran.output == "null":
        return "null"
    texts = (ran.input or "null", ran.output or "null")
    return "oversize" if any(size_violation(json.loads(text)) for text in texts) else "ok"


@pytest.mark.slow
def test_demo_sources_fail_in_every_way_and_the_rest_makes_pairs(sandbox: Sandbox) -> None:
    courses = {
        stem: course(Program(made.refcode, generator=made.input_generator), sandbox)
        for stem, made in samples().items()
        if isinstance(made, sections.ParsedSample)
    }
    assert {stem: how for stem, how in courses.items() if how != "pairs"} == SPOILT


def test_tracer_gives_right_wrong_and_repaired_answers_for_demo_sources(sandbox: Sandbox) -> None:
    teacher = backend.connect(RunSettings(), None, lambda: sandbox)
    seen: Counter[tuple[bool, ...]] = Counter()
    for stem in ("collatz", "luhn", "edit_distance"):
        made = sections.parse_sections(
            write_transform_answer((DEMO[0].parent / f"{stem}.py").read_text("utf-8"))
        )
        assert isinstance(made, sections.ParsedSample)
        program = Program(made.refcode, generator=made.input_generator)
        for ran in sandbox.draw(program, range(4), LIMITS):
            seen[turns(made, ran, teacher)] += 1
    assert seen.keys() == {(True,), (False, True), (False, False)}


def turns(
    made: sections.ParsedSample, ran: ExecutionResult, teacher: backend.Tracer
) -> tuple[bool, ...]:
    """Ask for the output of one pair, and again if it is wrong; return which answers were right."""
    messages = template.load_template("predict_output").render(
        problem=made.problem_statement,
        io=made.io_requirements,
        code=made.refcode,
        input=ran.input or "",
    )
    right: list[bool] = []
    for number in range(2):
        asked = asyncio.run(teacher.ask(Request(number, "predict_output", messages, 0)))
        assert asked.completion is not None
        found = final_answer.find_final_answer(asked.completion.text, "output")
        right.append(found is not None and found.value == json.loads(ran.output or "null"))
        if right[-1]:
            break
        messages = [*messages, {"role": "assistant", "content": asked.completion.text}]
        messages += template.load_template("revise").render(feedback="wrong")
    return tuple(right)
