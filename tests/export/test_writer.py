"""Writing files: shards, a disk that is full, and exports that are killed or interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from sqlalchemy import select

from annoy_store.db.duckdb_session import registered_stream
from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import exports
from annoy_store.export.export import export
from annoy_store.export.file_options import FileOptions
from annoy_store.export.request import ExportRequest
from tests.support import chains

CHECKOUT = Path(__file__).parent.parent.parent


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writer_shards_together_are_the_whole(sqlite_store: Database, tmp_path: Path) -> None:
    chains.fill(sqlite_store)
    export(sqlite_store, ExportRequest("codeio", tmp_path / "one"))
    cut = FileOptions(shard_rows=4)
    report = export(sqlite_store, ExportRequest("codeio", tmp_path / "many", file_options=cut))
    assert [file.name for file in report.files] == [
        f"train/train-{i:05d}-of-00003.jsonl" for i in range(3)
    ]
    parts = b"".join((tmp_path / "many" / file.name).read_bytes() for file in report.files)
    assert parts == (tmp_path / "one" / "train.jsonl").read_bytes()


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


@pytest.mark.slow
def test_writer_explains_a_file_that_cannot_grow(sqlite_store: Database, tmp_path: Path) -> None:
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
from annoy_store.export import writer
from annoy_store.db.migrate import open_store
from annoy_store.export.export import ExportRequest, export
streamed = writer.stream_records
def slow(*args):
    for batch in streamed(*args):
        print("writing", flush=True)
        time.sleep(60)
        yield batch
writer.stream_records = slow
export(open_store(sys.argv[1]), ExportRequest("codeio", Path(sys.argv[2])))
"""


def test_writer_leaves_nothing_under_the_name_when_killed(
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


FRONT = """
from annoy_store.__main__ import main
main()
"""


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_writer_leaves_nothing_when_interrupted(
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


def test_writer_raises_errors_of_the_stream_as_they_are() -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        raise KeyError("gone")
        yield

    def read(duck: duckdb.DuckDBPyConnection) -> None:
        with registered_stream(duck, "s", pa.schema([("a", pa.int64())]), broken()):
            duck.execute("SELECT * FROM s")

    with duckdb.connect() as duck, pytest.raises(KeyError, match="gone"):
        read(duck)
