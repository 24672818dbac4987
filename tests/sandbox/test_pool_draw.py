"""Results of `LocalSandbox.draw`: seeded inputs, recorded before the call, and failures."""

from __future__ import annotations

import json

import pytest

from annoy_store.interfaces import Limits, Program
from annoy_store.sandbox import LocalSandbox

CODE = "def main_solution(a):\n    a.append(0)\n    return sorted(a)\n"
GENERATOR = (
    "import random\n"
    "def input_generator():\n"
    "    return {'a': [random.randint(0, 99) for _ in range(5)]}\n"
)


def test_draw_is_reproducible_by_seed(each: LocalSandbox) -> None:
    program = Program(CODE, generator=GENERATOR)
    first = each.draw(program, [1, 2, 1], Limits())
    assert [r.outcome for r in first] == ["ok"] * 3
    assert first[0].input == first[2].input != first[1].input
    assert each.draw(program, [2], Limits())[0].output == first[1].output


def test_draw_records_input_before_the_call(sandbox: LocalSandbox) -> None:
    ran = sandbox.draw(Program(CODE, generator=GENERATOR), [7], Limits())[0]
    assert ran.input is not None
    assert ran.output is not None
    given = json.loads(ran.input)["a"]
    assert len(given) == 5
    assert json.loads(ran.output) == sorted([*given, 0])
    assert ran.mutated
    assert sandbox.call(Program(CODE), [ran.input], Limits())[0].output == ran.output


def test_draw_gives_the_same_output_as_call(sandbox: LocalSandbox) -> None:
    code = "import random\ndef main_solution(a):\n    return [a, random.random()]\n"
    program = Program(code, generator="def input_generator():\n    return {'a': random.random()}\n")
    ran = sandbox.draw(program, [5], Limits())[0]
    assert ran.input is not None
    assert sandbox.call(program, [ran.input], Limits())[0].output == ran.output


def test_draw_does_not_call_known_inputs(each: LocalSandbox) -> None:
    """Not even if the order of the keys differs."""
    code = "def main_solution(a, b):\n    return a // b\n"
    generator = "def input_generator():\n    return {'b': 0, 'a': 1}\n"
    program = Program(code, generator=generator)
    known = ['{"a":1,"b":0}']
    again = each.draw(program, [1], Limits(), known)[0]
    assert (again.outcome, again.input, again.phase) == ("repeated", '{"b":0,"a":1}', "generate")
    new = each.draw(program, [1], Limits(), ['{"a":1,"b":2}'])[0]
    assert (new.outcome, new.error_type) == ("exception", "ZeroDivisionError")


@pytest.mark.parametrize(
    "generator",
    [
        "def input_generator():\n    return {'n': SIZE}\n",
        "class Sizes:\n    n = SIZE\ndef input_generator():\n    return vars(Sizes) and {'n': Sizes.n}\n",
        "N = [SIZE for _ in range(1)]\ndef input_generator():\n    return {'n': eval('SIZE')}\n",
        "def input_generator():\n    return {'n': abs(-2)}\n",
        "def input_generator():\n    return (lambda: {'n': main_solution(SIZE)})()\n",
        "from solution import SIZE as size\ndef input_generator():\n    return {'n': size}\n",
        "def input_generator():\n    grow()\n    grow()\n    return {'n': grown}\n",
    ],
)
def test_generator_may_use_the_names_of_the_code(sandbox: LocalSandbox, generator: str) -> None:
    code = (
        "SIZE = 3\ngrown = 1\ndef abs(x):\n    return 3\n"
        "def grow():\n    global grown\n    grown += 1\n"
        "def main_solution(n):\n    return n\n"
    )
    assert sandbox.draw(Program(code, generator=generator), [1], Limits())[0].input == '{"n":3}'


def test_generator_may_stand_in_the_code(sandbox: LocalSandbox) -> None:
    code = "def main_solution(n):\n    return n\ndef input_generator():\n    return {'n': 3}\n"
    assert sandbox.draw(Program(code), [1], Limits())[0].output == "3"


