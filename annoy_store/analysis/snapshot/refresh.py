"""Refreshes a snapshot: rows that are new in the store are written to parts of a folder.

Decisions
- Append-only tables are kept in parts by id range, and only rows above them are read. Rows that may
  still change are rewritten each time: the other tables, and rows above the last id that is surely
  committed.
- Most jobs are done and stay done. Those below the first open job of their stage and variant are
  kept in parts; if their number differs from the counters, they are read again.
- Everything is read again when the schema or the format of the parts changed, when texts were
  purged, or when the last row of a part differs (another store has replaced the old one).
- The rows are those of one moment; append-only tables are read after it, up to their ids then.
"""

from __future__ import annotations

import fcntl
import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Double,
    Select,
    Table,
    Text,
    func,
    literal_column,
    select,
    union_all,
)

from annoy_store.analysis.snapshot.parts import (
    Manifest,
    Part,
    TableParts,
    file_locked,
    load,
    merge_small_parts,
    save,
    write_part,
)
from annoy_store.analysis.snapshot.schema import (
    APPEND_ONLY_TABLES,
    MUTABLE_TABLES,
    SNAPSHOT_TABLES,
    snapshot_select,
)
from annoy_store.db.engine import Database
from annoy_store.db.sql import open_writers
from annoy_store.db.states import FAILED_STATES, OPEN_STATES, sql_list
from annoy_store.db.tables import jobs, takedowns, variants
from annoy_store.hashing import digest
from annoy_store.queue.counters import funnel

FORMAT_VERSION = 1  # of the parts; raise it when the meaning of a column changes
PART_ROWS = 500_000
_FETCH_ROWS = 8_192
Rows = Select[Any] | CompoundSelect[Any]
_IS_FAILED = f"state IN {sql_list(FAILED_STATES)}"  # as the partial index spells it


def refresh(store: Database, folder: Path) -> Manifest:
    """Bring the parts in a folder up to date with the store, and return their state.

    Raises:
        OSError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with file_locked(folder / "refresh.lock", fcntl.LOCK_EX):
        old, stamp = load(folder), _store_version(store)
        if stamp and stamp == old.store_version:
            return old
        with _gc_disabled():
            new = _Refresh(store, folder, old).run()
        new.store_version = stamp
        save(folder, new)
        return new


def _store_version(store: Database) -> list[Any]:
    """Return values that change with every commit to a file and with the format; [] for a server."""
    if store.path is None:
        return []
    stamp: list[Any] = [_format_digest()]
    for path in (store.path, store.path.with_name(f"{store.path.name}-wal")):
        stat = path.stat() if path.exists() else None
        if stat and stat.st_size:  # readers create and remove an empty log
            stamp += [stat.st_ino, stat.st_size, stat.st_mtime_ns]
    return stamp


@contextmanager
def _gc_disabled() -> Iterator[None]:
    """Pause the garbage collector, which takes a third of the time on 100,000s of rows."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Refresh:
    """One refresh, from an old state to a new one."""

    def __init__(self, store: Database, folder: Path, old: Manifest) -> None:
        self.store, self.folder, self.old = store, folder, old
        self.new = Manifest()

    def run(self) -> Manifest:
        """Write the new parts and return the new state."""
        with self.store.read() as connection:
            self.new.store = _identity(connection)
            if self.new.store != self.old.store or not self._extends_old(connection):
                self.old = Manifest()
            upto = {
                table.name: self._committed_id(connection, table) for table in APPEND_ONLY_TABLES
            }
        with self.store.read() as connection:
            for table in MUTABLE_TABLES:
                self._rewrite(connection, table, snapshot_select(table))
            self._write_jobs(connection)
            for table in APPEND_ONLY_TABLES:
                self._rewrite(
                    connection, table, snapshot_select(table).where(table.c.id > upto[table.name])
                )
        for table in APPEND_ONLY_TABLES:
            self._append(table, upto[table.name])
        return self.new

    def _extends_old(self, connection: Connection) -> bool:
        """Return True if the last row in every table's parts is unchanged in the store."""
        return all(
            not (state := self.old.table_parts(table.name)).parts
            or _row(connection, table, state.max_id) == state.last_row
            for table in APPEND_ONLY_TABLES
        )

    def _committed_id(self, connection: Connection, table: Table) -> int:
        """Return an id up to which all rows of a table are committed, as in queue/enqueue.py."""
        known = self.old.table_parts(table.name)
        state = self.new.tables[table.name] = TableParts(list(known.parts), last_row=known.last_row)
        highest = connection.scalar(select(func.max(table.c.id)))
        newest = -1 if highest is None else int(highest)
        writers = open_writers(connection, table)  # after `newest`: shows writers of lower ids
        state.newest_seen, state.writers = newest, sorted(writers)
        if not writers:
            return newest
        if writers & set(known.writers):
            state.newest_seen, state.writers = known.newest_seen, known.writers
            return known.max_id
        return max(known.newest_seen, known.max_id)

    # Tables ----------------------------------------------------------------------------------

    def _rewrite(self, connection: Connection, table: Table, chosen: Rows) -> Part:
        state = self.new.tables.setdefault(table.name, TableParts())
        state.rewritten = self._write(connection, table, chosen)
        return state.rewritten

    def _write(
        self, connection: Connection, table: Table, chosen: Rows, lo: int = 0, hi: int = 0
    ) -> Part:
        schema = _schema(table)
        batches = _batches(connection, chosen, schema)
        return write_part(self.folder, table.name, schema, batches, lo, hi)

    def _append(self, table: Table, upto: int) -> None:
        """Write the rows above the parts, up to a committed id, as new parts."""
        state = self.new.tables[table.name]
        while (lo := state.max_id + 1) <= upto:
            hi = min(lo + PART_ROWS - 1, upto)
            chosen = snapshot_select(table).where(table.c.id.between(lo, hi)).order_by(table.c.id)
            with self.store.read() as connection:
                state.parts.append(self._write(connection, table, chosen, lo, hi))
                state.last_row = _row(connection, table, hi)
        state.parts = merge_small_parts(self.folder, table.name, state.parts)

    # Jobs ------------------------------------------------------------------------------------

    def _write_jobs(self, connection: Connection) -> None:
        counted = {stage: n["done"] for stage, n in funnel(connection).items() if n.get("done")}
        if self._write_jobs_since(connection, self.old) != counted:
            self._write_jobs_since(connection, Manifest())

    def _write_jobs_since(self, connection: Connection, known: Manifest) -> Counter[str]:
        """Write the jobs that `known` lacks; return the number of done jobs in all files by stage."""
        state = self.new.tables["jobs"] = TableParts(list(known.table_parts("jobs").parts))
        upto = _done_upto(connection)
        self.new.done_upto = {
            kind: max(hi, known.done_upto.get(kind, 0)) for kind, hi in upto.items()
        }
        done = Counter(known.done)
        ranges = [
            _done_jobs(kind, known.done_upto.get(kind, 0), hi)
            for kind, hi in self.new.done_upto.items()
            if hi > known.done_upto.get(kind, 0)
        ]
        if ranges:
            part = self._write(
                connection, jobs, union_all(*ranges), state.max_id + 1, state.max_id + 1
            )
            done += self._count_done(part)
            state.parts = merge_small_parts(self.folder, "jobs", [*state.parts, part])
        self.new.done = dict(done)
        rest = [_done_jobs(kind, hi) for kind, hi in self.new.done_upto.items()]
        others = [
            *map(_jobs_in_state, OPEN_STATES),
            snapshot_select(jobs).where(literal_column(_IS_FAILED)),
        ]
        return done + self._count_done(self._rewrite(connection, jobs, union_all(*rest, *others)))

    def _count_done(self, part: Part) -> Counter[str]:
        found = pq.read_table(self.folder / part.file, columns=["stage", "state"])
        groups = found.group_by(["stage", "state"]).aggregate([([], "count_all")]).to_pylist()
        return Counter({g["stage"]: g["count_all"] for g in groups if g["state"] == "done"})


