"""What a format may read, and what of it a given one does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.errors import UsageError
from annoy_store.export.export import export
from annoy_store.export.format_file import load_format
from annoy_store.export.record_schema import available_columns, bind_format
from annoy_store.export.request import ExportRequest
from tests.support import chains


def own(tmp_path: Path, sql: str) -> str:
    """Write a format file."""
    (tmp_path / "own.sql").write_text(sql)
    return str(tmp_path / "own.sql")


@pytest.fixture
def filled(sqlite_store: Database) -> Database:
    chains.fill(sqlite_store, ["ant", "bee", 'cow\n\t"é\u2028🐜'])
    return sqlite_store


def test_record_schema_reads_only_what_the_format_needs() -> None:
    assert bind_format(load_format("codeio"), 2).columns == (
        "opening",
        "turn_1",
        "feedback_1",
        "turn_2",
        "feedback_2",
    )
    assert bind_format(load_format("messages"), 3).columns == ("conversation", "answer")
    three = bind_format(load_format("codeio"), 3).schema.names
    assert three[-2:] == ["turn_3", "feedback_3"]


def test_record_schema_has_two_columns_per_turn(sqlite_store: Database, tmp_path: Path) -> None:
    with sqlite_store.write() as connection:
        rows = chains.sampled("ant")
        tried = [("a", "wrong"), ("b", "wrong"), ("c", "correct")]
        rows += chains.chain(connection, chains.pairs_of(rows)[0], tried)
        insert_rows(connection, rows)
    export(sqlite_store, ExportRequest("codeio", tmp_path / "out"))
    row = json.loads((tmp_path / "out" / "train.jsonl").read_text())
    assert [row[f"turn_{n}"] for n in (1, 2, 3)] == ["a", "b", "c"]
    export(sqlite_store, ExportRequest("alpaca", tmp_path / "alpaca"))
    row = json.loads((tmp_path / "alpaca" / "train.jsonl").read_text())
    assert [answer for _, answer in row["history"]] == ["a", "b"]
    assert row["output"] == "c"


def test_record_schema_names_the_columns_after_a_wrong_one(
    filled: Database, tmp_path: Path
) -> None:
    request = ExportRequest(own(tmp_path, "SELECT answr FROM records"), tmp_path / "out")
    with pytest.raises(UsageError, match=r"columns of records are: prompt, .*answer.*turn_1.*ios"):
        export(filled, request)


def test_record_schema_is_in_the_guide() -> None:
    page = (Path(__file__).parents[2] / "annoy_store" / "guide" / "exports.md").read_text()
    listed = page.partition("<!-- records -->")[2].partition("<!-- /records -->")[0]
    named = re.findall(r"`(\w+)`", listed.replace("_N`", "_1`"))
    assert sorted(named) == sorted(available_columns(1))
