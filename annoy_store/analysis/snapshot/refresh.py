"""A snapshot brought up to date: what is new in the store goes into parts of a folder.

Decisions
- Tables that only grow are kept in parts by id range, and only what lies above is read. What may
  still change is written anew each time: the control tables, and what lies above the last id that
  is surely committed.
- Most jobs are done and stay so. Those below the first open job of their kind are kept in parts;
  if the number of all that are kept is not what the counters say, they are read again.
- All is read again when the schema or the form of the parts changed, when texts were purged, or
  when the last row of a part is another one (another store took the place of the old).
- The rows are those of one moment; tables that only grow are read after it, up to where they were.
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
    Kept,
    Manifest,
    Part,
    load,
    locked,
    put_together,
    save,
    write_part,
)
from annoy_store.analysis.snapshot.schema import APPENDED, CONTROL, TABLES, held
from annoy_store.db.engine import Database
from annoy_store.db.sql import open_writers
from annoy_store.db.states import FAILED_STATES, OPEN_STATES, sql_list
from annoy_store.db.tables import jobs, takedowns, variants
from annoy_store.hashing import digest
from annoy_store.queue.counters import funnel

FORM = 1  # of the parts: raise it when what a column means changes
PART_ROWS = 500_000
_AT_ONCE = 8_192
Rows = Select[Any] | CompoundSelect[Any]
_IS_FAILED = f"state IN {sql_list(FAILED_STATES)}"  # as the partial index spells it


def refresh(store: Database, folder: Path) -> Manifest:
    """Bring the parts in `folder` up to date with the store; return their state."""
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "refresh.lock", fcntl.LOCK_EX):
        old, stamp = load(folder), _stamp(store)
        if stamp and stamp == old.stamp:
            return old
        with _uncollected():
            new = _Refresh(store, folder, old).run()
        new.stamp = stamp
        save(folder, new)
        return new


def _stamp(store: Database) -> list[Any]:
    """What changes with every commit to a file, and with our code; nothing for a server."""
    if store.path is None:
        return []
    stamp: list[Any] = [_form()]
    for path in (store.path, store.path.with_name(f"{store.path.name}-wal")):
        about = path.stat() if path.exists() else None
        if about and about.st_size:  # an empty log comes and goes with its readers
            stamp += [about.st_ino, about.st_size, about.st_mtime_ns]
    return stamp


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the collector from looking through rows by the 100,000: a third of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class _Refresh:
    """One refresh, from the old state to a new one."""

    def __init__(self, store: Database, folder: Path, old: Manifest) -> None:
        self.store, self.folder, self.old = store, folder, old
        self.new = Manifest()

    def run(self) -> Manifest:
        with self.store.read() as connection:
            self.new.store = _identity(connection)
            if self.new.store != self.old.store or not self._is_the_same(connection):
                self.old = Manifest()
            upto = {table.name: self._settled(connection, table) for table in APPENDED}
        with self.store.read() as connection:
            for table in CONTROL:
                self._anew(connection, table, held(table))
            self._jobs(connection)
            for table in APPENDED:
                self._anew(connection, table, held(table).where(table.c.id > upto[table.name]))
        for table in APPENDED:
            self._append(table, upto[table.name])
        return self.new

    def _is_the_same(self, connection: Connection) -> bool:
        """True if the last row in every table's parts is the row that it was."""
        return all(
            not (kept := self.old.kept(table.name)).parts
            or _row(connection, table, kept.upto) == kept.last
            for table in APPENDED
        )

    def _settled(self, connection: Connection, table: Table) -> int:
        """An id up to which all rows of a table are committed, as in queue/enqueue.py."""
        known = self.old.kept(table.name)
        kept = self.new.tables[table.name] = Kept(list(known.parts), last=known.last)
        highest = connection.scalar(select(func.max(table.c.id)))
        newest = -1 if highest is None else int(highest)
        writers = open_writers(
            connection, table
        )  # after `newest`: who took a lower id is seen here
        kept.seen, kept.writers = newest, sorted(writers)
        if not writers:
            return newest
        if writers & set(known.writers):
            kept.seen, kept.writers = known.seen, known.writers
            return known.upto
        return max(known.seen, known.upto)

    # Tables ----------------------------------------------------------------------------------

    def _anew(self, connection: Connection, table: Table, chosen: Rows) -> Part:
        kept = self.new.tables.setdefault(table.name, Kept())
        kept.anew = self._part(connection, table, chosen)
        return kept.anew

    def _part(
        self, connection: Connection, table: Table, chosen: Rows, lo: int = 0, hi: int = 0
    ) -> Part:
        schema = _schema(table)
        batches = _batches(connection, chosen, schema)
        return write_part(self.folder, table.name, schema, batches, lo, hi)

    def _append(self, table: Table, upto: int) -> None:
        """The rows above the parts, up to the settled ids, in parts of their own."""
        kept = self.new.tables[table.name]
        while (lo := kept.upto + 1) <= upto:
            hi = min(lo + PART_ROWS - 1, upto)
            chosen = held(table).where(table.c.id.between(lo, hi)).order_by(table.c.id)
            with self.store.read() as connection:
                kept.parts.append(self._part(connection, table, chosen, lo, hi))
                kept.last = _row(connection, table, hi)
        kept.parts = put_together(self.folder, table.name, kept.parts)

    # Jobs ------------------------------------------------------------------------------------

    def _jobs(self, connection: Connection) -> None:
        counted = {stage: n["done"] for stage, n in funnel(connection).items() if n.get("done")}
        if self._jobs_over(connection, self.old) != counted:
            self._jobs_over(connection, Manifest())

    def _jobs_over(self, connection: Connection, known: Manifest) -> Counter[str]:
        """Write the jobs that `known` lacks; return how many per stage are done in all files."""
        kept = self.new.tables["jobs"] = Kept(list(known.kept("jobs").parts))
        upto = _done_upto(connection)
        self.new.done_upto = {
            kind: max(hi, known.done_upto.get(kind, 0)) for kind, hi in upto.items()
        }
        done = Counter(known.done)
        ranges = [
            _done(kind, known.done_upto.get(kind, 0), hi)
            for kind, hi in self.new.done_upto.items()
            if hi > known.done_upto.get(kind, 0)
        ]
        if ranges:
            part = self._part(connection, jobs, union_all(*ranges), kept.upto + 1, kept.upto + 1)
            done += self._count_done(part)
            kept.parts = put_together(self.folder, "jobs", [*kept.parts, part])
        self.new.done = dict(done)
        rest = [_done(kind, hi) for kind, hi in self.new.done_upto.items()]
        others = [*map(_in_state, OPEN_STATES), held(jobs).where(literal_column(_IS_FAILED))]
        return done + self._count_done(self._anew(connection, jobs, union_all(*rest, *others)))

    def _count_done(self, part: Part) -> Counter[str]:
        found = pq.read_table(self.folder / part.file, columns=["stage", "state"])
        groups = found.group_by(["stage", "state"]).aggregate([([], "count_all")]).to_pylist()
        return Counter({g["stage"]: g["count_all"] for g in groups if g["state"] == "done"})