@pytest.mark.parametrize(
    ("code", "generator", "output"),
    [
        (
            (
                "from datetime import datetime\n"
                "def main_solution(y):\n    return datetime(y, 1, 1).isoformat()\n"
            ),
            (
                "import datetime\n"
                "def input_generator():\n    return {'y': datetime.date(2001, 1, 1).year}\n"
            ),
            '"2001-01-01T00:00:00"',
        ),
        (
            "def build(n):\n    return [n] * 2\ndef main_solution(n):\n    return build(n)\n",
            "def build():\n    return {'n': 7}\ndef input_generator():\n    return build()\n",
            "[7,7]",
        ),
        (
            "LIMIT = 3\ndef main_solution(n):\n    return LIMIT\n",
            "LIMIT = 9\ndef input_generator():\n    global LIMIT\n    LIMIT += 1\n    return {'n': LIMIT}\n",
            "3",
        ),
        (
            "def main_solution(n):\n    return sorted([3, n])\n",
            (
                "def sorted():\n    return 1\ndef main_solution():\n    return 2\n"
                "def input_generator():\n    return {'n': sorted()}\n"
            ),
            "[1,3]",
        ),
        (
            "class Node:\n    value = 1\ndef main_solution(n):\n    return Node.value + n\n",
            (
                "from dataclasses import dataclass\n@dataclass\nclass Node:\n    value: 'int'\n"
                "def input_generator():\n    return {'n': Node(5).value}\n"
            ),
            "6",
        ),
    ],
)
def test_code_sees_only_its_own_names(
    each: LocalSandbox, code: str, generator: str, output: str
) -> None:
    drawn = each.draw(Program(code, generator=generator), [1], Limits())[0]
    assert (drawn.outcome, drawn.output) == ("ok", output)
    assert each.call(Program(code), [drawn.input or ""], Limits())[0].output == output


def test_generator_hides_no_missing_import_of_the_code(sandbox: LocalSandbox) -> None:
    code = "def main_solution(n):\n    return math.floor(n)\n"
    generator = "import math\ndef input_generator():\n    return {'n': math.floor(2.5)}\n"
    ran = sandbox.draw(Program(code, generator=generator), [1], Limits())[0]
    assert (ran.outcome, ran.error_type, ran.phase) == ("exception", "NameError", "call")


@pytest.mark.parametrize(
    ("generator", "outcome", "kind"),
    [
        ("def input_generator():\n    return [1]\n", "bad_args", "list"),
        ("def input_generator():\n    return {'a': {1}}\n", "not_json", "set"),
        ("def input_generator():\n    return {'a': float('nan')}\n", "not_json", "NaN"),
        ("def input_generator():\n    1 / 0\n", "exception", "ZeroDivisionError"),
        ("def input_generator(:\n", "exception", "SyntaxError"),
        ("def another():\n    pass\n", "exception", "NameError"),
        ("import surely_missing\n", "missing_module", "ModuleNotFoundError"),
        ("def input_generator():\n    return {'a': 'x' * 10**5}\n", "output_too_large", None),
        ("def input_generator():\n    raise SystemExit\n", "exit", "SystemExit"),
    ],
)
def test_generator_errors_are_reported_in_phase_generate(
    sandbox: LocalSandbox, generator: str, outcome: str, kind: str | None
) -> None:
    ran = sandbox.draw(Program(CODE, generator=generator), [1], Limits())[0]
    assert (ran.outcome, ran.error_type, ran.phase) == (outcome, kind, "generate")
    assert (ran.input, ran.output) == (None, None)


def test_draw_keeps_the_input_of_a_failed_call(sandbox: LocalSandbox) -> None:
    generator = "def input_generator():\n    return {'b': 1}\n"
    ran = sandbox.draw(Program(CODE, generator=generator), [1], Limits())[0]
    assert (ran.outcome, ran.phase, ran.input) == ("bad_args", "call", '{"b":1}')
    wrong = "def input_generator():\n    return {'a': 1}\n"
    ran = sandbox.draw(Program(CODE, generator=wrong), [1], Limits())[0]
    assert (ran.outcome, ran.phase, ran.input) == ("exception", "call", '{"a":1}')


