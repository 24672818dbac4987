"""Building benchmarks: questions of a split, without code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import event

from annoy_store.benchmark import build
from annoy_store.benchmark.build import build_benchmark, difficulty, write_questions
from annoy_store.db.engine import Database
from annoy_store.errors import UsageError
from annoy_store.prompts.template import extract_values
from tests.support.benchmarks import fill


def test_build_benchmark_uses_the_split_and_shows_no_code(store: Database) -> None:
    fill(store)
    items = list(build_benchmark(store, "test", cases=2))
    assert [i.case for i in items] == [0, 1]
    assert {i.difficulty for i in items} == {"easy"}
    assert extract_values(items[1].messages) == {
        "problem": "What?",
        "io": "Input: x. Output: int.",
        "input": '{"x":1}',
    }
    assert "return" not in items[0].messages[0]["content"]
    assert items[1].output == "2"
    both = list(build_benchmark(store, "all", cases=2))
    assert [(i.problem, i.case) for i in both] == sorted((i.problem, i.case) for i in both)
    assert len(both) == 4
    assert list(build_benchmark(store, "all", cases=2, limit=1)) == both[:2]
    assert [*build_benchmark(store, "all", cases=3)] == [*build_benchmark(store, "test", cases=3)]
    for split, cases in (("validation", 1), ("test", 4)):
        with pytest.raises(UsageError, match="no sample in split"):
            next(build_benchmark(store, split, cases))


def test_build_benchmark_gives_the_same_however_many_problems_are_read_at_once(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    at_once = list(build_benchmark(store, "all", cases=2))
    monkeypatch.setattr(build, "PROBLEMS_PER_READ", 1)
    assert list(build_benchmark(store, "all", cases=2)) == at_once


def test_build_benchmark_reads_the_pairs_of_the_chosen_samples_only(store: Database) -> None:
    fill(store)
    reads: list[tuple[str, object]] = []

    @event.listens_for(store.read_engine, "before_cursor_execute")
    def note(_: object, __: object, sql: str, values: object, *___: object) -> None:
        reads.append((sql, values))

    (name,) = {i.problem for i in build_benchmark(store, "all", cases=1, limit=1)}
    with_texts = [values for sql, values in reads if "problem_statement" in sql]
    assert len(with_texts) == 1
    assert name in repr(with_texts)
    assert len(set(re.findall("[0-9a-f]{32}", repr(with_texts)))) == 1


def test_write_questions_keeps_the_file_where_there_are_none(
    store: Database, tmp_path: Path
) -> None:
    file = tmp_path / "b.jsonl"
    file.write_text("kept")
    with pytest.raises(UsageError, match="no sample in split"):
        write_questions(file, build_benchmark(store, "all", cases=1))
    assert file.read_text() == "kept"


def test_difficulty_is_the_longest_case_in_fixed_bands() -> None:
    for lines, name in (
        ([1, 49], "easy"),
        ([1, 50], "medium"),
        ([500], "hard"),
        ([None], "unknown"),
    ):
        assert difficulty([{"lines_executed": n} for n in lines]) == name
