"""The ground truth of the format `rl` is all that a scorer needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annoy_store.db.engine import Database
from annoy_store.export.export import export
from annoy_store.export.filters import Selection
from annoy_store.export.ground_truths import ground_truths
from annoy_store.export.request import ExportRequest
from annoy_store.rewards import score
from annoy_store.rewards.process_sandbox import process_sandbox
from annoy_store.tasks.policy import set_policy
from tests.support import chains

GIVEN = {"predict_output": "output", "predict_input": "input"}


@pytest.fixture(autouse=True)
def _closed() -> Any:
    yield
    process_sandbox.close()


def exported(store: Database, folder: Path) -> list[dict[str, Any]]:
    export(store, ExportRequest("rl", folder, Selection(only="all")))
    return [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]


def gold(truth: dict[str, Any]) -> str:
    key = GIVEN[truth["task"]]
    return f'So it is {{"{key}": {truth[key]}}}'


def test_ground_truths_score_gold_answers_1(store: Database, tmp_path: Path) -> None:
    chains.fill(store, ["ant", "bee"])
    rows = exported(store, tmp_path / "out")
    assert {row["task"] for row in rows} == set(GIVEN)
    for row in rows:
        text = row["reward_model"]["ground_truth"]
        truth = json.loads(text)
        assert "policy" not in truth
        assert text == row["extra_info"]["ground_truth"]
        assert score(gold(truth), text).score == 1.0
        assert score('{"output": "zebra", "input": {"x": 9}}', text).score == 0.0


def test_ground_truths_carry_the_policies_that_are_not_defaults(
    sqlite_store: Database, tmp_path: Path
) -> None:
    chains.fill(sqlite_store, ["ant"])
    with sqlite_store.write() as connection:
        set_policy(connection, {"tolerance": "0.5", "cpu_seconds": "2", "pairs_wanted": "7"})
    for row in exported(sqlite_store, tmp_path / "out"):
        truth = json.loads(row["reward_model"]["ground_truth"])
        assert truth["policy"] == {"tolerance": 0.5, "cpu_seconds": 2.0}


def test_ground_truths_of_prompts_that_are_gone_are_none(sqlite_store: Database) -> None:
    with sqlite_store.read() as connection:
        assert ground_truths(connection, [7, 8], ["predict_input", "predict_output"]) == [None] * 2
