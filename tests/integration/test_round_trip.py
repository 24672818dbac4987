"""What a row says of itself comes back when it is exported, and finds its raw file when it returns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annoy_store.db.engine import Database
from annoy_store.db.migrate import open_store
from annoy_store.db.tables import io_pairs, pair_checks, samples, variants
from annoy_store.export.export import export
from annoy_store.export.request import ExportRequest
from annoy_store.interfaces import NewRow
from tests.support.codeio_rows import RAW, ask, function, lines, take
from tests.support.factories import write_all

pytestmark = pytest.mark.slow_on("postgres")

UNKNOWN: dict[str, Any] = dict.fromkeys(
    ("source_digest", "repo", "path", "licence", "input_generator", "blob_id", "msgidx")
)


def hold(store: Database) -> None:
    """Mark every pair as one that holds."""
    described = {"stage": "generate", "digest": "g", "description": "{}", "active": 1}
    rows = ask(store, f"SELECT id FROM {io_pairs.name}")
    blank = {"status": "stable", "execution_id": None, "lines_executed": None}
    checks = [
        NewRow(pair_checks, {"io_pair_id": key, "variant_id": NewRow(variants, described), **blank})
        for (key,) in rows
    ]
    with store.write() as connection:
        write_all(connection, checks)


def exported(store: Database, folder: Path) -> list[dict[str, Any]]:
    hold(store)
    export(store, ExportRequest("codeio_raw", folder))
    return [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]


def test_meta_and_category_of_an_imported_row_come_back(store: Database, tmp_path: Path) -> None:
    meta = {"msgidx": 731, "blob_id": "b1"}
    row = function(meta=meta, category="math", source="edu")
    take(store, lines(tmp_path / "parsed.jsonl", [row]))
    (back,) = exported(store, tmp_path / "out")
    assert back["meta"] == UNKNOWN | meta
    assert (back["category"], back["source"]) == ("math", "edu")


def test_what_an_export_says_of_its_sources_outlives_an_import(
    store: Database, tmp_path: Path
) -> None:
    raw = {
        "content": RAW,
        "blob_id": "b1",
        "repo_name": "team/ant",
        "path": "a.py",
        "license": "mit",
    }
    meta = {"msgidx": 3, "blob_id": "b1"}
    take(store, lines(tmp_path / "parsed.jsonl", [function(meta=meta)]))
    take(store, lines(tmp_path / "raw.jsonl", [raw]))
    (first,) = exported(store, tmp_path / "out")
    ((digest,),) = ask(store, "SELECT digest FROM sources")
    told = {"source_digest": digest, "repo": "team/ant", "path": "a.py", "licence": "mit"}
    assert first["meta"] == UNKNOWN | meta | told
    other = open_store(f"sqlite:///{tmp_path / 'other.db'}", create=True)
    take(other, tmp_path / "out" / "train.jsonl")
    assert exported(other, tmp_path / "again") == [first]
    take(other, tmp_path / "raw.jsonl")
    assert ask(other, "SELECT count(*) FROM sample_origins WHERE source_id IS NOT NULL") == [(1,)]
    assert ask(other, f"SELECT count(*) FROM {samples.name}") == [(1,)]
    other.close()


def test_rows_come_back_in_the_order_of_their_file(store: Database, tmp_path: Path) -> None:
    codes = [f"def main_solution(x):\n    return x + {n}" for n in range(12)]
    take(store, lines(tmp_path / "parsed.jsonl", [function(code) for code in codes]))
    assert [row["refcode"] for row in exported(store, tmp_path / "out")] == codes
