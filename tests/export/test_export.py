"""Exports: what is written, byte for byte, what the ledger remembers, and what never happens."""

from __future__ import annotations

import json
import re
from pathlib import Path

import duckdb
import pytest
from sqlalchemy import delete, func, insert, select

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import export_rows, exports, hidden_subjects, responses, takedowns
from annoy_store.errors import UsageError
from annoy_store.export.export import export
from annoy_store.export.filters import Selection
from annoy_store.export.format_file import bundled_formats
from annoy_store.export.request import ExportRequest
from annoy_store.export.splits import SplitConfig
from annoy_store.export.writer import FileOptions
from tests.support import chains, factories


def lines(folder: Path, name: str = "train.jsonl") -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / name).read_text("utf-8").splitlines()]


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_codeio_holds_every_chain_with_both_turns(store: Database, tmp_path: Path) -> None:
    chains.fill(store, ["ant"])
    report = export(store, ExportRequest("codeio", tmp_path / "out"))
    assert report.n_rows == 3
    assert {row["prompt"]: row for row in lines(tmp_path / "out")}[
        'What does ant give? predict_output: {"x":1}'
    ] == {
        "prompt": 'What does ant give? predict_output: {"x":1}',
        "turn_1": "no idea",
        "feedback_1": "The output is not the one expected.",
        "turn_2": 'Now. {"output": "ant"}',
        "feedback_2": "Success.",
    }
    once = [row for row in lines(tmp_path / "out") if row["turn_2"] is None]
    assert [row["turn_1"] for row in once] == ['I see. {"output": "ant"}']


def test_messages_are_the_conversation_of_correct_chains(
    sqlite_store: Database, tmp_path: Path
) -> None:
    chains.fill(sqlite_store, ["ant"])
    report = export(sqlite_store, ExportRequest("messages", tmp_path / "out"))
    assert dict(report.removed) == {"not_correct": 1}
    talks = [row["messages"] for row in lines(tmp_path / "out")]
    roles = sorted([m["role"] for m in talk] for talk in talks)  # type: ignore[attr-defined]
    assert roles == [["user", "assistant"], ["user", "assistant", "user", "assistant"]]


def test_twice_and_over_threads_it_is_the_same_bytes(
    sqlite_store: Database, tmp_path: Path
) -> None:
    chains.fill(sqlite_store, [f"animal{i}" for i in range(40)])
    first = export(sqlite_store, ExportRequest("codeio", tmp_path / "a"))
    again = export(sqlite_store, ExportRequest("codeio", tmp_path / "b", threads=4))
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert (first.already_published, again.already_published) == (False, True)
    assert first.export_id == again.export_id


def test_either_database_gives_the_same_bytes(
    sqlite_store: Database, postgres_store: Database, tmp_path: Path
) -> None:
    names = [f"animal{i}" for i in range(9)]
    chains.fill(sqlite_store, names)
    chains.fill(postgres_store, names[::-1])  # other ids, the same content
    split = SplitConfig(0.6, 0.2, 0.2, "salt")
    for form in bundled_formats():
        cut = split if form in ("messages", "codeio_raw") else None
        for store, name in ((sqlite_store, "s"), (postgres_store, "p")):
            export(store, ExportRequest(form, tmp_path / name / form, split_config=cut))
    assert tree(tmp_path / "s") == tree(tmp_path / "p")


def test_the_ledger_knows_every_row(store: Database, tmp_path: Path) -> None:
    chains.fill(store)
    report = export(store, ExportRequest("codeio", tmp_path / "out"))
    with store.read() as connection:
        entered = connection.execute(select(exports)).one()
        rows = connection.execute(select(export_rows).order_by(export_rows.c.position)).all()
    assert (entered.id, entered.n_rows) == (report.export_id, 9)
    assert entered.published_at is not None
    assert [row.position for row in rows] == list(range(9))
    assert len({row.chain_id for row in rows}) == 9
    assert all(re.fullmatch("[0-9a-f]{32}", row.digest) for row in rows)


def test_a_folder_in_use_is_refused(sqlite_store: Database, tmp_path: Path) -> None:
    chains.fill(sqlite_store, ["ant"])
    (tmp_path / "out").mkdir()
    export(sqlite_store, ExportRequest("codeio", tmp_path / "out"))  # empty is fine
    before = tree(tmp_path / "out")
    with pytest.raises(UsageError, match=r"out is not empty; name a new one"):
        export(sqlite_store, ExportRequest("codeio", tmp_path / "out"))
    with pytest.raises(UsageError, match=r"is a file; name a folder"):
        export(sqlite_store, ExportRequest("codeio", tmp_path / "out" / "train.jsonl"))
    assert tree(tmp_path / "out") == before