def test_draw_keeps_key_order(sandbox: LocalSandbox) -> None:
    code = "def main_solution(z, a):\n    return [z, a]\n"
    generator = "def input_generator():\n    return {'z': 'é', 'a': 1}\n"
    ran = sandbox.draw(Program(code, generator=generator), [1], Limits())[0]
    assert (ran.input, ran.output) == ('{"z":"é","a":1}', '["é",1]')


@pytest.mark.parametrize("value", ["{1: 0, '1': 0}", "[{None: 0, 'null': 0}]", "'\\ud800'"])
def test_draw_refuses_inputs_that_lose_a_part(each: LocalSandbox, value: str) -> None:
    code = "def main_solution(z):\n    return 1\n"
    generator = f"def input_generator():\n    return {{'z': {value}}}\n"
    ran = each.draw(Program(code, generator=generator), [1], Limits())[0]
    assert (ran.outcome, ran.error_type, ran.phase) == ("not_json", "LossyJson", "generate")
    assert (ran.input, ran.output) == (None, None)


def test_draw_counts_lines_of_the_call_only(sandbox: LocalSandbox) -> None:
    code = "def main_solution(n):\n    return n\n"
    generator = "def input_generator():\n    n = 1\n    n = 2\n    n = 3\n    return {'n': n}\n"
    ran = sandbox.draw(Program(code, generator=generator), [1], Limits(lines=100))[0]
    assert ran.lines == 1


def test_draw_inputs_makes_the_inputs_of_separate_draws(sandbox: LocalSandbox) -> None:
    program = Program(CODE, generator=GENERATOR)
    drawn = sandbox.draw_inputs(program, [1, 2, 1, 3], Limits())
    assert [r.outcome for r in drawn] == ["drawn"] * 4
    assert [r.input for r in drawn] == [
        r.input for r in sandbox.draw(program, [1, 2, 1, 3], Limits())
    ]
    assert all(r.output is None and r.cpu_ms > 0 for r in drawn)


def test_draw_inputs_seeds_each_draw_anew(sandbox: LocalSandbox) -> None:
    generator = (
        "import random\ndef input_generator():\n"
        "    return {'a': [random.gauss(0, 1) for _ in range(random.choice([1, 2, 3]))]}\n"
    )
    program = Program(CODE, generator=generator)
    forward = sandbox.draw_inputs(program, [1, 2, 3, 4], Limits())
    backward = sandbox.draw_inputs(program, [4, 3, 2, 1], Limits())
    assert [r.input for r in forward] == [r.input for r in reversed(backward)]


@pytest.mark.parametrize(
    "failure",
    ["1 / 0", "{'a': {1}}", "[1]", "{'a': 'x' * 10**5}", "__import__('os').abort()", "exit()"],
)
def test_draw_inputs_ends_at_the_first_failure(sandbox: LocalSandbox, failure: str) -> None:
    generator = (
        "import random\ndef input_generator():\n"
        f"    n = random.randint(0, 3)\n    return {failure} if n == 0 else {{'a': [n]}}\n"
    )
    program = Program(CODE, generator=generator)
    seeds = list(range(12))
    apart = [r.input for r in sandbox.draw(program, seeds, Limits())]
    good = apart.index(None)
    drawn = [r.input for r in sandbox.draw_inputs(program, seeds, Limits())]
    assert drawn == apart[:good] or (drawn == [] and "abort" in failure)
    assert sandbox.draw(program, [good], Limits())[0].phase == (
        None if "abort" in failure else "generate"
    )


@pytest.mark.parametrize(
    "generator", ["import nothing_here\n", "def input_generator(:\n", "while True:\n    pass\n"]
)
def test_draw_inputs_returns_nothing_where_nothing_loads(
    sandbox: LocalSandbox, generator: str
) -> None:
    program = Program(CODE, generator=generator)
    assert sandbox.draw_inputs(program, [1, 2], Limits(cpu_seconds=0.2)) == []
    assert sandbox.call(program, ['{"a":[1]}'], Limits())[0].output == "[0,1]"


def test_draw_inputs_needs_an_isolation_that_blocks_forks(each: LocalSandbox) -> None:
    drawn = each.draw_inputs(Program(CODE, generator=GENERATOR), [1, 2], Limits())
    assert len(drawn) == (2 if each.describe()["isolation"] != "minimum" else 0)
