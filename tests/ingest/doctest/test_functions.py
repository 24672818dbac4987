"""Functions with tests become samples without executing any of their code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annoy_store.db.engine import Database
from annoy_store.ingest.doctest.functions import (
    FunctionWithTests,
    SkippedFunction,
    samples_from_code,
)
from annoy_store.ingest.doctest.importer import ingest_samples
from annoy_store.ingest.sources import IngestOptions
from tests.stages.conftest import run_stage, run_stage_in, sandbox  # noqa: F401
from tests.support.factories import write_all

FILE = '''\
"""Little helpers."""
import sys
from functools import reduce

sys.setrecursionlimit(2000)


def twice(n: int, by: int = 2) -> int:
    """Multiply a number.

    Examples:
        >>> twice(3)
        6
        >>> twice(n=4, by=3)
        12
        >>> twice(3)
        6
        >>> twice(sys.maxsize)
        1
    """
    return n * by


def joined(parts):
    """Put texts together, with a comma."""
    return reduce(lambda a, b: a + "," + b, parts)


def lonely(x):
    """Has one example only.

    >>> lonely(1)
    1
    """
    return x


def wordless(x):
    return x


def many(*x):
    """Takes anything."""
    return x


def test_joined():
    assert joined(["a", "b"]) == "a,b"
    assert "x" == joined(("x",))
    assert joined([]) is not None
    assert wordless(1) == 1 and wordless(2) == 2
    assert many(1) == (1,)


assert not joined == 3
print("loud")

if __name__ == "__main__":
    print(twice(2))
'''
SUITE = '''\
import unittest


def is_even(n):
    """Tell whether a number is even."""
    return n % 2 == 0


class Even(unittest.TestCase):
    def test_all(self):
        self.assertTrue(is_even(2))
        self.assertFalse(is_even(3))
        self.assertEqual(is_even(n=10), True)
'''


def taken(code: str) -> list[FunctionWithTests]:
    found = samples_from_code(code)
    assert all(isinstance(each, FunctionWithTests) for each in found), found
    return [each for each in found if isinstance(each, FunctionWithTests)]


def left(code: str) -> list[tuple[str, str]]:
    return [
        (each.name, each.reason)
        for each in samples_from_code(code)
        if isinstance(each, SkippedFunction)
    ]


def pairs(tested: FunctionWithTests) -> list[tuple[Any, Any]]:
    return [(json.loads(p.input), json.loads(p.output)) for p in tested.pairs]


def test_samples_from_code_makes_pairs_of_doctests_and_asserts() -> None:
    found = {tested.name: tested for tested in taken(FILE)}
    assert list(found) == ["twice", "joined"]
    assert pairs(found["twice"]) == [({"n": 3}, 6), ({"n": 4, "by": 3}, 12)]
    assert pairs(found["joined"]) == [({"parts": ["a", "b"]}, "a,b"), ({"parts": ["x"]}, "x")]


def test_samples_from_code_removes_tests_and_adds_main_solution() -> None:
    values = taken(FILE)[0].sample.values
    code = values["refcode"]
    assert "def twice(n: int, by: int=2)" not in code
    assert code.endswith("def main_solution(n: int, by: int=2):\n    return twice(n=n, by=by)")
    for gone in ("test_joined", "loud", "__main__", "assert"):
        assert gone not in code
    assert "from functools import reduce" in code
    assert "sys.setrecursionlimit(2000)" in code
    assert values["problem_statement"] == "Multiply a number."
    assert "`by` (int), 2 if left out" in values["io_requirements"]
    assert values["input_generator"] is None


def test_samples_from_code_reads_unittest_classes() -> None:
    (tested,) = taken(SUITE)
    assert pairs(tested) == [({"n": 2}, True), ({"n": 3}, False), ({"n": 10}, True)]
    assert "TestCase" not in tested.sample.values["refcode"]


@pytest.mark.parametrize("code", ["", "def f(:", "x = 1", "\0", "def f(x):\n    'a'\n    return x"])
def test_samples_from_code_is_empty_without_a_tested_function(code: str) -> None:
    assert samples_from_code(code) == []


def test_samples_from_code_executes_nothing(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    code = f"open({str(trap)!r}, 'w')\n{SUITE}\nopen({str(trap)!r}, 'w')\n"
    assert len(samples_from_code(code)) == 1
    assert not trap.exists()


@given(st.text(max_size=300))
def test_samples_from_code_accepts_any_text(code: str) -> None:
    assert samples_from_code(code) == [] or code


@given(
    st.lists(
        st.integers() | st.text(max_size=5) | st.lists(st.booleans(), max_size=2),
        min_size=2,
        max_size=6,
        unique_by=repr,
    )
)
def test_samples_from_code_recovers_the_values_of_asserts(values: list[Any]) -> None:
    lines = "\n".join(f"assert same({value!r}) == {value!r}" for value in values)
    found = taken(f'def same(x):\n    """Gives it back."""\n    return x\n\n{lines}\n')
    by_text = {json.dumps(v) for v in values}
    assert {json.dumps(p[0]["x"]) for p in pairs(found[0])} == by_text if found else True


def test_pairs_of_tests_are_checked_in_the_sandbox(
    sqlite_store: Database,
    run_stage: Any,  # noqa: F811
) -> None:
    wrong = SUITE.replace("assertTrue(is_even(2))", "assertTrue(is_even(5))")
    rows = [row for code in (FILE, wrong) for tested in taken(code) for row in tested.rows()]
    with sqlite_store.write() as connection:
        write_all(connection, rows)
    assert {o.state for o in run_stage("generate")} == {"done"}
    with sqlite_store.read() as connection:
        query = "SELECT status, count(*) FROM v_current_pairs GROUP BY 1 ORDER BY 1"
        found = connection.exec_driver_sql(query).all()
    assert [tuple(row) for row in found] == [("stable", 6), ("wrong_output", 1)]


def test_ingest_samples_needs_no_transform(store: Database, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(SUITE)
    (tmp_path / "b.py").write_text("x = 1\n")
    for counts in ((1, 0), (0, 1)):
        tally = ingest_samples(store, [tmp_path], IngestOptions(licence="MIT"))
        assert (tally.new, tally.known) == counts
        assert tally.refused == {"no_tests": 1}
    with store.read() as connection:
        query = (
            "SELECT o.path, o.licence, j.stage, j.state FROM sample_origins s "
            "JOIN origins o ON o.source_id = s.source_id JOIN jobs j ON j.subject_id = s.source_id"
        )
        found = [tuple(row) for row in connection.exec_driver_sql(query)]
    assert found == [("a.py", "MIT", "transform", "done")]
