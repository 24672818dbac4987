"""Marks of readers in exports: `tags`, a list that may be empty and is never null, and `flagged`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select, text

from annoy_store.db.engine import Database
from annoy_store.db.tables import io_pairs, samples, sources
from annoy_store.export.export import export
from annoy_store.export.filters import Selection
from annoy_store.export.request import ExportRequest
from annoy_store.records.annotations import Mark, remove_mark, set_mark
from tests.support import chains
from tests.support.marks import BAD

pytestmark = pytest.mark.slow_on("postgres")
Count = Callable[..., int]
NOT_BAD = "'bad question' NOT IN tags"


@pytest.fixture
def count(store: Database) -> Count:
    """Count what an export of a store with three samples of three chains holds."""
    chains.fill(store)
    chains.add_siblings(store)

    def of(where: str | None, form: str = "codeio") -> int:
        chosen = Selection(where=where)
        request = ExportRequest(form, Path("nowhere"), chosen, dry_run=True)
        return export(store, request).n_rows

    return of


def mark(store: Database, kind: str, key: int, mark: Mark = BAD) -> None:
    with store.write() as connection:
        set_mark(connection, kind, key, mark, "ann")


def first(connection: Connection, query: str) -> int:
    return int(connection.scalar(text(query)) or 0)


def test_tags_are_an_empty_list_and_never_null(store: Database, count: Count) -> None:
    whole = count(None)
    assert whole > 9
    assert count(NOT_BAD) == whole
    assert count("tags = [] AND NOT flagged") == whole
    assert count("tags IS NULL OR flagged IS NULL") == 0
    assert count("flagged") == 0
    for form in ("preference", "codeio_raw"):
        assert count(NOT_BAD, form) == count("len(tags) = 0", form) == count(None, form) > 0


@pytest.mark.parametrize(
    ("kind", "query", "chain"),
    [
        ("chain", "SELECT MIN(chain_id) FROM v_chains", "subject_id = {}"),
        ("response", "SELECT MIN(chain_id) FROM v_chains", "subject_id = {}"),
        ("response", "SELECT MAX(response_2_id) FROM v_chains", "response_2_id = {}"),
        ("verdict", "SELECT MAX(verdict_2_id) FROM v_chains", "verdict_2_id = {}"),
        ("prompt", "SELECT MIN(prompt_1_id) FROM v_chains", "prompt_id = {}"),
        ("io_pair", "SELECT MIN(io_pair_id) FROM v_chains", "io_pair_id = {}"),
        ("sample", "SELECT MIN(sample_id) FROM v_chains", "sample_id = {}"),
    ],
)
def test_chains_are_left_out_by_tags_of_what_they_are_made_of(
    store: Database, count: Count, kind: str, query: str, chain: str
) -> None:
    whole = count(None)
    with store.read() as connection:
        key = first(connection, query)
    n = count(chain.format(key))
    mark(store, kind, key)
    assert 0 < n < whole
    assert count(NOT_BAD) == whole - n
    assert count("'bad question' IN tags") == n
    with store.write() as connection:
        remove_mark(connection, kind, key, BAD, "ann")
    assert count(NOT_BAD) == whole


def test_flags_and_tags_of_a_source_are_those_of_its_chains(store: Database, count: Count) -> None:
    mark(store, "source", 1, Mark("flag"))
    mark(store, "source", 1, Mark("tag", "b"))
    mark(store, "sample", 1, Mark("tag", "a"))
    assert count("flagged") == count("'b' IN tags") > 0
    assert count("flagged", "codeio_raw") == 1
    assert count("flagged AND tags = []") == 0


def test_a_preference_pair_has_the_tags_of_both_answers(store: Database, count: Count) -> None:
    whole = count(None, "preference")
    with store.read() as connection:
        wrong = first(
            connection,
            "SELECT MIN(response_id) FROM v_answers "
            "WHERE status = 'wrong' AND kind = 'predict_output'",
        )
        same = "SELECT prompt_id FROM v_answers WHERE response_id = {}"
        right = (
            "SELECT MIN(response_id) FROM v_answers WHERE status = 'correct' AND prompt_id IN ({})"
        )
        pair = [wrong, first(connection, right.format(same.format(wrong)))]
    for key in pair:
        assert key
        mark(store, "response", key)
        assert count(NOT_BAD, "preference") == whole - 1
        with store.write() as connection:
            remove_mark(connection, "response", key, BAD, "ann")


def test_a_sample_has_the_tags_of_its_pairs_and_sources(store: Database, count: Count) -> None:
    whole = count(None, "codeio_raw")
    with store.read() as connection:
        keys = {
            "sample": connection.scalar(select(samples.c.id).limit(1)),
            "io_pair": connection.scalar(select(io_pairs.c.id).limit(1)),
            "source": connection.scalar(select(sources.c.id).limit(1)),
            "origin": 1,
        }
    for kind, key in keys.items():
        mark(store, kind, key or 0)
        assert count(NOT_BAD, "codeio_raw") == whole - 1
        with store.write() as connection:
            remove_mark(connection, kind, key or 0, BAD, "ann")
    with store.read() as connection:  # a chain may have the id of a sample
        chain = first(connection, "SELECT MIN(chain_id) FROM v_chains")
    mark(store, "chain", chain)
    assert count(NOT_BAD, "codeio_raw") == whole


def test_a_format_may_write_tags(store: Database, count: Count, tmp_path: Path) -> None:
    mark(store, "sample", 1, Mark("tag", "b"))
    mark(store, "source", 1, Mark("tag", "a"))
    mark(store, "source", 1, Mark("flag"))
    form = tmp_path / "mine.sql"
    form.write_text("-- help\n-- only: all\nSELECT tags, flagged FROM records\n")
    export(store, ExportRequest(str(form), tmp_path / "out"))
    lines = (tmp_path / "out" / "train.jsonl").read_text().splitlines()
    written: list[dict[str, Any]] = [json.loads(line) for line in lines]
    assert {tuple(row["tags"]) for row in written} >= {()}
    assert {type(row["flagged"]) for row in written} == {bool}
    assert any(row["flagged"] for row in written)
    assert any("b" in row["tags"] for row in written)
