"""Texts are read in the order of the tables and written in the order of the export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from sqlalchemy import delete, update

from annoy_store.db.engine import Database
from annoy_store.db.tables import io_pairs, pair_checks, prompts, responses, samples
from annoy_store.errors import UsageError
from annoy_store.export import external_sort, record_stream, writer
from annoy_store.export.export import export
from annoy_store.export.file_options import FileOptions, check_file_options
from annoy_store.export.filters import Selection
from annoy_store.export.format_file import load_format
from annoy_store.export.parents import ParentExports
from annoy_store.export.plan import build_plan
from annoy_store.export.request import ExportRequest
from tests.support import chains

pytestmark = pytest.mark.slow_on("postgres")


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three records at once, two to a bundle: what a million records meet, with nine."""
    monkeypatch.setattr(record_stream, "MIN_PAGE_ROWS", 3)
    monkeypatch.setattr(record_stream, "MAX_PAGE_ROWS", 4)
    monkeypatch.setattr(external_sort, "BUNDLE_ROWS", 2)


@pytest.mark.usefixtures("small_pages")
def test_record_stream_reads_in_the_order_of_the_tables(
    sqlite_store: Database, tmp_path: Path
) -> None:
    chains.fill(sqlite_store, ["ant", "bee", "cow", "dog"])
    request, layout = ExportRequest("codeio", tmp_path), check_file_options(FileOptions())
    form = load_format("codeio")
    plan = build_plan(sqlite_store, request, form, layout, ParentExports(), None)
    ids = plan.records.column("subject_id").to_pylist()
    assert ids != sorted(ids)  # the order of the export is another one
    pages = list(record_stream.stream_records(sqlite_store, plan.records, plan.binding))
    assert [len(positions) for positions, _ in pages] == [3, 4, 4, 1]
    read = [sorted(ids[position] for position in positions) for positions, _ in pages]
    assert [i for page in read for i in page] == sorted(ids)
    assert all(positions == sorted(positions) for positions, _ in pages)


@pytest.mark.parametrize("form", ["codeio", "codeio_raw", "preference", "rl"])
def test_record_stream_pages_change_no_byte(
    sqlite_store: Database, tmp_path: Path, form: str, request: pytest.FixtureRequest
) -> None:
    chains.fill(sqlite_store, ["ant", "bee", "cow", "dog", "elk"])
    chains.add_siblings(sqlite_store)
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


def test_record_stream_refuses_texts_that_were_purged_meanwhile(
    sqlite_store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains.fill(sqlite_store, ["ant"])

    def purge_then_stream(*args: object) -> object:
        raw = sqlite_store.write_engine.raw_connection()
        raw.cursor().execute("PRAGMA foreign_keys = OFF")
        raw.close()
        with sqlite_store.write() as connection:
            connection.execute(delete(responses))
        return streamed(*args)  # type: ignore[arg-type]

    streamed = writer.stream_records
    monkeypatch.setattr(writer, "stream_records", purge_then_stream)
    with pytest.raises(UsageError, match="purged during the export; run it again"):
        export(sqlite_store, ExportRequest("codeio", tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def test_record_stream_refuses_pairs_that_were_checked_again_meanwhile(
    store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains.fill(store, ["ant", "bee"])
    read = writer.stream_records

    def check_then_read(*args: Any) -> Any:
        with store.write() as connection:
            connection.execute(update(pair_checks).where(pair_checks.c.id == 1).values(status="x"))
        return read(*args)

    monkeypatch.setattr(writer, "stream_records", check_then_read)
    with pytest.raises(UsageError, match="checked again during the export; run it again"):
        export(store, ExportRequest("codeio_raw", tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    assert export(store, ExportRequest("codeio_raw", tmp_path / "out")).n_rows == 2
    every = Selection(pairs="all")  # a chain holds no list of pairs that may change
    assert export(store, ExportRequest("codeio", tmp_path / "no", every)).n_rows == 6


def test_record_stream_pages_are_as_long_as_memory_allows() -> None:
    short = pa.RecordBatch.from_pydict({"n": list(range(512))})
    assert record_stream._next_size(short) == record_stream.MAX_PAGE_ROWS
    long = pa.RecordBatch.from_pydict({"text": ["x" * 2_000_000] * 20})
    assert record_stream._next_size(long) == record_stream.MIN_PAGE_ROWS


@pytest.mark.parametrize(
    ("column", "form"),
    [
        (responses.c.text, "codeio"),
        (prompts.c.messages, "codeio"),
        (samples.c.refcode, "codeio_raw"),
        (io_pairs.c.input, "codeio_raw"),
        (io_pairs.c.input, "rl"),
    ],
)
def test_record_stream_exports_no_altered_text(
    store: Database, tmp_path: Path, column: Any, form: str
) -> None:
    chains.fill(store, ["ant", "bee"])
    export(store, ExportRequest(form, tmp_path / "before"))
    changed = '{"x":77}' if column is io_pairs.c.input else "[]"
    with store.write() as connection:
        connection.execute(update(column.table).values({column.name: changed}))
    with pytest.raises(UsageError, match=r"does not match its digest.*annoy check"):
        export(store, ExportRequest(form, tmp_path / "after"))
    assert not (tmp_path / "after").exists()
