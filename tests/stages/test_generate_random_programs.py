"""No stable pair of a random program is contradicted by a plain interpreter."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from annoy_store.config import Policy
from annoy_store.db.tables import io_pairs, pair_checks
from annoy_store.interfaces import Sandbox, StageContext
from annoy_store.stages import generate
from tests.support.plain_interpreter import StoredPair, contradicted

POLICY = Policy(pairs_wanted=3, max_draws=6)
PROGRAMS_AT_ONCE = 10

TEXTS = st.text(st.characters(), max_size=6) | st.sampled_from(
    [
        "",
        "1",
        "null",
        "true",
        "1.0",
        "NaN",
        "\0",
        "\ud800",
        "\udfff",
        "\u2028",
        "é",
        "e\u0301",
        "\U0001f600",
    ]
)
NUMBERS = (
    st.integers(-3, 3)
    | st.integers()
    | st.floats()
    | st.sampled_from([10**20, 2**53 + 1, -0.0, 1e16, 0.1 + 0.2, 5e-324])
)
LEAVES = st.none() | st.booleans() | NUMBERS | TEXTS
KEYS = LEAVES | st.tuples(st.integers(0, 2)) | st.binary(max_size=2)


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.dictionaries(st.sampled_from([1, "1", True, "true", None, "null", 1.5, "1.5"]), inner)
        | st.sets(st.integers(0, 9), max_size=3)
    )


VALUES = st.recursive(LEAVES | st.binary(max_size=3), _nested, max_leaves=8)


def source_of(value: Any) -> str:
    """Return an expression for a value; `repr` has none for NaN and infinities."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{source_of(k)}: {source_of(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(source_of, value)) + "]"
    if isinstance(value, tuple):
        return "(" + "".join(f"{source_of(v)}, " for v in value) + ")"
    if isinstance(value, set):
        return f"set({sorted(value)})"
    if isinstance(value, float):
        return f"float({str(value)!r})"
    return ascii(value)


USUAL_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
USUAL = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | USUAL_TEXTS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(USUAL_TEXTS, inner, max_size=4)
        | st.dictionaries(st.integers(-2, 2) | st.none(), inner, max_size=3)
    ),
    max_leaves=8,
)
USUAL_SOURCES = USUAL.map(source_of)
SOURCES = USUAL_SOURCES | USUAL_SOURCES | VALUES.map(source_of) | st.just("10**4400")
KEY_SOURCES = (KEYS | st.sampled_from([1, "1", True, "true", None, "null"])).map(source_of)
STATEMENTS = st.one_of(
    st.just("COUNT[0] += 1"),
    st.just("global TOTAL; TOTAL = TOTAL + 1"),
    st.just("STATE.append(x)"),
    st.just("CACHE.setdefault(str(x), len(CACHE))"),
    st.just("x.append(x[:1]) if isinstance(x, list) else None"),
    st.just("x.clear() if isinstance(x, (list, dict)) else None"),
    st.builds(
        "x.update({{{0}: {1}}}) if isinstance(x, dict) else None".format, KEY_SOURCES, SOURCES
    ),
    st.builds("STATE.insert(0, {})".format, SOURCES),
    st.builds("held[{0}] = {1}".format, KEY_SOURCES, SOURCES),
    st.builds("held[{0}] = x".format, KEY_SOURCES),
    st.builds("x = [x, {}]".format, SOURCES),
    st.builds("helper({})".format, SOURCES),
)
RESULTS = st.one_of(
    st.sampled_from(
        ["x", "held", "STATE", "[x, COUNT, TOTAL]", "{'x': x, 1: held}", "[CACHE, held]", "(x, x)"]
    ),
    st.builds("[x, {}]".format, SOURCES),
    st.builds("{{{0}: x, {1}: {2}}}".format, KEY_SOURCES, KEY_SOURCES, SOURCES),
    SOURCES,
)
HEADS = [
    "import json, math\nfrom datetime import datetime\n",
    "def build(n):\n    return [n]\n",
    "class Items(dict):\n    def items(self):\n        return [('a', 1), ('a', 2)]\n",
    "",
]
GENERATOR_HEADS = ["import datetime\n", "def build():\n    return 1\n", "TOTAL = STATE = 5\n", ""]


@st.composite
def programs(draw: st.DrawFn) -> tuple[str, str]:
    """Source of a program and of its generator."""
    body = draw(st.lists(STATEMENTS, max_size=4))
    lines = [line for statement in body for line in statement.split("; ")]
    names = "".join(f"    {line}\n" for line in lines if line.startswith("global"))
    rest = "".join(f"    {line}\n" for line in lines if not line.startswith("global"))
    code = (
        f"{draw(st.sampled_from(HEADS))}COUNT = [0]\nTOTAL = 0\nSTATE = []\nCACHE = {{}}\n"
        "def helper(value, kept=[]):\n    kept.append(value)\n    STATE.append(len(kept))\n"
        f"def main_solution(x):\n{'    global TOTAL' + chr(10) if names else ''}    held = {{}}\n"
        f"{rest}    return {draw(RESULTS)}\n"
    )
    choices = ", ".join(
        draw(
            st.lists(draw(st.sampled_from([USUAL_SOURCES] * 3 + [SOURCES])), min_size=3, max_size=6)
        )
    )
    generator = (
        f"import random\n{draw(st.sampled_from(GENERATOR_HEADS))}"
        f"def input_generator():\n    return {{'x': random.choice([{choices}])}}\n"
    )
    return code, generator


def stable_pairs(sandbox: Sandbox, code: str, generator: str) -> list[StoredPair]:
    """Return the pairs that the stage `generate` calls stable."""

    def no_teacher(kind: str, pinned: int) -> Any:
        raise AssertionError("this stage calls no teacher")

    context = StageContext(POLICY, 1, lambda: sandbox, no_teacher, 1)
    row = {"subject_id": 1, "digest": "d", "funcname": "main_solution", "refcode": code}
    row.update(problem_statement="", io_requirements="", input_generator=generator, pairs=None)
    outcome = generate.run(row, context)
    checks = [new.values for new in outcome.rows if new.table is pair_checks]
    pairs = [c["io_pair_id"].values for c in checks if c["status"] == "stable"]
    assert all(c["io_pair_id"].table is io_pairs for c in checks)
    return [StoredPair(code, pair["input"], pair["output"]) for pair in pairs]


def assert_nothing_is_contradicted(sandbox: Sandbox, batches: int) -> int:
    """Try `batches` batches of programs; return how many stable pairs they had."""
    found = 0

    @settings(
        max_examples=batches,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # a contradiction names its pair, which is small enough
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(programs(), min_size=PROGRAMS_AT_ONCE, max_size=PROGRAMS_AT_ONCE))
    def tried(batch: list[tuple[str, str]]) -> None:
        nonlocal found
        pairs = [pair for program in batch for pair in stable_pairs(sandbox, *program)]
        found += len(pairs)
        assert contradicted(pairs) == []

    tried()
    return found


def test_generate_makes_no_pair_that_a_plain_interpreter_contradicts(sandbox: Sandbox) -> None:
    assert assert_nothing_is_contradicted(sandbox, 3) > 10


@pytest.mark.slow
def test_generate_makes_no_pair_that_a_plain_interpreter_contradicts_long(
    sandbox: Sandbox,
) -> None:
    assert assert_nothing_is_contradicted(sandbox, 100) > 1000
