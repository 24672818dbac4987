"""Parsing transform answers: accepted deviations in form, and the reason of every failure."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annoy_store.parsing.headings import SECTIONS
from annoy_store.parsing.sections import ParsedSample, ParseFailure, parse_sections
from tests.parsing.conftest import Recorded

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


def without(*old: str) -> str:
    text = GOOD
    for part in old:
        assert part in text
        text = text.replace(part, "", 1)
    return text


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
        "\ufeff" + GOOD,
        GOOD.replace("## Main Function", "## Main Function (Python)"),
        GOOD.replace("## Main Function", "## `Main Function`"),
        GOOD.replace("## Main Function", "## Main Solution"),
        GOOD.replace("## Input Output Description", "## Inputs and Outputs"),
        GOOD.replace("## Problem Statement", "## Problem"),
        "\n".join("> " + line for line in GOOD.split("\n")),
        GOOD.replace("\n## ", "\n> ## "),
        "\n".join("> > " + line for line in GOOD.split("\n")),
        GOOD.replace("## Main", "## I. Main").replace("## Input G", "## III. Input G"),
        GOOD.replace("    return", "\u00a0 \u00a0\u3000return"),
        GOOD.replace("```python\nimport math", "```python\n\u200bimport math"),
        GOOD.replace("import math\n", "import math\n```\nand\n```python"),
        GOOD.replace(f"```python\n{MAIN}", f"```python\n{MAIN}0\n```\nBetter:\n```python\n{MAIN}"),
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


def test_sections_keep_a_fence_in_a_docstring() -> None:
    for shown in ("```\n    main_solution(9)\n    ```", "```python\n    x\n    ```", "~~~\n```"):
        code = MAIN.replace("(n):", f'(n):\n    """Root.\n\n    {shown}\n    """', 1)
        found = parse_sections(GOOD.replace(MAIN, code))
        assert found == ParsedSample(code, IO, GENERATOR, PROBLEM)


def test_sections_keep_headings_inside_the_description() -> None:
    described = "## Input\n- `n`: a number\n\n## Output\n- its root"
    found = parse_sections(GOOD.replace(IO, described))
    assert found == ParsedSample(MAIN, described, GENERATOR, PROBLEM)


def test_sections_take_from_earlier_versions_what_the_last_lacks() -> None:
    again = "def main_solution(n):\n    return math.isqrt(n)"
    continued = f"## Main Function\n```python\nimport math\n```\n{GOOD}".replace(MAIN, again)
    found = parse_sections(continued)
    assert found == ParsedSample(f"import math\n\n{again}", IO, GENERATOR, PROBLEM)


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
            "async:main_solution",
        ),
        (GOOD.replace("def input_generator", "def generate"), "name_missing:input_generator"),
        (GOOD.replace("import math", "x = '\\d'; y = 1if x else 2"), None),
        (GOOD.replace("def main_solution(n):", "main_solution = lambda n: 1\ndef f():"), None),
        (GOOD.replace("def main_s", "try:\n  f\nexcept NameError:\n  def main_s"), None),
        (GOOD.replace("def main_s", "if True:\n  def main_s"), None),
        (GOOD.replace("def main_solution(n):", "main_solution: object = abs\ndef f(n):"), None),
        (GOOD.replace("def main_solution", "from math import sqrt as main_solution\ndef f"), None),
        (
            GOOD.replace("def main_solution(n):", "main_solution: object\ndef f(n):"),
            "name_missing:main_solution",
        ),
        (GOOD.replace("def input_generator", "async def input_generator"), "async:input_generator"),
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


def test_sections_report_why_there_is_no_function() -> None:
    found = parse_sections("> **No suitable function.**\nIt only draws windows.")
    assert isinstance(found, ParseFailure)
    assert "It only draws windows." in found.detail


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
            *("syntax_error", "name_missing", "async"),
        }
        _, _, where = found.reason.partition(":")
        assert where in {"", "main_solution", *SECTIONS}
    else:
        assert "main_solution" in found.refcode
        assert found.problem_statement


HEADS = st.sampled_from(["## {}", "**{}:**", "### 1. {}", "> ## {}", "## `{}`", "##{} (Python)"])
DOCS = st.sampled_from(["", '"""It\'s.\n    ```\n    x\n    ```\n    """', "r'''\n~~~\n```\n'''"])
STATEMENTS = st.lists(
    st.sampled_from(
        ["x = '```'", "# it's ## Main Function", 'y = "}"', "import math", "z = {1: '\u00a0'}"]
    ),
    max_size=4,
)


