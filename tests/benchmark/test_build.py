"""Building benchmarks: questions of a split, without code."""

from __future__ import annotations

import pytest

from annoy_store.benchmark.build import (
    build_benchmark,
    difficulty,
)
from annoy_store.db.engine import Database
from annoy_store.errors import UsageError
from annoy_store.prompts.template import extract_values
from tests.support.benchmarks import fill


def test_build_benchmark_uses_the_split_and_shows_no_code(store: Database) -> None:
    fill(store)
    items = build_benchmark(store, "test", cases=2)
    assert [i.case for i in items] == [0, 1]
    assert {i.difficulty for i in items} == {"easy"}
    assert extract_values(items[1].messages) == {
        "problem": "What?",
        "io": "Input: x. Output: int.",
        "input": '{"x":1}',
    }
    assert "return" not in items[0].messages[0]["content"]
    assert items[1].output == "2"
    assert len(build_benchmark(store, "all", cases=2)) == 4
    assert len(build_benchmark(store, "all", cases=2, limit=1)) == 2
    assert build_benchmark(store, "all", cases=3) == build_benchmark(store, "test", cases=3)
    for split, cases in (("validation", 1), ("test", 4)):
        with pytest.raises(UsageError, match="no sample in split"):
            build_benchmark(store, split, cases)


def test_difficulty_is_the_longest_case_in_fixed_bands() -> None:
    for lines, name in (
        ([1, 49], "easy"),
        ([1, 50], "medium"),
        ([500], "hard"),
        ([None], "unknown"),
    ):
        assert difficulty([{"lines_executed": n} for n in lines]) == name
