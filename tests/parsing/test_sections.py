"""Parsing answers: accepted deviations in form, and the reason of every failure."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from annoy_store.parsing.final_answer import find_final_answer
from annoy_store.parsing.json_spans import ObjectSpans
from annoy_store.parsing.json_values import JsonValue
from annoy_store.parsing.sections import SECTIONS, ParsedSample, ParseFailure, parse_sections

UNHURRIED = settings(deadline=None)  # how fast a machine is belongs in no test

DATA = Path(__file__).parents[3] / "shared" / "data"

MAIN = "import math\n\n# Main Function\ndef main_solution(n):\n    return math.isqrt(n)"
GENERATOR = "import random\n\ndef input_generator():\n    return {'n': random.randint(0, 9)}"
IO = "Input:\n- `n` (int): a number\n\nOutput:\n- int: its root"
PROBLEM = "A number `n` is given.\n\nWhat is the integer part of its square root?"
SAMPLE = ParsedSample(MAIN, IO, GENERATOR, PROBLEM)
GOOD = f"""## Main Function
```python
{MAIN}
```
## Input Output Description
{IO}
## Input Generator
```python
{GENERATOR}
```
## Problem Statement
{PROBLEM}"""


def recorded(name: str) -> Iterator[dict[str, Any]]:
    path = DATA / name
    if not path.exists():
        pytest.skip("the recorded answers are not here")
    yield from map(json.loads, path.read_text("utf-8").splitlines())


def without(*old: str) -> str:
    text = GOOD
    for part in old:
        assert part in text
        text = text.replace(part, "", 1)
    return text


# Sections ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "Here you are:\n\n" + GOOD,
        GOOD + "\n",
        GOOD + "\n\n## Notes\nI left out the printing.",
        GOOD + "\n# Done",
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("## ", "### "),
        GOOD.replace("## ", "# "),
        GOOD.replace("## Main Function", "##Main function:"),
        GOOD.replace("## Main Function", "**Main Function:**"),
        GOOD.replace("## Main Function", "## 1. **Main Function**"),
        GOOD.replace("## Input Generator", "## 3) INPUT GENERATOR ##"),
        GOOD.replace("## Input Output Description", "## Input/Output Description"),
        GOOD.replace("## Input Output Description", "Input and Output Description"),
        GOOD.replace("## Problem Statement", "__Problem Statement__"),
        GOOD.replace("```python", "```py"),
        GOOD.replace("```python", "```Python3"),
        GOOD.replace("```python", "```"),
        GOOD.replace("```python", "``` python  "),
        GOOD.replace("```", "~~~"),
        GOOD.replace("```", "`````"),
        GOOD.replace(f"{MAIN}\n```\n", f"{MAIN}\n"),
        GOOD.replace(f"{GENERATOR}\n```\n", f"{GENERATOR}\n"),
        f"```markdown\n{GOOD}\n```",
        f"````markdown\n{GOOD}\n````",
        "<think>## Main Function\nfirst, I ...\n## Problem Statement\n</think>\n" + GOOD,
        GOOD.replace(IO, f"```text\n{IO}\n```"),
        GOOD.replace(
            "```python\nimport math", "It takes `n`:\n```\nn = 5\n```\n```python\nimport math"
        ),
    ],
)
def test_sections_accept_sloppy_markup(text: str) -> None:
    assert parse_sections(text) == SAMPLE


def test_sections_accept_any_order_and_an_open_last_fence() -> None:
    main, io, generator, problem = (f"## {part}" for part in GOOD.split("## ")[1:])
    text = "\n".join([problem, io, main, generator])
    assert parse_sections(text) == SAMPLE
    assert parse_sections(text.rstrip().removesuffix("```")) == SAMPLE


def test_sections_accept_an_indented_fence() -> None:
    indented = "\n".join("  " + line for line in f"```python\n{MAIN}\n```".split("\n"))
    assert parse_sections(GOOD.replace(f"```python\n{MAIN}\n```", indented)) == SAMPLE


def test_sections_keep_subheadings_of_the_problem() -> None:
    problem = f"{PROBLEM}\n### Example\nFor 10 it is 3."
    found = parse_sections(GOOD.replace(PROBLEM, problem))
    assert isinstance(found, ParsedSample)
    assert found.problem_statement == problem


def test_sections_use_the_last_version() -> None:
    draft = GOOD.replace("isqrt", "sqrt")
    assert parse_sections(f"{draft}\nBetter:\n{GOOD}") == SAMPLE


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n\t\n", "empty"),
        ("Sorry, I cannot do this.", "section_missing:main_function"),
        (without("## Main Function\n"), "section_missing:main_function"),
        (without("## Input Output Description\n"), "section_missing:input_output_description"),
        (without("## Input Generator\n"), "section_missing:input_generator"),
        (without("## Problem Statement\n"), "section_missing:problem_statement"),
        (without(PROBLEM), "section_missing:problem_statement"),
        (without("```python\n", "```\n"), "no_fence:main_function"),
        (without(f"```python\n{GENERATOR}\n```"), "no_fence:input_generator"),
        (without(GENERATOR), "no_fence:input_generator"),
        (GOOD.replace("import math", "print 'hello'"), "syntax_error:main_function"),
        (GOOD.replace("import random", "import"), "syntax_error:input_generator"),
        (GOOD.replace("import math", "x = '\0'"), None),
        (GOOD.replace("import math", "x = \0"), "syntax_error:main_function"),
        (GOOD.replace("import math", "x = \ud800"), "syntax_error:main_function"),
        (GOOD.replace("import math", "x = " + "(" * 300 + ")" * 300), "syntax_error:main_function"),
        (GOOD.replace("import math", "x = " + "-" * 60_000 + "1"), "syntax_error:main_function"),
        (GOOD.replace("import math", "x = 1" + "+1" * 30_000), "syntax_error:main_function"),
        (GOOD.replace("import math", "x = a" + ".a" * 30_000), "syntax_error:main_function"),
        (GOOD.replace("import math", "x = " + "9" * 5000), "syntax_error:main_function"),
        (GOOD.replace("import math", "#" * 140_000), "too_long:main_function"),
        (GOOD.replace("def main_solution", "def solution"), "name_missing:main_solution"),
        (
            GOOD.replace("def main_solution", "async def main_solution"),
            "name_missing:main_solution",
        ),
        (GOOD.replace("def input_generator", "def generate"), "name_missing:input_generator"),
        (GOOD.replace("import math", "x = '\\d'; y = 1if x else 2"), None),
        (GOOD.replace("def main_solution(n):", "main_solution = lambda n: 1\ndef f():"), None),
        ("No suitable function", "no_function"),
        ("> **No suitable function.**\nIt only draws windows.", "no_function"),
        ("## Main Function\nno suitable function\n", "no_function"),
        (GOOD + "\nNo suitable function was left out.", None),
    ],
)
def test_sections_report_each_failure_with_its_reason(text: str, reason: str | None) -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        found = parse_sections(text)
    assert heard == []
    if reason is None:
        assert isinstance(found, ParsedSample)
    else:
        assert isinstance(found, ParseFailure)
        assert found.reason == reason
        assert str(found).split()[0] == reason
        assert len(found.detail) <= 200


def test_sections_report_the_line_of_a_syntax_error() -> None:
    found = parse_sections(GOOD.replace("import math", "print 'hello'"))
    assert isinstance(found, ParseFailure)
    assert found.detail.endswith("(line 1)")


PIECES = (
    *("## Main Function\n", "## Input Output Description\n", "## Input Generator\n"),
    *("## Problem Statement\n", "**Problem Statement**\n", "# main function\n", "### Note\n"),
    *("```python\n", "```\n", "````\n", "~~~\n", "  ```", MAIN + "\n", GENERATOR + "\n", "\\d\n"),
    *("def main_solution():\n", "\r\n", "\r", "\0", "\ud800", "No suitable function\n", "((((\n"),
)


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=14).map("".join))
@settings(max_examples=300, deadline=None)
def test_sections_never_raise(text: str) -> None:
    found = parse_sections(text)
    if isinstance(found, ParseFailure):
        assert found.reason.split(":")[0] in {
            *("empty", "no_function", "section_missing", "no_fence", "too_long"),
            *("syntax_error", "name_missing"),
        }
        _, _, where = found.reason.partition(":")
        assert where in {"", "main_solution", *SECTIONS}
    else:
        assert "main_solution" in found.refcode
        assert found.problem_statement


@pytest.mark.parametrize(
    "monster",
    ["#" * 10**6, " " * 10**6, "`" * 10**6, "```\n" * 200_000, "## Main Function\n" * 50_000],
)
def test_sections_reject_huge_repetitive_texts(monster: str) -> None:
    assert isinstance(parse_sections(monster), ParseFailure)


def test_sections_parse_recorded_transform_answers() -> None:
    found = [parse_sections(record["response"]) for record in recorded("recorded_transform.jsonl")]
    assert len(found) == 24
    assert all(isinstance(part, ParsedSample) for part in found)


def operations(work: Callable[[], object]) -> int:
    """Count the lines that `work` executes: a measure of work that no clock disturbs."""
    count = 0

    def tracer(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


# The final answer ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"output": 3}', 3),
        ('So:\n```json\n{"output": [1, 2]}\n```\nDone, I think.', [1, 2]),
        ('```json\n{"output": "a"}', "a"),
        ('```json\n{"output": 1}\n```\nNo:\n```json\n{"output": 2}', 2),
        ('{"output": 1} or rather {"output": 1}', 1),
        ('The set {1, 2 is it. {"output": 5}', 5),
        ("{ it's 5\" wide and {\"output\": 'x'}", "x"),
        ("f(x) = { x if x isn't 0, {'output': 'it'} ", "it"),
        ('{"output": {"a": {"b": "}{"}}} and } more {', {"a": {"b": "}{"}}),
        ('{"output": "say \\"hi\\" {"}', 'say "hi" {'),
        ('{"output": "two\nlines"}', "two\nlines"),
        ('{"output": [1, 2,], }', [1, 2]),
        ('{"output": [true, null, "true",],}', [True, None, "true"]),
        ("{'output': True}", True),
        ("{'output': (1, (2,), None)}", [1, [2], None]),
        ("{'output': {1: 'a', None: 'b', True: 'c'}}", {"1": "c", "null": "b"}),
        ("{'output': \"it's\"}", "it's"),
        ('{"output": "\\ud83d\\ude00",}', "\U0001f600"),
        ('{"output": "\\ud800"}', "\ufffd"),
        ('{"output": "http:\\/\\/x",}', "http://x"),
        ('{"steps": "first {", "output": 4}', 4),
        ('{"result": {"output": 4}}', 4),
        ('{"output": {"output": 4}}', {"output": 4}),
        ('{"output": 1, "output": 2}', 2),
        ('{"output": 7}\nThe form was {"output": <value>} or {"output": ...}.', 7),
        ('{"output": 7}\nand then {"output": [1, ', 7),
        ('{"output": 7} {"input": {"a": 1}}', 7),
        ("\\boxed{7}", 7),
        ("$\\boxed{\\text{False}}$.", False),
        ("\\boxed{[1, \\text{'a'}]}", [1, "a"]),
        ('\\boxed{{"output": 3}}', 3),
        ('$\\boxed{\\{"output": 3\\}}$', 3),
        ('\\boxed{4} {"output": 5}', 5),
        ('{"output": 123456789012345678901234567890}', 123456789012345678901234567890),
        ('{"output": ' + "7" * 4300 + "}", int("7" * 4300)),
        ('{"output": -0.0}', -0.0),
        ('{"output": ""}', ""),
        ('{"output": null}', None),
    ],
)
def test_final_answer_of_output_questions(text: str, value: Any) -> None:
    found = find_final_answer(text, "output")
    assert found is not None
    assert found.value == value
    assert type(found.value) is type(value)
    assert json.loads(found.text) == value
    assert "\n" not in found.text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        '{"input": 3}',
        '{"output": ',
        '{"output": 3',
        '{"output" 3}',
        "{output: 3}",
        '{"output": <value>}',
        '{"output": {1, 2}}',
        "{'output': b'x'}",
        '{"output": NaN}',
        '{"output": 1} {"output": [NaN]}',
        '{"output": 1} {"output": -Infinity}',
        "{'output': 1} {'output': [1, nan,]}",
        '{"output": 1e999}',
        "{'output': (1e999,)}",
        '{"output": 1} {"output": ' + "7" * 4301 + "}",
        '{"output": 0x' + "f" * 9000 + "}",
        '{"output": ' + "[" * 5000 + "]" * 5000 + "}",
        "\\boxed{n = 7}",
        "\\boxed{abc}",
        "\\boxed{}",
        "\\boxed{7",
        "\\boxed{5} \\boxed{NaN}",
    ],
)
def test_final_answer_is_none_without_an_answer(text: str) -> None:
    assert find_final_answer(text, "output") is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"input": {"n": 1}}', {"n": 1}),
        ('{"input": {"input": 5}}', {"input": 5}),
        ('{"input": {"x": {"y": 1}, "z": {"input": 2}}}', {"x": {"y": 1}, "z": {"input": 2}}),
        ('{"input": {"s": "{\\"input\\": 1}"}}', {"s": '{"input": 1}'}),
        ("{'input': {'s': \"a'b\", 't': (1, 2)}}", {"s": "a'b", "t": [1, 2]}),
        ('\\boxed{\\{"n": 3\\}}', {"n": 3}),
        ('{"input": 5}', 5),
    ],
)
def test_final_answer_of_input_questions(text: str, value: Any) -> None:
    found = find_final_answer(text, "input")
    assert found is not None
    assert found.value == value


def test_final_answer_in_a_box_must_be_an_object_for_inputs() -> None:
    assert find_final_answer("\\boxed{123}", "input") is None


def test_final_answer_keeps_key_order() -> None:
    found = find_final_answer('{"input": {"b": 1, "a": {"d": 1, "c": 2}}}', "input")
    assert found is not None
    assert found.text == '{"b":1,"a":{"d":1,"c":2}}'


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab{}[]'\"", max_size=3), inner)
    ),
    max_leaves=8,
)
PROSE = st.lists(
    st.sampled_from(["{", "[", "it's ", '5" ', "\\", "```json\n", "```", "\n", "{}", "{'a", "x"]),
    max_size=8,
).map("".join)
WRITERS = (
    lambda value: json.dumps(value),
    lambda value: json.dumps(value, ensure_ascii=False, indent=2),
    repr,
)


@given(JSON, PROSE, st.sampled_from(["", "\n```", " And that's it.", "\n{", "\n}"]))
@settings(max_examples=300, deadline=None)
def test_final_answer_is_found_in_any_surrounding_text(value: Any, before: str, after: str) -> None:
    for write in WRITERS:
        found = find_final_answer(f"{before}\n{write({'output': value})}{after}", "output")
        assert found is not None
        assert found.value == value


SCRAPS = (
    *('{"output":', "{'output':", '{"output": 1}', "{", "}", "[", "]", '"', "'", "\\", "\n", ":"),
    *("\\boxed{", "NaN", "None", "(", ")", ",", "1e999", "9" * 4400, "0x" + "f" * 4000, "\0"),
    *("\ud800", "\\u", "{" * 500, "[" * 500, "(" * 300, "}" * 500, "-" * 500, "1" + "+1j" * 400),
)


@given(st.lists(st.sampled_from(SCRAPS) | st.text(max_size=4), max_size=16).map("".join))
@example('{"output": ' + "-" * 40_000 + "1}")
@example("{'output': " + "1+" * 30_000 + "1}")
@settings(max_examples=400, deadline=None)
def test_final_answer_never_raises(text: str) -> None:
    for key in ("output", "input"):
        found = find_final_answer(text, key)
        if found is not None:
            assert isinstance(found, JsonValue)
            found.text.encode()
            assert json.loads(found.text) == found.value


@pytest.mark.parametrize(
    "hostile",
    [
        "{",
        "[{",
        '{"',
        "{'\"{",
        '{"{":',
        '{"output":',
        '{"{"\n',
        '{"\\"',
        "{'it's {",
        '"{\'{"\n',
        '{"a":[{"output":1},',
        "\\boxed{",
        "{]",
        "{\"'{'\"",
    ],
)
def test_object_spans_take_linear_time(hostile: str) -> None:
    for suffix in ("", "}", "\n"):
        small, large = (
            operations(partial(ObjectSpans, hostile * n + suffix * n, "output")) for n in (50, 500)
        )
        assert large <= 10.5 * small


@given(st.text("{}[]\"'\\\n:a", max_size=60))
@UNHURRIED
def test_object_spans_take_bounded_time_for_any_text(text: str) -> None:
    assert operations(lambda: ObjectSpans(text * 5, "a")) <= 30 * len(text * 5) + 30


@pytest.mark.parametrize("hostile", ["{", '{"output":', '"\\', "[", "{'output':[", "\\boxed{"])
def test_final_answer_handles_a_megabyte(hostile: str) -> None:
    assert find_final_answer(hostile * (1_000_000 // len(hostile)), "output") is None


def test_final_answer_parses_recorded_answers() -> None:
    records = list(recorded("recorded_predict.jsonl"))
    found = [find_final_answer(record["response"], record["direction"]) for record in records]
    assert len(found) == 48
    assert all(found)
    inputs = [
        answer.value
        for answer, record in zip(found, records, strict=True)
        if answer and record["direction"] == "input"
    ]
    assert all(isinstance(value, dict) for value in inputs)
