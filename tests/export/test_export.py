"""Exports as a whole: what is written, byte for byte, and what never is."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from types import FrameType

import pytest
from sqlalchemy import func, insert, select

from annoy_store import export as export_package
from annoy_store.db.engine import Database
from annoy_store.db.migrate import open_store
from annoy_store.db.tables import exports, hidden_subjects
from annoy_store.errors import UsageError
from annoy_store.export import export as exporting
from annoy_store.export.export import export
from annoy_store.export.filters import Selection
from annoy_store.export.format_file import bundled_formats
from annoy_store.export.request import ExportRequest
from annoy_store.export.splits import SplitConfig
from tests.support import chains

PACKAGE = Path(export_package.__file__ or "").parent


def lines(folder: Path, name: str = "train.jsonl") -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / name).read_text("utf-8").splitlines()]


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_export_codeio_holds_every_chain_with_both_turns(store: Database, tmp_path: Path) -> None:
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


def test_export_messages_holds_the_conversations_of_correct_chains(
    sqlite_store: Database, tmp_path: Path
) -> None:
    chains.fill(sqlite_store, ["ant"])
    report = export(sqlite_store, ExportRequest("messages", tmp_path / "out"))
    assert dict(report.removed) == {"not_correct": 1}
    talks = [row["messages"] for row in lines(tmp_path / "out")]
    roles = sorted([m["role"] for m in talk] for talk in talks)  # type: ignore[attr-defined]
    assert roles == [["user", "assistant"], ["user", "assistant", "user", "assistant"]]


def test_export_writes_the_same_bytes_again_and_with_threads(
    sqlite_store: Database, tmp_path: Path
) -> None:
    chains.fill(sqlite_store, [f"animal{i}" for i in range(40)])
    first = export(sqlite_store, ExportRequest("codeio", tmp_path / "a"))
    again = export(sqlite_store, ExportRequest("codeio", tmp_path / "b", threads=4))
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert (first.already_published, again.already_published) == (False, True)
    assert first.export_id == again.export_id


@pytest.mark.slow
def test_export_writes_the_same_bytes_from_either_database(
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


def test_export_without_a_record_writes_nothing(sqlite_store: Database, tmp_path: Path) -> None:
    report = export(sqlite_store, ExportRequest("codeio", tmp_path / "out"))
    assert (report.n_rows, report.folder, report.export_id) == (0, None, None)
    assert list(tmp_path.glob("*out*")) == []
    assert not any(path.name.startswith(".out") for path in tmp_path.iterdir())


def test_export_dry_run_counts_and_writes_nothing(sqlite_store: Database, tmp_path: Path) -> None:
    chains.fill(sqlite_store)
    request = ExportRequest("codeio", tmp_path / "out", Selection(only="revised"), dry_run=True)
    report = export(sqlite_store, request)
    assert (report.n_rows, dict(report.removed)) == (3, {"not_revised": 6})
    assert not (tmp_path / "out").exists()
    with sqlite_store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(exports)) == 0


def test_export_of_an_unknown_format_names_the_known(
    sqlite_store: Database, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"unknown format 'codeoi' .*known are: .*codeio, .*"):
        export(sqlite_store, ExportRequest("codeoi", tmp_path / "out"))


def test_export_refuses_a_folder_in_use(sqlite_store: Database, tmp_path: Path) -> None:
    chains.fill(sqlite_store, ["ant"])
    (tmp_path / "out").mkdir()
    export(sqlite_store, ExportRequest("codeio", tmp_path / "out"))  # empty is fine
    before = tree(tmp_path / "out")
    with pytest.raises(UsageError, match=r"out is not empty; name a new one"):
        export(sqlite_store, ExportRequest("codeio", tmp_path / "out"))
    with pytest.raises(UsageError, match=r"is a file; name a folder"):
        export(sqlite_store, ExportRequest("codeio", tmp_path / "out" / "train.jsonl"))
    assert tree(tmp_path / "out") == before


def test_export_refuses_to_publish_what_was_taken_down_meanwhile(
    sqlite_store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains.fill(sqlite_store, ["ant"])

    def hide_then_write(*args: object) -> object:
        with sqlite_store.write() as connection:
            connection.execute(insert(hidden_subjects).values(kind="sample", subject_id=1))
        return written(*args)  # type: ignore[arg-type]

    written = exporting.write_files
    monkeypatch.setattr(exporting, "write_files", hide_then_write)
    with pytest.raises(UsageError, match="taken down during the export; run it again"):
        export(sqlite_store, ExportRequest("codeio", tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


@pytest.mark.slow_on("postgres")
def test_export_is_one_snapshot_while_others_write(store: Database, tmp_path: Path) -> None:
    """A writer adds samples, three chains each, in one transaction; no export sees a part of one."""
    chains.fill(store, ["ant"])
    stop = threading.Event()

    def work() -> None:
        mine = open_store(store.url.render_as_string(hide_password=False))
        for n in range(10_000):
            if stop.is_set():
                break
            chains.fill(mine, [f"animal{n}"])
        mine.close()

    writer = threading.Thread(target=work)
    writer.start()
    sizes = []
    try:
        for n in range(4):
            time.sleep(0.1)
            sizes.append(export(store, ExportRequest("codeio", tmp_path / str(n))).n_rows)
    finally:
        stop.set()
        writer.join()
    assert all(size % 3 == 0 for size in sizes)
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]
    for n, size in enumerate(sizes):
        lines = (tmp_path / str(n) / "train.jsonl").read_text("utf-8").splitlines()
        assert len({json.loads(line)["prompt"] for line in lines}) == size


def test_export_enters_each_of_its_modules_at_most_twice(
    sqlite_store: Database, tmp_path: Path
) -> None:
    """Counted over one record, filtered, split and added to an earlier export.

    An entry is a call from another module of the package, or the first call after one in another
    module; that a generator goes on is none.
    """
    split = SplitConfig(1.0, 0.0, 0.0, "salt")
    chains.fill(sqlite_store, ["ant"])
    export(sqlite_store, ExportRequest("codeio", tmp_path / "first", split_config=split))
    chains.fill(sqlite_store, ["bee"])
    chains.compare(sqlite_store)
    selection = Selection(
        only="all",
        licences=("mit",),
        where="kind = 'predict_input'",
        lines=(1, None),
        pass_rate=(0, 1),
        exclude_overlaps=True,
        one_per_prompt=True,
        max_per_source=3,
    )
    request = ExportRequest("codeio", tmp_path / "second", selection, since="last")
    calls: list[tuple[str, str]] = []  # the modules of caller and callee
    started: list[FrameType] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and (name := module_of(frame)) and frame not in started:
            started.append(frame)
            calls.append((next(filter(None, map(module_of, callers(frame))), ""), name))

    sys.setprofile(note)
    try:
        report = export(sqlite_store, request)
    finally:
        sys.setprofile(None)
    assert report.n_rows == 1
    entries = Counter(callee for caller, callee in calls if caller != callee)
    visits = Counter(name for name, _ in groupby(callee for _, callee in calls))
    assert {"chains", "candidates", "record_stream", "writer", "export_log"} <= set(entries)
    assert {name: n for name, n in (entries | visits).items() if n > 2} == {}


def module_of(frame: FrameType) -> str:
    """The module of the package whose function runs in a frame, if there is one."""
    path = Path(frame.f_code.co_filename)
    is_function = frame.f_code.co_name.isidentifier()  # not <lambda>, <listcomp> ..
    return path.stem if path.parent == PACKAGE and is_function else ""


def callers(frame: FrameType) -> Iterator[FrameType]:
    """The frames below a frame."""
    while (back := frame.f_back) is not None:
        yield back
        frame = back