def _done_upto(connection: Connection) -> dict[str, int]:
    """Per `stage/variant`, a subject up to which no job is open.

    Grouped by an expression: for a bare column SQLite would read all jobs in the order of their
    key, and not the small index of the open ones.
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


def _done(kind: str, above: int, upto: int | None = None) -> Select[Any]:
    """The done jobs of a kind with a subject above, and at most, what is given."""
    stage, _, key = kind.partition("/")
    chosen = _in_state("done").where(jobs.c.stage == stage, jobs.c.variant_id == int(key))
    chosen = chosen.where(jobs.c.subject_id > above)
    return chosen if upto is None else chosen.where(jobs.c.subject_id <= upto)


def _in_state(state: str) -> Select[Any]:
    return held(jobs).where(jobs.c.state == literal_column(f"'{state}'"))


# Rows ----------------------------------------------------------------------------------------


def _identity(connection: Connection) -> list[Any]:
    """What the parts depend on besides rows: their form, their columns, and what was purged."""
    purged = select(func.count(takedowns.c.purged_at), func.max(takedowns.c.purged_at))
    return [_form(), *connection.execute(purged).one()]


def _form() -> str:
    return digest("form", FORM, {table.name: _schema(table).names for table in TABLES})


def _row(connection: Connection, table: Table, key: int) -> list[Any]:
    found = connection.execute(held(table).where(table.c.id == key)).first()
    return list(found) if found else []


def _schema(table: Table) -> pa.Schema:
    return pa.schema([(column.key, _kind(column)) for column in held(table).selected_columns])


def _kind(column: ColumnElement[Any]) -> pa.DataType:
    if isinstance(column.type, Text):
        return pa.string()
    return pa.float64() if isinstance(column.type, Double) else pa.int64()


def _batches(connection: Connection, chosen: Rows, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    options = {"stream_results": True, "max_row_buffer": _AT_ONCE}
    with connection.execute(chosen, execution_options=options) as result:
        for rows in result.partitions(_AT_ONCE):
            columns = zip(*rows, strict=True)
            arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)
