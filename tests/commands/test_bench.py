"""`annoy bench` as a person meets it, against a real endpoint on loopback."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from annoy_store.database import Store
from annoy_store.tables import splits
from tests.benching.test_benching import fill
from tests.commands.conftest import Annoy
from tests.provider import Provider


def double(messages: list[dict[str, Any]]) -> str:
    """A model that doubles what it is given, and gives up on 2."""
    x = int(re.findall(r'\{"x":(\d+)\}', messages[-1]["content"])[-1])
    return "no idea" if x == 2 else f'```json\n{{"output": {2 * x}}}\n```'


@pytest.fixture
def bench(sqlite_store: Store, annoy: Annoy, monkeypatch: pytest.MonkeyPatch) -> Path:
    fill(sqlite_store)
    monkeypatch.setenv("ANNOY_STORE_URL", str(sqlite_store.url))
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    made = annoy("bench", "make", "bench.jsonl", "--cases", "3")
    assert made.stdout == "1 problems, 3 questions in bench.jsonl\n"
    return Path("bench.jsonl")


def test_scores_a_model_and_asks_nothing_twice(annoy: Annoy, bench: Path) -> None:
    with Provider(answers=double).serving() as provider:
        options = ("--base-url", provider.url, "--model", "m")
        first = annoy("bench", "score", bench, "a.jsonl", *options, "--json")
        assert first.exit_code == 0, first.output
        told = json.loads(first.stdout)
        assert (told["all"]["examples"]["right"], told["all"]["examples"]["of"]) == (2, 3)
        assert told["all"]["problems"]["share"] == 0
        assert told["all"]["no_answer"] == 1
        again = annoy("bench", "score", bench, "a.jsonl", *options)
        assert "easy" in again.stdout
        assert "66.7 %" in again.stdout
        assert provider.stats()["paid"] == 3
    same = annoy("bench", "compare", "a.jsonl", "a.jsonl")
    assert "p = 1" in same.stdout
    paired = json.loads(annoy("bench", "compare", "a.jsonl", "a.jsonl", "--json").stdout)
    assert paired["examples"]["difference"] == 0


def test_a_broken_endpoint_keeps_what_was_answered(annoy: Annoy, bench: Path) -> None:
    with Provider(answers=double, status=401).serving() as provider:
        result = annoy("bench", "score", bench, "a.jsonl", "--base-url", provider.url, "-m", "m")
    assert result.exit_code == 1
    assert not Path("a.jsonl").exists()


def test_a_split_without_samples_says_what_to_do(annoy: Annoy, bench: Path) -> None:
    result = annoy("bench", "make", "x.jsonl", "--split", "validation")
    assert result.exit_code == 1
    assert "--split all" in result.stderr
    assert not Path("x.jsonl").exists()


def test_what_export_split_is_found_without_naming_a_salt(
    sqlite_store: Store, annoy: Annoy, bench: Path
) -> None:
    with sqlite_store.write() as connection:
        connection.execute(delete(splits))
    for salt in ((), ("--salt", "v1")):
        done = annoy("export", "codeio_raw", f"out{len(salt)}", "--split", "train=0,test=1", *salt)
        assert done.exit_code == 0, done.output
        made = annoy("bench", "make", "x.jsonl", "--cases", "2", *salt, "--json")
        assert json.loads(made.stdout) == {"problems": 2, "questions": 4}
    lost = annoy("bench", "make", "y.jsonl", "--salt", "v2")
    assert lost.exit_code == 1
    assert "--salt annoy or v1" in lost.stderr
