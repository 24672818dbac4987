"""From records to files: written beside, checked, hashed, made durable, then renamed.

Decisions
- Nothing ever stands under the final name but a whole export: a folder is filled under another
  name, every file is checked and synced, and one rename publishes it.
- A folder in the making is locked by who fills it. One that nobody holds is what a killed export
  left, and the next export to the same place removes it.
- Files are cut by number of records, never by size or thread, so equal records are equal bytes.
- Splits that are cut have a folder each, because that is what trainers take for one data set.
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from annoy_store.db.duckdb_session import registered_stream
from annoy_store.errors import UsageError
from annoy_store.export.format_file import Format
from annoy_store.export.record_schema import FormatBinding, records_view, stream_schema

CONTAINERS = ("jsonl", "parquet")
COMPRESSIONS = {None: "", "gzip": ".gz", "zstd": ".zst"}
_CHUNK = 1 << 18


@dataclass(frozen=True)
class FileOptions:
    """How records become files. Parquet is compressed inside (zstd unless told otherwise)."""

    container: str = "jsonl"
    compression: str | None = None
    shard_rows: int | None = None

    @property
    def suffix(self) -> str:
        if self.container == "parquet":
            return ".parquet"
        return f".jsonl{COMPRESSIONS[self.compression]}"

    @property
    def copy_options(self) -> str:
        if self.container == "parquet":
            return f"FORMAT parquet, COMPRESSION {self.compression or 'zstd'}"
        return f"FORMAT json, COMPRESSION {self.compression or 'uncompressed'}"


@dataclass(frozen=True)
class WrittenFile:
    """One file: `first` is the position of its first record in the whole export."""

    name: str
    split: str
    first: int
    rows: int
    bytes: int
    sha256: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def check_file_options(packing: FileOptions) -> None:
    """Raise UsageError for a packing that cannot be."""
    if packing.container not in CONTAINERS:
        raise UsageError(f"unknown container {packing.container!r}; known are: jsonl, parquet")
    if packing.compression not in COMPRESSIONS:
        raise UsageError(f"unknown compression {packing.compression!r}; known are: gzip, zstd")
    if packing.shard_rows is not None and packing.shard_rows < 1:
        raise UsageError("--shard-rows must be at least 1")


# The folder ----------------------------------------------------------------------------------


def check_folder(folder: Path) -> None:
    """Raise UsageError unless `folder` is free to be written: not there, or empty."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder for the export")
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"the folder {folder} is not empty; name a new one, or empty it first")


@contextmanager
def staging_folder(folder: Path) -> Iterator[Path]:
    """Give a folder beside `folder` to fill; it is gone at the end unless `publish` renamed it."""
    check_folder(folder)
    name = f".{folder.resolve().name}.partial-{os.getpid()}-{secrets.token_hex(4)}"
    making = folder.resolve().parent / name
    try:
        making.mkdir(parents=True)
        _sweep(folder.resolve(), making)
        with _locked(making):
            yield making
    except (OSError, duckdb.IOException) as error:
        raise UsageError(f"cannot write {folder}: {_short(error)}; nothing was kept") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _sweep(folder: Path, own: Path) -> None:
    """Remove what killed exports to `folder` left behind."""
    for left in folder.parent.glob(f".{glob.escape(folder.name)}.partial-*"):
        with _locked(left) as abandoned:
            if abandoned and left != own:
                shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _locked(making: Path) -> Iterator[bool]:
    """Lock a folder in the making, which the kernel undoes with the process; say if it worked."""
    descriptor = os.open(making, os.O_RDONLY)
    try:
        yield _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    with suppress(OSError):  # somebody holds it, or the file system has no locks
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def publish_folder(making: Path, folder: Path) -> None:
    """Make everything in `making` durable and give it its final name."""
    for path in sorted(making.rglob("*")):
        _sync(path)
    _sync(making)
    check_folder(folder)
    os.rename(making, folder.resolve())
    _sync(folder.resolve().parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _short(error: Exception) -> str:
    if "No space left" in str(error):
        return "No space left (while it is written an export takes the room of its texts twice)"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


# The files -----------------------------------------------------------------------------------


ReadRecords = Callable[[int, int], Iterator[pa.RecordBatch]]  # the first record, and how many


def write_split(
    duck: duckdb.DuckDBPyConnection,
    form: Format,
    shape: FormatBinding,
    packing: FileOptions,
    making: Path,
    split: str,
    first: int,
    rows: int,
    take: ReadRecords,
) -> list[WrittenFile]:
    """Write the records from `first` on as the files of one split, and check what was written."""
    size = packing.shard_rows or rows
    starts = range(first, first + rows, size)
    files = []
    for number, start in enumerate(starts):
        name, held = _name(split, packing, number, len(starts)), min(size, first + rows - start)
        (making / name).parent.mkdir(exist_ok=True)
        with registered_stream(duck, "stream", stream_schema(shape), take(start, held)):
            _copy(duck, form, shape, packing, making / name, held)
        files.append(_checked(making, name, split, start, held, packing))
    return files


def _name(split: str, packing: FileOptions, number: int, count: int) -> str:
    if packing.shard_rows is None:
        return f"{split}{packing.suffix}"
    return f"{split}/{split}-{number:05d}-of-{count:05d}{packing.suffix}"


def _copy(
    duck: duckdb.DuckDBPyConnection,
    form: Format,
    shape: FormatBinding,
    packing: FileOptions,
    path: Path,
    rows: int,
) -> None:
    duck.execute(records_view(stream_schema(shape).names, shape.n_turns))
    target = str(path).replace("'", "''")
    statement = f"COPY ({form.sql}\n) TO '{target}' ({packing.copy_options})"
    try:
        written = duck.execute(statement).fetchall()[0][0]
    except (duckdb.BinderException, duckdb.ConversionException) as error:
        raise UsageError(f"format {form.name}: {_short(error)}") from error
    if written != rows:
        raise UsageError(
            f"format {form.name} made {written} rows of {rows} records; it must make one of each: "
            "filter with --where"
        )


def _checked(
    making: Path, name: str, split: str, first: int, rows: int, packing: FileOptions
) -> WrittenFile:
    """Hash a file; of plain JSON lines also see that there are as many as records, none empty."""
    digest, lines, size, ended = hashlib.sha256(), 0, 0, True
    plain = packing.suffix == ".jsonl"
    with (making / name).open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            if plain:
                lines += _count_lines(chunk, name, after_end=ended)
                ended = chunk.endswith(b"\n")
    if plain and lines != rows:
        raise UsageError(f"{name} has {lines} lines for {rows} records; nothing was kept")
    return WrittenFile(name, split, first, rows, size, digest.hexdigest())


def _count_lines(chunk: bytes, name: str, *, after_end: bool) -> int:
    """Count the ends of lines in one pass; an empty line would stand for a record that is lost."""
    count, last, at = 0, -1 if after_end else -2, chunk.find(b"\n")
    while at >= 0:
        if at == last + 1:
            raise UsageError(f"{name} has an empty line; the text of a record is broken")
        count, last, at = count + 1, at, chunk.find(b"\n", at + 1)
    return count
