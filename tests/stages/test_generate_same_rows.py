"""generate makes the rows that it makes with every call in a process of its own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from annoy_store.config import Policy
from annoy_store.interfaces import NewRow, Outcome, Program, Sandbox, StageContext
from annoy_store.stages import generate, input_sampling
from annoy_store.stages.stateless import is_stateless
from tests.support.separate_processes import SeparateProcesses
from tests.support.stateful_programs import STATEFUL

UNEQUAL = {"cpu_ms", "wall_ms", "runner_version", "isolation", "interpreter"}


def rows_of(sandbox: Sandbox, code: str, generator: str | None, **policy: Any) -> list[Any]:
    """Return how the job of a sample ends, with its rows but for what differs from run to run."""

    def no_teacher(kind: str, pinned: int) -> Any:
        raise AssertionError("this stage calls no teacher")

    context = StageContext(Policy(**policy), 1, lambda: sandbox, no_teacher, 1)
    row = {"subject_id": 1, "digest": "d", "funcname": "main_solution", "refcode": code}
    row.update(problem_statement="", io_requirements="", input_generator=generator, pairs=None)
    outcome = generate.run(row, context)
    return [outcome.state, outcome.reason, outcome.detail, *map(_plain, _all_rows(outcome))]


def _all_rows(outcome: Outcome) -> list[NewRow]:
    """Return the rows, each after those that it names."""
    found: dict[int, NewRow] = {}

    def add(row: NewRow) -> None:
        for value in row.values.values():
            if isinstance(value, NewRow):
                add(value)
        found.setdefault(id(row), row)

    for row in outcome.rows:
        add(row)
    return list(found.values())


def _plain(row: NewRow) -> tuple[str, dict[str, Any]]:
    values = {
        key: value.table.name if isinstance(value, NewRow) else value
        for key, value in row.values.items()
        if key not in UNEQUAL
    }
    return row.table.name, values


HEADS = [
    "import random\n",
    "N = 3\nSTEPS = [(0, 1), (1, 2)]\n",
    "ROWS = {'a': 1, 'b': 2}\n",
    "seen = []\n",
    "class Node:\n    limit = 2\n    def __init__(self, x):\n        self.x = x\n",
    "def helper(x, more=()):\n    return [x, *more]\n",
    "def helper(x, seen=[]):\n    seen.append(x)\n    return len(seen)\n",
]
STEPS = [
    "x = x + 1",
    "x = [x, N]",
    "x = [x + a for a, b in STEPS]",
    "x = ROWS['a'] * x",
    "x = helper(x)",
    "x = Node(x).x + Node.limit",
    "seen.append(1); x = len(seen) + x",
    "x = [1] * (7 * x)",
    "x = 10 // (x % 3)",
    "x = None if x % 4 == 0 else x",
    "x = random.random()",
    "x = {1, 2} if x == 3 else x",
    "for i in range(x % 5 * 30): x += i",
    "x = str(x) * 20",
]
DRAWS = [
    "random.randint(0, 9)",
    "random.choice([1, 2])",
    "random.randint(0, 60)",
    "random.choice([1, 2, 3, 'a'])",
    "1 // random.randint(0, 3)",
    "[random.randint(0, 9)] * random.randint(0, 30)",
    "seen.append(1) or len(seen)",
    "7",
    "random.choice([float('nan'), 2.5, {1}, 3])",
]


@st.composite
def programs(draw: st.DrawFn) -> tuple[str, str]:
    """Source of a program, most of them without state, and of its generator."""
    heads = draw(st.lists(st.sampled_from(HEADS), max_size=4, unique=True))
    steps = draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=3))
    body = "".join(f"    {line}\n" for line in steps)
    code = "".join(heads) + f"def main_solution(x):\n{body}    return x\n"
    head = draw(st.sampled_from(["import random\n", "import random\nseen = []\n"]))
    value = draw(st.sampled_from(DRAWS))
    return code, f"{head}def input_generator():\n    return {{'x': {value}}}\n"


def compare(sandbox: Sandbox, samples: int) -> int:
    """Compare the rows of random samples; return how many of them were without state."""
    stateless = 0
    apart = SeparateProcesses(sandbox)

    @settings(
        max_examples=samples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(programs())
    def compared(program: tuple[str, str]) -> None:
        nonlocal stateless
        stateless += is_stateless(Program(program[0], generator=program[1]))
        few = {"pairs_wanted": 3, "max_draws": 12, "count_lines": 60}
        assert rows_of(sandbox, *program, **few) == rows_of(apart, *program, **few)

    compared()
    return stateless


def test_generate_makes_the_rows_of_separate_processes(sandbox: Sandbox) -> None:
    assert compare(sandbox, 30) > 5


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_generate_makes_the_rows_of_separate_processes_long(sandbox: Sandbox) -> None:
    assert compare(sandbox, 1000) > 200


@pytest.mark.parametrize("generator", DRAWS)
def test_generate_makes_the_rows_of_separate_processes_for_each_kind_of_draw(
    sandbox: Sandbox, generator: str
) -> None:
    code = "def main_solution(x):\n    return x\n"
    draw = f"import random\nseen = []\ndef input_generator():\n    return {{'x': {generator}}}\n"
    apart = SeparateProcesses(sandbox)
    assert rows_of(sandbox, code, draw, max_draws=30) == rows_of(apart, code, draw, max_draws=30)


@pytest.mark.slow
@pytest.mark.parametrize("name", STATEFUL)
def test_generate_makes_the_rows_of_separate_processes_for_programs_with_state(
    sandbox: Sandbox, name: str
) -> None:
    code = STATEFUL[name] + "def main_solution(x):\n    return [x, f()]\n"
    draw = "import random\ndef input_generator():\n    return {'x': random.randint(0, 9)}\n"
    apart = SeparateProcesses(sandbox)
    assert rows_of(sandbox, code, draw) == rows_of(apart, code, draw)


@pytest.mark.slow
@pytest.mark.parametrize("name", STATEFUL)
def test_generate_contradicts_state_that_the_whitelist_would_miss(
    sandbox: Sandbox, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its second runs, in reverse order and in another process."""
    code = STATEFUL[name] + "def main_solution(x):\n    return [x, f()]\n"
    draw = "import random\ndef input_generator():\n    return {'x': random.randint(0, 9)}\n"
    apart = rows_of(SeparateProcesses(sandbox), code, draw)
    monkeypatch.setattr(input_sampling, "is_stateless", lambda _: True)
    found = rows_of(sandbox, code, draw)
    assert found == apart or found[0] == "rejected"
