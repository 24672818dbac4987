"""The tracer answers by rules, with foreign code run in the sandbox only."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from annoy_store.config import RunSettings
from annoy_store.errors import UsageError
from annoy_store.inference.backends import open_backend
from annoy_store.inference.backends.tracer import backend
from annoy_store.interfaces import Limits, Program, Request, Sandbox
from annoy_store.parsing import final_answer, sections
from annoy_store.prompts import template
from annoy_store.sandbox import open_sandbox

SETTINGS = RunSettings(slots=1, unsafe_no_sandbox=True)
Messages = list[dict[str, str]]

COLLATZ = """
    def collatz(n):
        steps = 0
        while n != 1:
            n = n // 2 if n % 2 == 0 else 3 * n + 1
            steps += 1
        return steps

    def main_solution(start: int, many: int):
        best = []
        for i in range(start, start + many):
            best.append(collatz(i))
        return best
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    opened = open_sandbox(slots=1, unsafe=True)
    yield opened
    opened.close()


@pytest.fixture
def teacher(sandbox: Sandbox) -> backend.Tracer:
    return backend.connect(SETTINGS, None, lambda: sandbox)


def ask(teacher: backend.Tracer, kind: str, messages: Messages, sample_no: int = 0) -> str:
    asked = asyncio.run(teacher.ask(Request(1, kind, messages, 7, sample_no)))
    assert asked.status == "answered"
    assert asked.completion is not None
    assert [attempt.status for attempt in asked.attempts] == ["ok"]
    return asked.completion.text


def output_prompt(code: str, **arguments: Any) -> Messages:
    given = json.dumps(arguments)
    return template.load_template("predict_output").render(
        problem="What is it?", io="", code=dedent(code), input=given
    )


def input_prompt(code: str, output: Any, io: str = "") -> Messages:
    return template.load_template("predict_input").render(
        problem="What is it?", io=io, code=dedent(code), output=json.dumps(output)
    )


def revised(messages: Messages, answer: str, feedback: str = "That is not right.") -> Messages:
    again = template.load_template("revise").render(feedback=feedback)
    return [*messages, {"role": "assistant", "content": answer}, *again]


def answered(text: str, key: str) -> Any:
    found = final_answer.find_final_answer(text, key)
    assert found is not None, text
    return found.value


# Output --------------------------------------------------------------------------------------


def test_output_answer_describes_a_short_run(teacher: backend.Tracer) -> None:
    text = ask(teacher, "predict_output", output_prompt(COLLATZ, start=5, many=1))
    assert answered(text, "output") == [5]
    for told in (
        "`main_solution(start=5, many=1)` is called",
        "Round 1 (`i = 5`)",
        "`collatz(n=5)`",
        "The loop `while n != 1`",
        "`steps = 5`",
        "So `collatz` returns `5`",
    ):
        assert told in text


def test_output_answer_extrapolates_past_the_budget_and_continues_next_turn(
    teacher: backend.Tracer,
) -> None:
    messages = output_prompt(COLLATZ, start=10, many=3)
    first = ask(teacher, "predict_output", messages)
    assert "I stop stepping through here" in first
    assert answered(first, "output") == [6]
    second = ask(teacher, "predict_output", revised(messages, first, "One value is missing."))
    assert "> One value is missing." in second
    assert "My earlier answer [6] does not hold" in second
    assert answered(second, "output") == [6, 14, 9]


def test_extrapolation_continues_a_linear_sequence(teacher: backend.Tracer) -> None:
    code = """
        def main_solution(n: int):
            total = 0
            for _ in range(n):
                total += 3
            return total
    """
    text = ask(teacher, "predict_output", output_prompt(code, n=500))
    assert "changed by 3 in each of the last rounds" in text
    assert answered(text, "output") == 1500


