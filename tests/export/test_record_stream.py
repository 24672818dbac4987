"""Texts are read in the order of the tables and come out in the order of the export."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from annoy_store.db.engine import Database
from annoy_store.db.tables import pair_checks
from annoy_store.errors import UsageError
from annoy_store.export import export as exporting
from annoy_store.export import external_sort, record_stream
from annoy_store.export.export import export
from annoy_store.export.external_sort import ExternalSort
from annoy_store.export.format_file import load_format
from annoy_store.export.plan import build_plan
from annoy_store.export.request import ExportRequest
from annoy_store.export.writer import FileOptions
from tests.support import chains

WORDS = pa.schema([("word", pa.string()), ("n", pa.int64())])


def page(places: list[int]) -> pa.RecordBatch:
    words = [None if n % 5 == 0 else f"word {n}" for n in places]
    return pa.RecordBatch.from_arrays(
        [pa.array(words, pa.string()), pa.array(places, pa.int64())], schema=WORDS
    )


@settings(max_examples=50, deadline=None)
@given(
    st.permutations(range(40)), st.integers(1, 9), st.integers(1, 50), st.integers(0, 39), st.data()
)
def test_what_waits_comes_out_in_order(
    order: list[int], size: int, bundle: int, first: int, data: st.DataObject
) -> None:
    rows = data.draw(st.integers(1, 40 - first))
    with pytest.MonkeyPatch.context() as patch, TemporaryFile() as file:
        patch.setattr(external_sort, "BUNDLE", bundle)
        held = ExternalSort(file, WORDS)
        for start in range(0, 40, size):
            places = sorted(order[start : start + size])
            held.add(places, page(places))
        out = pa.Table.from_batches(held.read(first, rows), WORDS)
        assert out.equals(pa.Table.from_batches([page(list(range(first, first + rows)))]))
        again = pa.Table.from_batches(held.read(0, 40), WORDS)
        assert again.column("n").to_pylist() == list(range(40))


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three records at once, two to a bundle: what a million records meet, with nine."""
    monkeypatch.setattr(record_stream, "_FEWEST", 3)
    monkeypatch.setattr(record_stream, "_MOST", 4)
    monkeypatch.setattr(external_sort, "BUNDLE", 2)


@pytest.mark.usefixtures("small_pages")
def test_texts_are_read_in_the_order_of_the_tables(sqlite_store: Database, tmp_path: Path) -> None:
    chains.fill(sqlite_store, ["ant", "bee", "cow", "dog"])
    form = load_format("codeio")
    choice = build_plan(sqlite_store, form, ExportRequest("codeio", tmp_path), None)
    plan = choice.records.column("subject_id").to_pylist()
    assert plan != sorted(plan)  # the order of the export is another one
    pages = list(record_stream.stream_records(sqlite_store, choice.records, choice.binding))
    assert [len(places) for places, _ in pages] == [3, 4, 4, 1]
    read = [sorted(plan[place] for place in places) for places, _ in pages]
    assert [i for ids in read for i in ids] == sorted(plan)
    assert all(places == sorted(places) for places, _ in pages)


@pytest.mark.parametrize("form", ["codeio", "codeio_raw", "preference", "rl"])
def test_pages_and_bundles_change_no_byte(
    sqlite_store: Database, tmp_path: Path, form: str, request: pytest.FixtureRequest
) -> None:
    chains.fill(sqlite_store, ["ant", "bee", "cow", "dog", "elk"])
    at_once = export(sqlite_store, ExportRequest(form, tmp_path / "whole"))
    request.getfixturevalue("small_pages")
    by_pages = export(sqlite_store, ExportRequest(form, tmp_path / "pages"))
    assert [f.sha256 for f in at_once.files] == [f.sha256 for f in by_pages.files]
    export(
        sqlite_store, ExportRequest(form, tmp_path / "cut", file_options=FileOptions(shard_rows=3))
    )
    shards = sorted((tmp_path / "cut" / "train").iterdir())
    assert len(shards) > 1
    whole = (tmp_path / "whole" / "train.jsonl").read_bytes()
    assert b"".join(path.read_bytes() for path in shards) == whole


def test_pairs_that_are_checked_again_meanwhile_are_not_mixed(
    store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains.fill(store, ["ant", "bee"])
    read = exporting.stream_records

    def check_then_read(*args: Any) -> Any:
        with store.write() as connection:
            connection.execute(update(pair_checks).where(pair_checks.c.id == 1).values(status="x"))
        return read(*args)

    monkeypatch.setattr(exporting, "stream_records", check_then_read)
    with pytest.raises(UsageError, match="checked again during the export; run it again"):
        export(store, ExportRequest("codeio_raw", tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    assert export(store, ExportRequest("codeio_raw", tmp_path / "out")).n_rows == 2
    assert export(store, ExportRequest("codeio", tmp_path / "no")).n_rows == 6


def test_pages_are_as_long_as_memory_allows() -> None:
    assert record_stream._next_size(page(list(range(512)))) == record_stream._MOST
    long = pa.RecordBatch.from_pydict({"text": ["x" * 2_000_000] * 20})
    assert record_stream._next_size(long) == record_stream._FEWEST