def check_round_trip(head: str, docs: str, before: list[str], between: bool, fence: str) -> None:
    """An answer written in any of these forms gives back its sections."""
    function = f"def main_solution(n):\n    {docs}\n    return n" if docs else "main_solution = abs"
    apart = f"\n{fence}\nThen\n{fence}python\n" if between else "\n\n"
    written = apart.join(["\n".join(before), function]) if before else function
    texts = [f"{fence}python\n{written}\n{fence}", IO, f"{fence}\n{GENERATOR}\n{fence}", PROBLEM]
    names = ("Main Function", "Input Output Description", "Input Generator", "Problem Statement")
    parts = [f"{head.format(n)}\n{text}" for n, text in zip(names, texts, strict=True)]
    found = parse_sections("\n\n".join(parts))
    assert isinstance(found, ParsedSample), found
    assert found == ParsedSample(found.refcode, IO, GENERATOR, PROBLEM)
    assert found.refcode.endswith(function)
    if not between:
        assert found.refcode == written.strip("\n")


ROUND_TRIP = st.tuples(
    HEADS, DOCS, STATEMENTS, st.booleans(), st.sampled_from(["```", "````", "~~~"])
)


@given(ROUND_TRIP)
@settings(max_examples=60, deadline=None)
def test_sections_give_back_what_was_written(written: Any) -> None:
    check_round_trip(*written)


@pytest.mark.slow
@given(ROUND_TRIP)
@settings(max_examples=5_000, deadline=None)
def test_sections_give_back_what_was_written_long(written: Any) -> None:
    check_round_trip(*written)


@pytest.mark.parametrize(
    "monster",
    ["#" * 10**6, " " * 10**6, "`" * 10**6, "```\n" * 200_000, "## Main Function\n" * 50_000],
)
def test_sections_reject_huge_repetitive_texts(monster: str) -> None:
    assert isinstance(parse_sections(monster), ParseFailure)


def test_sections_parse_recorded_transform_answers(recorded: Recorded) -> None:
    found = [parse_sections(record["response"]) for record in recorded("recorded_transform.jsonl")]
    assert len(found) == 24
    assert all(isinstance(part, ParsedSample) for part in found)


FOUR = {"code": "def main_solution(x):\n    return x", "io": "x: int", "problem": "What is x?"}
FOUR["input_generator"] = "def input_generator():\n    return {'x': 1}"


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(FOUR),
        f"```json\n{json.dumps(FOUR, indent=1)}\n```",
        "\n".join(f"<{name}>\n{part}\n</{name}>" for name, part in FOUR.items()),
        "\n".join(f"<{name}>\n```python\n{part}\n```\n</{name}>" for name, part in FOUR.items()),
        json.dumps({"answer": f"## Main Function\n```python\n{FOUR['code']}\n```"}),
    ],
)
def test_parse_sections_refuses_sections_as_json_and_xml(text: str) -> None:
    assert parse_sections(text) == ParseFailure("section_missing:main_function")


def test_parse_sections_takes_tags_off_sections() -> None:
    text = f"""\
## Main Function
<code>
```python
{FOUR["code"]}
```
</code>
## Input Output Description
<io_description>
{FOUR["io"]}
</io_description>
## Input Generator
<code>
```python
{FOUR["input_generator"]}
```
</code>
## Problem Statement
<problem>{FOUR["problem"]}</problem>"""
    assert parse_sections(text) == ParsedSample(
        FOUR["code"], FOUR["io"], FOUR["input_generator"], FOUR["problem"]
    )


def test_parse_sections_keeps_tags_within_a_section() -> None:
    said = "<p>x</p> or <problem>y</problem> of <problem>z</problem>"
    text = f"""\
## Main Function
```python
{FOUR["code"]}
```
## Input Output Description
<b>x</b>
## Input Generator
```python
{FOUR["input_generator"]}
```
## Problem Statement
{said}"""
    found = parse_sections(text)
    assert isinstance(found, ParsedSample)
    assert (found.io_requirements, found.problem_statement) == ("<b>x</b>", said)