@pytest.mark.parametrize(
    ("code", "told", "output"),
    [
        (
            "def main_solution(x):\n    if x > 3:\n        return 'big'\n    return 'small'",
            "`x > 3` is true",
            "big",
        ),
        (
            "def main_solution(x):\n    y = [x]\n    y.append(x + 1)\n    return y",
            "makes `y = [7, 8]`",
            [7, 8],
        ),
        (
            "def rows(n):\n    for i in range(n):\n        yield i * i\n\ndef main_solution(x):\n    return list(rows(3))",
            "hands out `4`",
            [0, 1, 4],
        ),
        (
            "def part(x):\n    raise KeyError(x)\n\ndef main_solution(x):\n    try:\n        return part(x)\n    except KeyError:\n        return -1",
            "`part` stops with KeyError",
            -1,
        ),
        (
            "class Box:\n    def __init__(self, v):\n        self.v = v\n\ndef main_solution(x):\n    box = Box(x)\n    return box.v",
            "`box = Box(v=7)`",
            7,
        ),
        (
            "def main_solution(x):\n    return [k for k in range(x) if k % 3 == 0]",
            "So `main_solution` returns `[0, 3, 6]`",
            [0, 3, 6],
        ),
    ],
)
def test_narrative_describes_every_kind_of_step(
    teacher: backend.Tracer, code: str, told: str, output: Any
) -> None:
    text = ask(teacher, "predict_output", output_prompt(code, x=7))
    assert told in text
    assert answered(text, "output") == output


def test_narrative_tells_a_branch_only_where_it_was_taken(teacher: backend.Tracer) -> None:
    code = """
        def main_solution(x):
            try:
                if {}[x] > 3:
                    x += 1
            except KeyError:
                x += 2
            if (x > 3 and
                    x < 99):
                x += 1
            return x
    """
    text = ask(teacher, "predict_output", output_prompt(code, x=7))
    assert "`{}[x] > 3` is" not in text
    assert "x > 3 and x < 99` is true" in text
    assert "is false" not in text
    assert answered(text, "output") == 10


@pytest.mark.parametrize(
    "body",
    [
        "while True:\n        x += 1",
        "import sys\n    sys.exit(0)",
        "import os\n    os._exit(0)",
        "import sys\n    sys.settrace(None)\n    return {1, 2}",
        "try:\n        while True:\n            x += 1\n    except BaseException:\n        return 5",
        "import json\n    json.dumps = lambda *a, **k: '{'\n    return 1",
        "f = __import__('sys')._getframe(1)\n    f.f_locals['report'].update(lines='x', events=3)",
        "return main_solution(x + 1)",
        "return float('nan')",
        "raise ValueError('no')",
        "return 10 ** 6000",
    ],
)
def test_output_answer_handles_misbehaving_code(teacher: backend.Tracer, body: str) -> None:
    messages = output_prompt(f"def main_solution(x):\n    {body}\n", x=1)
    first = ask(teacher, "predict_output", messages)
    assert final_answer.find_final_answer(first, "output") is not None
    assert "```json" in ask(teacher, "predict_output", revised(messages, first))


