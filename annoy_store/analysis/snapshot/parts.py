"""A folder of Parquet parts and the manifest that says which of them are one state.

Decisions
- `manifest.json` is replaced by a rename, and parts are never changed: a new state is new files.
- Readers hold a shared lock on the folder; files that the state no longer names are removed when
  there is no reader. The kernel releases the locks of processes that have ended.
"""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SMALL_ROWS = 65_536
MAX_SMALL_PARTS = 12
ROW_GROUP_ROWS = 122_880
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Part:
    """One Parquet file.

    Attributes:
        file: Path within the folder.
        lo: Lowest id that it covers.
        hi: Highest id that it covers.
        rows: Number of its rows.
    """

    file: str
    lo: int
    hi: int
    rows: int


@dataclass
class TableParts:
    """The files of one table.

    Attributes:
        parts: Files that are never changed, by rising id range.
        rewritten: The file of rows that are written again by each refresh.
        last_row: The row with the highest id in the parts.
        newest_seen: The newest id when a writer was last seen at work.
        writers: The writers that were seen then.
    """

    parts: list[Part] = field(default_factory=list)
    rewritten: Part | None = None
    last_row: list[Any] = field(default_factory=list)
    newest_seen: int = -1
    writers: list[str] = field(default_factory=list)

    @property
    def max_id(self) -> int:
        """Highest id in the parts; -1 without parts."""
        return self.parts[-1].hi if self.parts else -1

    @property
    def files(self) -> list[str]:
        """Paths of all files within the folder."""
        return [part.file for part in (*self.parts, *([self.rewritten] if self.rewritten else []))]


@dataclass
class Manifest:
    """One state of a folder.

    Attributes:
        store: Identity of the store and of the format of the parts.
        store_version: A value that changes with every commit to a file; empty for a server.
        tables: The files of each table.
        done_upto: By `stage/variant`, the subject up to which the parts hold the done jobs.
        done: By stage, the number of done jobs in the parts.
    """

    store: list[Any] = field(default_factory=list)
    store_version: list[Any] = field(default_factory=list)
    tables: dict[str, TableParts] = field(default_factory=dict)
    done_upto: dict[str, int] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)

    @property
    def files(self) -> set[str]:
        """Paths of all files within the folder."""
        return {file for table in self.tables.values() for file in table.files}

    def table_parts(self, table: str) -> TableParts:
        """Return the files of a table; empty for a new one."""
        return self.tables.get(table, TableParts())


def load(folder: Path) -> Manifest:
    """Return the state of a folder; an empty one where there is none, or an unreadable one."""
    try:
        values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        tables = {name: _parse_table_parts(each) for name, each in values.pop("tables").items()}
        state = Manifest(tables=tables, **values)
        return state if all((folder / file).exists() for file in state.files) else Manifest()
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return Manifest()


def _parse_table_parts(values: dict[str, Any]) -> TableParts:
    parts, rewritten = values.pop("parts"), values.pop("rewritten")
    return TableParts(
        [Part(**part) for part in parts], Part(**rewritten) if rewritten else None, **values
    )


def save(folder: Path, state: Manifest) -> None:
    """Make `state` the state of a folder, and remove other parts if there is no reader."""
    temporary = folder / f".{MANIFEST}-{uuid.uuid4().hex[:8]}"
    temporary.write_text(json.dumps(asdict(state)), encoding="utf-8")
    temporary.replace(folder / MANIFEST)
    _remove_unused(folder, state.files)


def _remove_unused(folder: Path, named: set[str]) -> None:
    try:
        with file_locked(folder / "reading.lock", fcntl.LOCK_EX | fcntl.LOCK_NB):
            for path in folder.glob("*/*.parquet*"):
                if str(path.relative_to(folder)) not in named:
                    path.unlink(missing_ok=True)
    except BlockingIOError:
        return


@contextmanager
def file_locked(path: Path, how: int) -> Iterator[None]:
    """Hold the lock (flock) of a file.

    Args:
        path: The lock file; it is created if needed.
        how: Flags of `fcntl.flock`: `LOCK_SH` or `LOCK_EX`, with `LOCK_NB` to not wait.

    Raises:
        BlockingIOError: The lock is taken and `how` has `LOCK_NB`.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def read_locked(folder: Path) -> Iterator[Manifest]:
    """Open the state of a folder; its files are kept until this is closed."""
    with file_locked(folder / "reading.lock", fcntl.LOCK_SH):
        yield load(folder)


def write_part(
    folder: Path,
    table: str,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    lo: int = 0,
    hi: int = 0,
) -> Part:
    """Write batches as one part; the file gets its name when it is complete.

    Args:
        folder: Folder of the snapshot.
        table: Name of the table.
        schema: Its columns.
        batches: The rows.
        lo: Lowest id that the part covers.
        hi: Highest id that the part covers.
    """
    name = f"{table}/{lo}-{hi}-{uuid.uuid4().hex[:8]}.parquet"
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp")
    rows = 0
    with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for group in _row_groups(batches, schema):
            writer.write_table(group, ROW_GROUP_ROWS)
            rows += group.num_rows
    temporary.replace(path)
    return Part(name, lo, hi, rows)


def _row_groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Combine batches into row groups, so that a file has few of them."""
    group: list[pa.RecordBatch] = []
    for batch in batches:
        group.append(batch)
        if sum(b.num_rows for b in group) >= ROW_GROUP_ROWS:
            yield pa.Table.from_batches(group, schema)
            group = []
    if group:
        yield pa.Table.from_batches(group, schema)


def merge_small_parts(folder: Path, table: str, parts: list[Part]) -> list[Part]:
    """Merge the small parts at the end into one, when there are more than `MAX_SMALL_PARTS`.

    Returns:
        The parts that replace `parts`.
    """
    small = len(parts) - next((i for i, p in enumerate(parts) if p.rows < SMALL_ROWS), len(parts))
    if small <= MAX_SMALL_PARTS:
        return parts
    run = parts[-small:]
    schema = pq.read_schema(folder / run[0].file)
    batches = (b for p in run for b in pq.ParquetFile(folder / p.file).iter_batches())
    return [*parts[:-small], write_part(folder, table, schema, batches, run[0].lo, run[-1].hi)]
