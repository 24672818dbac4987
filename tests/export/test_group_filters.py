"""Filters that compare subjects: samples, limits, and one answer per prompt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.export.export import export
from annoy_store.export.filters import Selection
from annoy_store.export.request import ExportReport, ExportRequest
from tests.support import chains

pytestmark = pytest.mark.slow_on("postgres")

NAMES = ("ant", "bee", "cow")


@pytest.fixture
def filled(sqlite_store: Database) -> Database:
    """Of each animal: right at once (3 lines), repaired and wrong twice (40 lines)."""
    chains.fill(sqlite_store, NAMES)
    return sqlite_store


def count(store: Database, form: str = "codeio", **selection: Any) -> ExportReport:
    request = ExportRequest(form, Path("nowhere"), Selection(**selection), dry_run=True)
    return export(store, request)


def test_group_filter_sample_depends_on_the_seed_alone(filled: Database, tmp_path: Path) -> None:
    def drawn(name: str, seed: int) -> set[str]:
        selection = Selection(sample=4, seed=seed)
        export(filled, ExportRequest("codeio", tmp_path / name, selection))
        return set((tmp_path / name / "train.jsonl").read_text().splitlines())

    first = drawn("a", 0)
    assert drawn("b", 0) == first
    assert any(drawn(f"c{seed}", seed) != first for seed in (1, 2, 3))


def test_group_filter_sample_holds_every_smaller_one(filled: Database, tmp_path: Path) -> None:
    lines = []
    for n in (3, 6):
        export(filled, ExportRequest("codeio", tmp_path / str(n), Selection(sample=n)))
        lines.append(set((tmp_path / str(n) / "train.jsonl").read_text().splitlines()))
    assert lines[0] < lines[1]


def test_group_filters_of_several_answers_to_one_prompt(filled: Database, tmp_path: Path) -> None:
    with filled.write() as connection:
        rows = chains.sampled("dog")
        pair = chains.pairs_of(rows)[0]
        for n, status in enumerate(["wrong", "correct", "correct"]):
            answers = [(f"answer {n}", status), *([("no", "wrong")] if status == "wrong" else [])]
            rows += chains.chain(connection, pair, answers, sample_no=n)
        insert_rows(connection, rows)
    dog = "repo = 'team/dog'"
    assert count(filled, where=dog).n_rows == 3
    one = count(filled, where=dog, one_per_prompt=True)
    assert (one.n_rows, one.removed["same_prompt"]) == (1, 2)
    assert count(filled, where=f"{dog} AND pass_rate > .6 AND pass_rate < .7").n_rows == 3
    assert count(filled, "rl", where=dog).n_rows == 1
    export(filled, ExportRequest("preference", tmp_path / "out", Selection(where=dog)))
    (row,) = (tmp_path / "out" / "train.jsonl").read_text().splitlines()
    record = json.loads(row)
    assert record["rejected"] == "answer 0"
    assert record["chosen"] in ("answer 1", "answer 2")