def test_tracer_runs_no_foreign_code_in_this_process(
    teacher: backend.Tracer, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    code = f"""
        import os
        try:
            open({str(mark)!r}, "w").write("x")
        except OSError:
            pass
        def main_solution(n: int):
            return os.getpid()
    """
    for kind, messages in (
        ("transform", template.load_template("transform").render(code=dedent(code))),
        ("predict_output", output_prompt(code, n=1)),
        ("predict_input", input_prompt(code, os.getpid())),
    ):
        text = ask(teacher, kind, messages)
        assert f'{{"output": {os.getpid()}}}' not in text
    assert not mark.exists()


# Input ---------------------------------------------------------------------------------------


def run(sandbox: Sandbox, code: str, given: Any) -> Any:
    (ran,) = sandbox.call(Program(dedent(code)), [json.dumps(given)], Limits())
    return json.loads(ran.output or "null")


@pytest.mark.parametrize(
    ("code", "output", "io"),
    [
        ("def main_solution(n: int):\n    return n * n + 1", 26, ""),
        ("def main_solution(s: str):\n    return s[::-1]", "dlrow", ""),
        ("def main_solution(nums: list, k: int):\n    return sorted(nums)[k]", 3, ""),
        ("def main_solution(flag: bool, n: int):\n    return [n, flag]", [2, True], ""),
        (
            "def main_solution(n: int):\n    return n % 1000",
            317,
            "`n` (int): a number from 300 to 320.",
        ),
    ],
)
def test_input_answer_finds_an_input(
    teacher: backend.Tracer, sandbox: Sandbox, code: str, output: Any, io: str
) -> None:
    messages = input_prompt(code, output, io)
    text = ask(teacher, "predict_input", messages)
    given = answered(text, "input")
    if run(sandbox, code, given) != output:
        given = answered(ask(teacher, "predict_input", revised(messages, text)), "input")
    assert run(sandbox, code, given) == output


def test_input_answer_guesses_and_does_not_repeat_a_guess(
    teacher: backend.Tracer,
) -> None:
    messages = input_prompt("def main_solution(n: int):\n    return n * 2", 7)
    first = ask(teacher, "predict_input", messages)
    assert "None of them gives the wanted output" in first
    assert answered(first, "input") == {"n": 3}
    second = ask(teacher, "predict_input", revised(messages, first))
    assert "did not give it" in second
    assert answered(second, "input") != answered(first, "input")


def test_input_answer_searches_longer_in_later_turns(
    teacher: backend.Tracer, sandbox: Sandbox
) -> None:
    messages = input_prompt(COLLATZ, [16, 3, 19])
    first = ask(teacher, "predict_input", messages)
    assert run(sandbox, COLLATZ, answered(first, "input")) != [16, 3, 19]
    second = ask(teacher, "predict_input", revised(messages, first))
    assert run(sandbox, COLLATZ, answered(second, "input")) == [16, 3, 19]


def test_input_answer_survives_inputs_that_never_return(teacher: backend.Tracer) -> None:
    code = "def main_solution(n: int):\n    while n != 5:\n        n += 2\n    return n"
    text = ask(teacher, "predict_input", input_prompt(code, 5))
    assert answered(text, "input")["n"] % 2 == 1


def test_input_answer_says_exactly_only_of_equal_values(teacher: backend.Tracer) -> None:
    code = "def main_solution(x: int):\n    return x * 1.0001"
    near = ask(teacher, "predict_input", input_prompt(code, 3.0001, "`x` (int): a number"))
    assert "gives `3.0003`, which is the wanted output within the tolerance." in near
    assert "exactly" not in near
    assert answered(near, "input") == {"x": 3}
    equal = ask(teacher, "predict_input", input_prompt(code, 3 * 1.0001, "`x` (int): a number"))
    assert "The first line gives exactly the wanted output." in equal


# The teacher itself --------------------------------------------------------------------------


def test_tracer_is_deterministic(teacher: backend.Tracer, sandbox: Sandbox) -> None:
    code = "def main_solution(s: str):\n    seen = set(s)\n    return sorted(seen)[:2]"
    other = backend.connect(SETTINGS)
    try:
        for kind, messages in (
            ("predict_output", output_prompt(code, s="hello world")),
            ("predict_input", input_prompt(code, ["q", "z"])),
            ("predict_input", input_prompt(COLLATZ, [16, 3, 19])),
        ):
            assert ask(teacher, kind, messages) == ask(other, kind, messages)
    finally:
        asyncio.run(other.close())


def test_tracer_varies_with_the_sample_number(teacher: backend.Tracer) -> None:
    messages = input_prompt(COLLATZ, [1, 2, 3])
    assert ask(teacher, "predict_input", messages) != ask(teacher, "predict_input", messages, 1)


def test_tracer_answers_messages_without_code(teacher: backend.Tracer) -> None:
    messages = [{"role": "user", "content": "How are you?"}]
    for kind in ("transform", "predict_output", "predict_input"):
        text = ask(teacher, kind, messages)
        assert final_answer.find_final_answer(text, "output") is None
        fault = sections.parse_sections(text)
        assert isinstance(fault, sections.ParseFailure)
        assert fault.reason == "no_function"


def test_tracer_opens_no_sandbox_for_transform(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> Any:
        raise AssertionError("the sandbox was opened")

    monkeypatch.setattr("annoy_store.sandbox.open_sandbox", refuse)
    teacher = backend.connect(SETTINGS)
    text = ask(
        teacher, "transform", template.load_template("transform").render(code=dedent(COLLATZ))
    )
    assert isinstance(sections.parse_sections(text), sections.ParsedSample)
    assert teacher.capacity == 1


def test_open_backend_opens_the_tracer_and_rejects_unknown_models() -> None:
    teacher = open_backend("tracer", SETTINGS, None)
    assert (teacher.identity.backend, teacher.identity.model) == ("tracer", "rules-1")
    with pytest.raises(UsageError, match="rules-1"):
        open_backend("tracer", SETTINGS, "gpt-9")