def _done_upto(connection: Connection) -> dict[str, int]:
    """Return, by `stage/variant`, a subject up to which no job is open.

    Grouped by an expression: for a bare column SQLite would read all jobs in key order, and not
    the small index of open jobs.
    """
    highest = {
        stage: connection.scalar(select(func.max(jobs.c.subject_id)).where(jobs.c.stage == stage))
        for stage in connection.scalars(select(variants.c.stage).distinct()).all()
    }
    known = connection.execute(select(variants.c.stage, variants.c.id)).all()
    upto = {f"{stage}/{key}": int(highest[stage] or 0) for stage, key in known}
    stage_of = jobs.c.stage.concat("").label("stage")
    for state in OPEN_STATES:
        first = select(stage_of, jobs.c.variant_id, func.min(jobs.c.subject_id))
        chosen = first.where(jobs.c.state == literal_column(f"'{state}'"))
        grouped = chosen.group_by(stage_of, jobs.c.variant_id)
        for stage, key, subject in connection.execute(grouped):
            kind = f"{stage}/{key}"
            upto[kind] = min(upto.get(kind, 0), subject - 1)
    return upto


def _done_jobs(kind: str, above: int, upto: int | None = None) -> Select[Any]:
    """Select the done jobs of a `stage/variant` with a subject above one, and up to another."""
    stage, _, key = kind.partition("/")
    chosen = _jobs_in_state("done").where(jobs.c.stage == stage, jobs.c.variant_id == int(key))
    chosen = chosen.where(jobs.c.subject_id > above)
    return chosen if upto is None else chosen.where(jobs.c.subject_id <= upto)


def _jobs_in_state(state: str) -> Select[Any]:
    return snapshot_select(jobs).where(jobs.c.state == literal_column(f"'{state}'"))


# Rows ----------------------------------------------------------------------------------------


def _identity(connection: Connection) -> list[Any]:
    """Return what the parts depend on besides rows: format, columns, and purged texts."""
    purged = select(func.count(takedowns.c.purged_at), func.max(takedowns.c.purged_at))
    return [_format_digest(), *connection.execute(purged).one()]


def _format_digest() -> str:
    return digest(
        "form", FORMAT_VERSION, {table.name: _schema(table).names for table in SNAPSHOT_TABLES}
    )


def _row(connection: Connection, table: Table, key: int) -> list[Any]:
    found = connection.execute(snapshot_select(table).where(table.c.id == key)).first()
    return list(found) if found else []


def _schema(table: Table) -> pa.Schema:
    return pa.schema(
        [(column.key, _arrow_type(column)) for column in snapshot_select(table).selected_columns]
    )


def _arrow_type(column: ColumnElement[Any]) -> pa.DataType:
    if isinstance(column.type, Text):
        return pa.string()
    return pa.float64() if isinstance(column.type, Double) else pa.int64()


def _batches(connection: Connection, chosen: Rows, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    options = {"stream_results": True, "max_row_buffer": _FETCH_ROWS}
    with connection.execute(chosen, execution_options=options) as result:
        for rows in result.partitions(_FETCH_ROWS):
            columns = zip(*rows, strict=True)
            arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)
