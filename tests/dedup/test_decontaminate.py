"""Overlaps with benchmarks: found by words and answers, with evidence, excluded on request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import benchmark_overlaps
from annoy_store.dedup.decontaminate import decontaminate
from annoy_store.dedup.shingles import split_words
from annoy_store.errors import UsageError
from annoy_store.export.export import export
from annoy_store.export.filters import Selection
from annoy_store.export.request import ExportRequest
from tests.support import chains
from tests.support import factories as rows
from tests.support.benchmark_files import bench

pytestmark = pytest.mark.slow_on("postgres")

TASK = (
    "You are given a list of prices and must return the largest profit that one purchase "
    "followed by one sale can bring, or zero when prices only fall."
)


def found(store: Database) -> list[tuple[str, str, str]]:
    with store.read() as connection:
        chosen = select(
            benchmark_overlaps.c.kind, benchmark_overlaps.c.item, benchmark_overlaps.c.method
        )
        return sorted((row[0], row[1], row[2]) for row in connection.execute(chosen))


def told(store: Database, problem: str, name: str = "ant") -> None:
    """A sample with that problem statement, a pair and a finished chain."""
    with store.write() as connection:
        sample = rows.sample(f"def main_solution(x):\n    return '{name}'\n", problem=problem)
        pair = rows.io_pair(sample, {"x": 7}, [name, 7])
        insert_rows(connection, [pair, *chains.chain(connection, pair, [("yes", "correct")])])


def test_decontaminate_marks_a_sample_by_a_common_ngram(store: Database, tmp_path: Path) -> None:
    told(store, f"In a shop: {TASK.upper()} 42 What is it?")
    told(store, "Something else altogether, of which nobody has ever written a benchmark.", "bee")
    path = bench(
        tmp_path, {"task_id": "T/1", "question": f"1. {TASK}"}, {"task_id": "T/2", "q": "x"}
    )
    (report,) = decontaminate(store, [path])
    assert (report.items, report.samples, dict(report.overlaps)) == (2, 1, {"13gram": 1})
    assert found(store) == [("sample", "T/1", "13gram")]
    with store.read() as connection:
        evidence = connection.scalar(select(benchmark_overlaps.c.evidence)) or ""
    assert evidence == " ".join(split_words(TASK)[:13])


def test_decontaminate_marks_the_samples_of_a_raw_file(
    sqlite_store: Database, tmp_path: Path
) -> None:
    with sqlite_store.write() as connection:
        made = chains.sampled("ant", code=f'"""{TASK}"""\ndef main_solution(x):\n    return x\n')
        plain = rows.sample("def main_solution(x):\n    return x\n")
        origin = dict(made[1].values) | {"sample_id": plain, "digest": "other"}
        pair = rows.io_pair(plain, {"x": 1}, 1)
        finished = chains.chain(connection, pair, [("yes", "correct")])
        insert_rows(connection, [made[0], type(made[1])(made[1].table, origin), pair, *finished])
    decontaminate(sqlite_store, [bench(tmp_path, {"prompt": TASK})])
    assert ("source", "1", "13gram") in found(sqlite_store)
    without = Selection(exclude_overlaps=True)
    report = export(sqlite_store, ExportRequest("codeio", tmp_path / "out", without, dry_run=True))
    assert dict(report.removed) == {"overlap": 1}


@pytest.mark.parametrize(
    ("item", "marked"),
    [
        ({"input": {"x": 7}, "output": ["ant", 7]}, True),
        ({"input": '{"x": 7}', "output": '["ant", 7]'}, True),
        ({"input": [7], "answer": ["ant", 7]}, True),
        ({"input": 7, "expected_output": ["ant", 7]}, True),
        ({"input": 8, "output": ["ant", 7]}, False),
        ({"output": ["ant", 7]}, False),  # too short to be no accident
        ({"input": {"x": 7}, "output": ["bee", 7]}, False),
    ],
)
def test_decontaminate_marks_a_sample_by_a_common_answer(
    sqlite_store: Database, tmp_path: Path, item: dict[str, Any], marked: bool
) -> None:
    told(sqlite_store, "What?")
    decontaminate(sqlite_store, [bench(tmp_path, item)])
    assert found(sqlite_store) == [("sample", "1", "answer")] * marked


def test_decontaminate_accepts_a_long_answer_without_input(
    sqlite_store: Database, tmp_path: Path
) -> None:
    told(sqlite_store, "What?", "a name that nobody else would choose")
    item = {"output": ["a name that nobody else would choose", 7]}
    decontaminate(sqlite_store, [bench(tmp_path, item)])
    assert found(sqlite_store) == [("sample", "1", "answer")]


def test_decontaminate_twice_adds_nothing(store: Database, tmp_path: Path) -> None:
    told(store, TASK)
    path = bench(tmp_path, {"text": TASK})
    assert decontaminate(store, [path]) == decontaminate(store, [path])
    assert len(found(store)) == 1


def test_exports_exclude_overlaps_and_retract_them(store: Database, tmp_path: Path) -> None:
    told(store, TASK)
    told(store, "Nothing in common.", "bee")
    first = export(store, ExportRequest("codeio", tmp_path / "1"))
    decontaminate(store, [bench(tmp_path, {"text": TASK})])
    without = Selection(exclude_overlaps=True)
    second = export(store, ExportRequest("codeio", tmp_path / "2", without, since="last"))
    assert (first.n_rows, second.n_rows, dict(second.retractions)) == (2, 0, {"overlap": 1})


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "contains no items"), ('{"a": 1}\n{"a"', "line 2 is not JSON"), (None, "cannot read")],
)
def test_decontaminate_reports_an_invalid_file(
    sqlite_store: Database, tmp_path: Path, text: str | None, words: str
) -> None:
    path = tmp_path / "bad.jsonl"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=words):
        decontaminate(sqlite_store, [path])


WORDS = st.lists(st.sampled_from([f"word{chr(97 + i)}" for i in range(6)]), max_size=40)


@settings(max_examples=200)
@given(WORDS, WORDS)
def test_common_ngrams_are_found_exactly_when_present(ours: list[str], theirs: list[str]) -> None:
    from annoy_store.dedup.decontaminate import (
        Benchmark,
        BenchmarkItem,
        _common_ngrams,
        _ngram_index,
    )

    benchmark = Benchmark(
        "b", [BenchmarkItem("1", tuple(split_words(" ".join(theirs))), None, None)]
    )
    rows_ = list(
        _common_ngrams("sample", [(1, " ".join(ours))], benchmark, _ngram_index(benchmark))
    )
    texts = [" ".join(split_words(" ".join(words))) for words in (ours, theirs)]
    split = [text.split() for text in texts]
    mine, others = (
        {tuple(w[i : i + 13]) for i in range(len(w) - 12)} if len(w) >= 13 else set() for w in split
    )
    assert bool(rows_) == bool(mine & others)
