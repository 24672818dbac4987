"""The way of a row from a raw file to a line of JSONL, through the real client and a real server."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import attempts, io_pairs, metadata, responses, verdicts
from annoy_store.export.export import export
from annoy_store.export.request import ExportRequest
from annoy_store.interfaces import NewRow
from annoy_store.prompts.template import extract_values
from annoy_store.worker.run import RunResult, run
from tests.support import factories
from tests.support.provider import Provider

pytestmark = pytest.mark.slow_on("postgres")

FUNCTION = """def main_solution(n):
    return n * {factor} + 1
"""
TRANSFORM = """## Main Function
```python
{code}
```
## Input Output Description
Input: n (int). Output: int.
## Input Generator
```python
import random

def input_generator():
    return {{"n": random.randint(0, 1000)}}
```
## Problem Statement
What is n times {factor}, and one more?
"""


def teach(messages: Sequence[dict[str, str]]) -> str:
    """Right on outputs at the second turn only, right on inputs at once; never asked the same."""
    known = extract_values(messages)
    if "problem" not in known:
        factor = known["code"].split()[-1]
        code = FUNCTION.format(factor=factor)
        return TRANSFORM.format(code=code, factor=factor)
    factor = int(known["code"].split("* ")[1].split()[0])
    if "output" in known:
        return json.dumps({"input": {"n": (json.loads(known["output"]) - 1) // factor}})
    right = json.loads(known["input"])["n"] * factor + 1
    return json.dumps({"output": right if "feedback_1" in known else right + 1})


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(answers=teach).serving() as serving:
        yield serving


def sources(*factors: int) -> list[NewRow]:
    return [factories.source(f"factor = {factor}") for factor in factors]


def work(store: Database, provider: Provider, rows: Sequence[NewRow] = ()) -> RunResult:
    with store.write() as connection:
        insert_rows(connection, rows)
    settings = RunSettings(
        teacher="openai", model="m", base_url=provider.url, slots=1, max_connections=16
    )
    return run(store, settings)


def counts(store: Database) -> dict[str, int]:
    with store.read() as connection:
        return {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in metadata.sorted_tables
            if table.name not in {"workers", "job_counters", "watermarks"}
        }


def test_from_raw_file_to_training_lines(
    store: Database, provider: Provider, tmp_path: Path
) -> None:
    done = work(store, provider, sources(3, 5))
    assert done.failed == 0
    with store.read() as connection:
        statuses = Counter(connection.scalars(select(verdicts.c.status)))
        assert statuses == {"wrong": 6, "correct": 12}
        tokens = connection.scalar(select(func.sum(attempts.c.completion_tokens)))
        assert tokens
        assert tokens > 0
    export(store, ExportRequest("codeio", tmp_path / "out"))
    lines = [
        json.loads(line)
        for path in sorted((tmp_path / "out").glob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    assert len(lines) == 12
    assert {tuple(line) for line in lines} == {
        ("prompt", "turn_1", "feedback_1", "turn_2", "feedback_2")
    }
    revised = [line for line in lines if line["turn_2"]]
    assert len(revised) == 6


def test_a_second_run_does_nothing_and_asks_nothing(store: Database, provider: Provider) -> None:
    work(store, provider, sources(3))
    before, asked = counts(store), _asked(provider)
    done = work(store, provider, sources(3))
    assert done.by_stage() == {}
    assert counts(store) == before
    assert _asked(provider) == asked


@pytest.mark.slow
def test_new_sources_cost_only_their_own_work(store: Database, provider: Provider) -> None:
    work(store, provider, sources(3, 5))
    before = _asked(provider)
    done = work(store, provider, sources(3, 5, 7))
    assert done.by_stage()["transform"] == {"done": 1}
    assert _asked(provider) - before == 10  # one rewriting, 3 + 3 predictions, 3 revisions


def test_no_prompt_is_paid_for_twice(store: Database, provider: Provider) -> None:
    work(store, provider, sources(3, 5))
    assert provider.stats()["paid_twice"] == 0
    with store.read() as connection:
        answered = connection.scalar(select(func.count()).select_from(responses))
    assert answered == _asked(provider)


def test_recorded_answers_drive_real_files(sqlite_store: Database, data: Path) -> None:
    raw = {row["blob_id"]: row for row in _lines(data / "rawcode.jsonl")}
    recorded = list(_lines(data / "recorded_transform.jsonl"))[:8]
    by_code = {raw[r["blob_id"]]["content"]: r["response"] for r in recorded}
    told: dict[str, list[str]] = {}
    for row in _lines(data / "recorded_predict.jsonl"):
        told.setdefault(row["direction"], []).append(row["response"])

    def reply(messages: Sequence[dict[str, str]]) -> str:
        known = extract_values(messages)
        if "problem" not in known:
            return by_code[known["code"]]
        mine = told["output" if "input" in known else "input"]
        return mine[len(known["code"]) % len(mine)]

    with Provider(answers=reply).serving() as provider:
        done = work(sqlite_store, provider, [factories.source(code) for code in by_code])
    assert done.by_stage()["parse"] == {"done": 8}
    assert done.failed == 0
    with sqlite_store.read() as connection:
        assert (connection.scalar(select(func.count()).select_from(io_pairs)) or 0) > 60


def _asked(provider: Provider) -> int:
    return int(provider.stats()["paid"])


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)