def test_no_row_writes_nothing(sqlite_store: Database, tmp_path: Path) -> None:
    report = export(sqlite_store, ExportRequest("codeio", tmp_path / "out"))
    assert (report.n_rows, report.folder, report.export_id) == (0, None, None)
    assert list(tmp_path.glob("*out*")) == []
    assert not any(path.name.startswith(".out") for path in tmp_path.iterdir())


def test_a_dry_run_counts_and_writes_nothing(sqlite_store: Database, tmp_path: Path) -> None:
    chains.fill(sqlite_store)
    request = ExportRequest("codeio", tmp_path / "out", Selection(only="revised"), dry_run=True)
    report = export(sqlite_store, request)
    assert (report.n_rows, dict(report.removed)) == (3, {"not_revised": 6})
    assert not (tmp_path / "out").exists()
    with sqlite_store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(exports)) == 0


def test_an_unknown_format_names_the_known(sqlite_store: Database, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown format 'codeoi'; known are: .*codeio, .*"):
        export(sqlite_store, ExportRequest("codeoi", tmp_path / "out"))


def test_shards_put_together_are_the_whole(sqlite_store: Database, tmp_path: Path) -> None:
    chains.fill(sqlite_store)
    export(sqlite_store, ExportRequest("codeio", tmp_path / "one"))
    cut = FileOptions(shard_rows=4)
    report = export(sqlite_store, ExportRequest("codeio", tmp_path / "many", file_options=cut))
    assert [file.name for file in report.files] == [
        f"train/train-{i:05d}-of-00003.jsonl" for i in range(3)
    ]
    parts = b"".join((tmp_path / "many" / file.name).read_bytes() for file in report.files)
    assert parts == (tmp_path / "one" / "train.jsonl").read_bytes()


@pytest.mark.parametrize("container", ["jsonl", "parquet"])
@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_every_packing_holds_the_same(
    sqlite_store: Database, tmp_path: Path, container: str, compression: str | None
) -> None:
    chains.fill(sqlite_store)
    plain = export(sqlite_store, ExportRequest("codeio", tmp_path / "plain"))
    packing = FileOptions(container, compression)
    packed = export(
        sqlite_store, ExportRequest("codeio", tmp_path / "packed", file_options=packing)
    )
    read = "SELECT * FROM '{}'"
    with duckdb.connect() as duck:
        rows, same = (
            duck.execute(read.format(tmp_path / folder / report.files[0].name)).fetchall()
            for folder, report in (("plain", plain), ("packed", packed))
        )
    assert rows == same


def test_texts_that_vanish_meanwhile_leave_nothing(
    sqlite_store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains.fill(sqlite_store, ["ant"])
    from annoy_store.export import export as exporting

    def purge_then_stream(*args: object) -> object:
        raw = sqlite_store.write_engine.raw_connection()
        raw.cursor().execute("PRAGMA foreign_keys = OFF")
        raw.close()
        with sqlite_store.write() as connection:
            connection.execute(delete(responses))
        return streamed(*args)  # type: ignore[arg-type]

    streamed = exporting.stream_records
    monkeypatch.setattr(exporting, "stream_records", purge_then_stream)
    with pytest.raises(UsageError, match="purged during the export; run it again"):
        export(sqlite_store, ExportRequest("codeio", tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def test_what_is_taken_down_meanwhile_is_not_published(
    sqlite_store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains.fill(sqlite_store, ["ant"])
    from annoy_store.export import export as exporting

    def hide_then_write(*args: object) -> object:
        with sqlite_store.write() as connection:
            connection.execute(insert(hidden_subjects).values(kind="sample", subject_id=1))
        return written(*args)  # type: ignore[arg-type]

    written = exporting._write
    monkeypatch.setattr(exporting, "_write", hide_then_write)
    with pytest.raises(UsageError, match="taken down during the export; run it again"):
        export(sqlite_store, ExportRequest("codeio", tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def test_a_licence_counts_only_where_its_origin_is_allowed(store: Database, tmp_path: Path) -> None:
    """A file found twice, once under a licence that was taken down since."""
    with store.write() as connection:
        rows = chains.sampled("ant", licence="gpl-3.0")
        source = rows[0].values["source_id"]
        rows.append(factories.origin(source, "other/repo", licence="mit"))
        rows += chains.chain(connection, chains.pairs_of(rows)[0], [("yes", "correct")])
        insert_rows(connection, rows)

    def rows_under(licence: str) -> int:
        chosen = Selection(licences=(licence,))
        request = ExportRequest("codeio", tmp_path / "out", chosen, dry_run=True)
        return export(store, request).n_rows

    assert (rows_under("mit"), rows_under("gpl-3.0")) == (1, 1)
    with store.write() as connection:
        rule = {"kind": "licence", "value": "MIT", "why": "", "created_at": factories.NOW}
        connection.execute(insert(takedowns).values(**rule))
    assert (rows_under("mit"), rows_under("gpl-3.0")) == (0, 1)
