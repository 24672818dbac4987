"""Files and folders: nothing under the final name but a whole export, whatever happens."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from annoy_store.db.duckdb_session import registered_stream
from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.migrate import open_store
from annoy_store.db.tables import exports
from annoy_store.errors import UsageError
from annoy_store.export.export import export
from annoy_store.export.request import ExportRequest
from annoy_store.export.writer import (
    FileOptions,
    _count_lines,
    check_file_options,
    publish_folder,
    staging_folder,
)
from tests.support import chains

CHECKOUT = Path(__file__).parent.parent.parent


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_published_whole(tmp_path: Path) -> None:
    with staging_folder(tmp_path / "deep" / "out") as making:
        (making / "a").write_text("1")
        assert left(tmp_path / "deep") == [making.name]
        publish_folder(making, tmp_path / "deep" / "out")
    assert left(tmp_path / "deep") == ["out"]
    assert (tmp_path / "deep" / "out" / "a").read_text() == "1"


def half_written(folder: Path, error: Exception) -> None:
    with staging_folder(folder) as making:
        (making / "a").write_text("1")
        raise error


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        half_written(tmp_path / "out", RuntimeError())
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), duckdb.IOException("No space")]
)
def test_a_full_disk_is_told_in_one_line(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(UsageError, match=r"cannot write .*out: .*No space.*; nothing was kept"):
        half_written(tmp_path / "out", error)
    assert left(tmp_path) == []


def test_someone_else_was_faster(tmp_path: Path) -> None:
    with staging_folder(tmp_path / "out") as making:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "theirs").write_text("1")
        with pytest.raises(UsageError, match="is not empty"):
            publish_folder(making, tmp_path / "out")
    assert left(tmp_path) == ["out"]


@pytest.mark.parametrize(
    "packing", [FileOptions("csv"), FileOptions(compression="lz4"), FileOptions(shard_rows=0)]
)
def test_what_cannot_be_packed_is_refused(packing: FileOptions) -> None:
    with pytest.raises(UsageError):
        check_file_options(packing)


def test_the_hashes_are_of_the_files(sqlite_store: Database, tmp_path: Path) -> None:
    chains.fill(sqlite_store, ["ant"])
    report = export(sqlite_store, ExportRequest("codeio", tmp_path / "out"))
    told = json.loads((tmp_path / "out" / "export.json").read_text())
    for file, entry in zip(report.files, told["files"], strict=True):
        data = (tmp_path / "out" / file.name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == file.sha256 == entry["sha256"]
        assert (len(data), data.count(b"\n")) == (entry["bytes"], entry["rows"])


SMALL_DISK = """
import resource, signal, sys
from pathlib import Path
from annoy_store.db.migrate import open_store
from annoy_store.export.export import ExportRequest, export
from annoy_store.errors import UsageError
store = open_store(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    export(store, ExportRequest("codeio", Path(sys.argv[2])))
except UsageError as error:
    print(error)
"""


def test_a_file_that_cannot_grow_is_a_clear_error(sqlite_store: Database, tmp_path: Path) -> None:
    """As on a full disk, the system refuses a write in the middle of a file."""
    with sqlite_store.write() as connection:
        rows = chains.sampled("ant")
        rows += chains.chain(connection, chains.pairs_of(rows)[0], [("x" * 400_000, "correct")])
        insert_rows(connection, rows)
    url = sqlite_store.url.render_as_string()
    sqlite_store.close()
    done = subprocess.run(
        [sys.executable, "-c", SMALL_DISK, url, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith(f"cannot write {tmp_path}/out: ")
    assert [name for name in left(tmp_path) if "out" in name] == []


SLOW = """
import sys, time
from pathlib import Path
from annoy_store.export import export as exporting
from annoy_store.db.migrate import open_store
from annoy_store.export.export import ExportRequest, export
streamed = exporting.stream_records
def slow(*args):
    for batch in streamed(*args):
        print("writing", flush=True)
        time.sleep(60)
        yield batch
exporting.stream_records = slow
export(open_store(sys.argv[1]), ExportRequest("codeio", Path(sys.argv[2])))
"""


def test_a_killed_export_leaves_nothing_under_its_name(
    sqlite_store: Database, tmp_path: Path
) -> None:
    chains.fill(sqlite_store, ["ant"])
    command = [
        sys.executable,
        "-c",
        SLOW,
        sqlite_store.url.render_as_string(),
        str(tmp_path / "out"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "out").exists()
    with sqlite_store.read() as connection:
        assert connection.execute(select(exports)).all() == []
    assert export(sqlite_store, ExportRequest("codeio", tmp_path / "out")).n_rows == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_export_tidies_up(
    sqlite_store: Database, tmp_path: Path, number: signal.Signals
) -> None:
    chains.fill(sqlite_store, ["ant"])
    url, out = sqlite_store.url.render_as_string(), str(tmp_path / "out")
    program = SLOW.rpartition("export(")[0] + FRONT
    process = subprocess.Popen(
        [sys.executable, "-c", program, "--store", url, "export", "codeio", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(number)
    said = process.communicate(timeout=30)[1]
    assert (process.returncode, said.strip()) == (130, "annoy: interrupted")
    assert [name for name in left(tmp_path) if "out" in name] == []


FRONT = """
from annoy_store.__main__ import main
main()
"""


def test_what_a_killed_export_left_is_swept_and_no_other(tmp_path: Path) -> None:
    (tmp_path / ".out.partial-1-dead" / "train").mkdir(parents=True)
    (tmp_path / ".other.partial-1-dead").mkdir()
    with staging_folder(tmp_path / "out") as first:
        assert not (tmp_path / ".out.partial-1-dead").exists()
        with staging_folder(tmp_path / "out") as second:
            assert first.exists()  # somebody is at work there
            assert second.exists()
    assert left(tmp_path) == [".other.partial-1-dead"]


def test_an_export_is_one_moment_while_others_write(store: Database, tmp_path: Path) -> None:
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


def test_an_error_of_the_source_comes_out_as_itself() -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        raise KeyError("gone")
        yield

    def read(duck: duckdb.DuckDBPyConnection) -> None:
        with registered_stream(duck, "s", pa.schema([("a", pa.int64())]), broken()):
            duck.execute("SELECT * FROM s")

    with duckdb.connect() as duck, pytest.raises(KeyError, match="gone"):
        read(duck)


@given(st.lists(st.sampled_from([b"{}", b"{a}", b""]), max_size=6), st.integers(1, 9))
def test_lines_are_counted_over_any_chunks(lines: list[bytes], size: int) -> None:
    data = b"".join(line + b"\n" for line in lines)
    chunks = [data[i : i + size] for i in range(0, len(data), size)]

    def counted() -> int:
        total, ended = 0, True
        for chunk in chunks:
            total += _count_lines(chunk, "x", after_end=ended)
            ended = chunk.endswith(b"\n")
        return total

    if b"" in lines:
        with pytest.raises(UsageError, match="empty line"):
            counted()
    else:
        assert counted() == len(lines)
