"""A folder of Parquet parts and the manifest that says which of them are one state.

Decisions
- `manifest.json` is replaced by a rename, and parts are never changed: a new state is new files.
- Who reads holds a shared lock on the folder; files that the state no longer names are removed
  when nobody reads. The kernel drops the locks of the dead.
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
MOST_SMALL = 12
ROW_GROUP = 122_880
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Part:
    """One file: its name within the folder, the ids it covers, how many rows it has."""

    file: str
    lo: int
    hi: int
    rows: int


@dataclass
class Kept:
    """What there is of one table: parts by id range, and a file of rows that are written anew.

    `last` is the row with the highest id in the parts. `seen` and `writers` are the newest id
    when somebody was last seen writing, and who it was.
    """

    parts: list[Part] = field(default_factory=list)
    anew: Part | None = None
    last: list[Any] = field(default_factory=list)
    seen: int = -1
    writers: list[str] = field(default_factory=list)

    @property
    def upto(self) -> int:
        return self.parts[-1].hi if self.parts else -1

    @property
    def files(self) -> list[str]:
        return [part.file for part in (*self.parts, *([self.anew] if self.anew else []))]


@dataclass
class Manifest:
    """One state of a folder: of what store, and which files hold which table.

    `done_upto` and `done` say up to which subject of a kind, and how many of a stage, the parts
    hold the jobs that are done.
    """

    store: list[Any] = field(default_factory=list)
    stamp: list[Any] = field(default_factory=list)
    tables: dict[str, Kept] = field(default_factory=dict)
    done_upto: dict[str, int] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)

    @property
    def files(self) -> set[str]:
        return {file for kept in self.tables.values() for file in kept.files}

    def kept(self, table: str) -> Kept:
        return self.tables.get(table, Kept())


def load(folder: Path) -> Manifest:
    """The state of a folder; an empty one where there is none, or none that we understand."""
    try:
        read = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        tables = {name: _kept(values) for name, values in read.pop("tables").items()}
        state = Manifest(tables=tables, **read)
        return state if all((folder / file).exists() for file in state.files) else Manifest()
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return Manifest()


def _kept(values: dict[str, Any]) -> Kept:
    parts, anew = values.pop("parts"), values.pop("anew")
    return Kept([Part(**part) for part in parts], Part(**anew) if anew else None, **values)


def save(folder: Path, state: Manifest) -> None:
    """Make `state` the state of the folder, and remove what it does not name if nobody reads."""
    making = folder / f".{MANIFEST}-{uuid.uuid4().hex[:8]}"
    making.write_text(json.dumps(asdict(state)), encoding="utf-8")
    making.replace(folder / MANIFEST)
    _sweep(folder, state.files)


def _sweep(folder: Path, named: set[str]) -> None:
    try:
        with locked(folder / "reading.lock", fcntl.LOCK_EX | fcntl.LOCK_NB):
            for path in folder.glob("*/*.parquet*"):
                if str(path.relative_to(folder)) not in named:
                    path.unlink(missing_ok=True)
    except BlockingIOError:
        return


@contextmanager
def locked(path: Path, how: int) -> Iterator[None]:
    """Hold the lock of a file; wait for it unless told otherwise. Raises BlockingIOError then."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def reading(folder: Path) -> Iterator[Manifest]:
    """The state of the folder; its files stay as long as this is open."""
    with locked(folder / "reading.lock", fcntl.LOCK_SH):
        yield load(folder)


def write_part(
    folder: Path,
    table: str,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    lo: int = 0,
    hi: int = 0,
) -> Part:
    """Write batches as one part; it has its name when it is whole."""
    name = f"{table}/{lo}-{hi}-{uuid.uuid4().hex[:8]}.parquet"
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    making = path.with_name(f"{path.name}.tmp")
    rows = 0
    with pq.ParquetWriter(making, schema, compression="zstd") as writer:
        for group in _grouped(batches, schema):
            writer.write_table(group, ROW_GROUP)
            rows += group.num_rows
    making.replace(path)
    return Part(name, lo, hi, rows)


def _grouped(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Batches put together to groups of rows, so that a file has few of them."""
    gathered: list[pa.RecordBatch] = []
    for batch in batches:
        gathered.append(batch)
        if sum(b.num_rows for b in gathered) >= ROW_GROUP:
            yield pa.Table.from_batches(gathered, schema)
            gathered = []
    if gathered:
        yield pa.Table.from_batches(gathered, schema)


def put_together(folder: Path, table: str, parts: list[Part]) -> list[Part]:
    """Make one part of those at the end that are small, when they are many."""
    small = len(parts) - next((i for i, p in enumerate(parts) if p.rows < SMALL_ROWS), len(parts))
    if small <= MOST_SMALL:
        return parts
    run = parts[-small:]
    schema = pq.read_schema(folder / run[0].file)
    batches = (b for p in run for b in pq.ParquetFile(folder / p.file).iter_batches())
    return [*parts[:-small], write_part(folder, table, schema, batches, run[0].lo, run[-1].hi)]
