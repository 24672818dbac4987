"""Merge another store's rows into this one by content, with their lineage.

Decisions
- A row with the natural key of a row of this store is the same row; references to it are
  redirected. So merging twice adds nothing, and an interrupted merge is simply repeated.
- Two stores may have two answers to one call. The second is kept under another sample number
  (merge_calls.py); no answer is added twice. If both got the same answer, it was paid for twice,
  and both attempts are kept.
- Attempts are the same when call, teacher and digest are equal, executions when all columns but
  their texts are: what a purge blanks and what a merge changes (the worker) says nothing.
- Takedown rules come first (merge_takedowns.py), and sources and samples come together with their
  origins, so nothing that a rule of either store hides is visible at any moment.
- Jobs that ended there have ended here (merge_jobs.py), so nothing is paid or run again. Jobs that
  are missing are added by the next run. Policies, workers, splits and exports stay those of this
  store.
- The other store is read in one snapshot and not changed; each page is one transaction here.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Column, Connection, Table, func, or_, select

from annoy_store.db.engine import Database
from annoy_store.db.hidden import keep_hidden
from annoy_store.db.insert import insert_into_table
from annoy_store.db.introspect import referenced_table, row_pages
from annoy_store.db.sql import in_values, insert_new
from annoy_store.db.tables import (
    annotation_log,
    attempts,
    calls,
    executions,
    io_pairs,
    jobs,
    origins,
    pair_checks,
    prices,
    prompts,
    purged_digests,
    responses,
    sample_origins,
    samples,
    sources,
    teachers,
    turn_pairs,
    turns,
    variants,
    verdicts,
)
from annoy_store.errors import UsageError
from annoy_store.interfaces import ShowProgress, Stage, show_nothing
from annoy_store.maintenance.accounting import count_paid_twice
from annoy_store.maintenance.merge_calls import Key, answer_identity, load_calls, place_call
from annoy_store.maintenance.merge_jobs import is_final, write_jobs
from annoy_store.maintenance.merge_links import ImportLinks
from annoy_store.maintenance.merge_takedowns import find_purged_rows, join_rules
from annoy_store.maintenance.purge import blank_purged, digests_to_refuse, forget_copies
from annoy_store.maintenance.tombstones import BLANK
from annoy_store.queue.counters import NO_WORKER
from annoy_store.queue.selection import subject_column
from annoy_store.records.digests import attempt_digest, response_digest
from annoy_store.records.policy import load_policy
from annoy_store.records.teachers import join_omitted, omitted_names

Rows = Sequence[Mapping[str, Any]]

MERGED_TABLES: tuple[tuple[Table, Column[int] | None], ...] = (
    (variants, None),
    (sources, origins.c.source_id),
    (prompts, None),
    (teachers, None),
    (calls, None),
    (samples, sample_origins.c.sample_id),
    (executions, None),
    (io_pairs, None),
    (turns, None),
    (turn_pairs, None),
    (verdicts, None),
    (pair_checks, None),
    (attempts, None),
    (annotation_log, None),
)
"""The merged tables, parents first; with some the rows that refer to them by a column."""
_OWNERS = {executions: ("sample_id", "response_id"), attempts: ("call_id",)}
_IDENTITY = {
    executions: [c.name for c in executions.c if c.name not in ("id", *BLANK[executions])],
    attempts: ["call_id", "teacher_id", "digest"],
}
_ROW_DIGESTS = {attempts: attempt_digest, responses: response_digest}


@dataclass
class MergeReport:
    """What a merge did.

    Attributes:
        new: Number of rows of each table that were added.
        known: Number of rows that were here already.
        rules: Takedown rules that were added, or are in force again.
        purged: Number of rows of each table that the joined rules purged here.
        paid_twice: Answers in this store that were paid for in two stores.
    """

    new: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    rules: int = 0
    purged: Counter[str] = field(default_factory=Counter)
    paid_twice: int = 0


def merge(
    ours: Database,
    other: Database,
    stages: Sequence[Stage],
    progress: ShowProgress = show_nothing,
) -> MergeReport:
    """Add what `other` has and `ours` has not.

    Args:
        ours: The store to write to.
        other: The store to read.
        stages: All stages of the pipeline.
        progress: Called after each page of rows.

    Returns:
        Added and known rows by table.

    Raises:
        UsageError: Both are the same store.
    """
    if ours.is_same(other):
        raise UsageError("cannot merge a store into itself; choose another one")
    with other.read() as reading:
        rules = ours.transact(lambda c: join_rules(c, reading))
        state = _Merging(ours, reading, progress)
        for table, child in MERGED_TABLES:
            if table is calls:
                state.take_calls()
            else:
                state.take(table, child)
        state.take_prices()
        state.take_jobs(stages)
    report = state.merged
    report.rules, report.purged = rules, ours.transact(blank_purged)
    if report.purged:
        forget_copies(ours)
    with ours.read() as connection:
        report.paid_twice = count_paid_twice(connection)
    return report


class _Merging:
    """One merge in progress, with the mapping of their ids to ours."""

    def __init__(self, ours: Database, reading: Connection, progress: ShowProgress) -> None:
        self._ours, self._reading, self._progress = ours, reading, progress
        self._total = sum(_n_rows(reading, t) for t in (*(t for t, _ in MERGED_TABLES), jobs))
        self._n_read = 0
        self._ids: dict[Table, array[int]] = {}
        self._matched: dict[Table, set[int]] = defaultdict(set)
        self._placed: set[tuple[Key, int]] = set()
        with ours.read() as connection:
            self._links = ImportLinks(connection)
            self._purged = find_purged_rows(connection, reading)
        refused = digests_to_refuse(
            reading, sorted(self._purged.sources), sorted(self._purged.samples)
        )
        ours.transact(lambda c: insert_new(c, purged_digests, refused))
        self.merged = MergeReport()

    def _show(self, table: Table, page: Rows) -> None:
        self._n_read += len(page)
        new = self.merged.new[table.name]
        self._progress(f"merging {table.name}: {new:,} new", self._n_read, self._total)

    # Rows --------------------------------------------------------------------------------

    def take(self, table: Table, child: Column[int] | None = None) -> None:
        """Merge the rows of a table whose parents were merged before.

        Args:
            table: The table.
            child: By which column rows of another table refer to it that are merged with it.
        """
        self._begin(table)
        if child is not None:
            self._begin(child.table)
        for page in row_pages(self._reading, table):
            children: Rows = []
            if child is not None:
                mine = in_values(self._reading, child, [row["id"] for row in page])
                found = self._reading.execute(select(child.table).where(mine)).mappings()
                children = [dict(row) for row in found]
            self._ours.transact(
                partial(self._write, table=table, page=page, child=child, children=children)
            )
            self._show(table, page)

    def _begin(self, table: Table) -> None:
        if "id" in table.c:
            highest = self._reading.scalar(select(func.max(table.c.id))) or 0
            self._ids[table] = array("q", bytes(8 * (highest + 1)))

    def _moved(self, table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row of theirs with our ids in it, and without its own."""
        moved = self._purged.blanked(table, row)
        moved.pop("id", None)
        if table in _ROW_DIGESTS and moved["digest"] is None:
            moved["digest"] = _ROW_DIGESTS[table](row)
        for name in moved:
            parent = referenced_table(table.c[name])
            if parent is not None and moved[name] is not None:
                moved[name] = self._ids[parent][moved[name]]
        if table is attempts:
            moved["worker_id"] = NO_WORKER
        return moved | ({"active": 0} if "active" in moved else {})

    def _write(
        self,
        connection: Connection,
        table: Table,
        page: Rows,
        child: Column[int] | None,
        children: Rows,
    ) -> None:
        ids = self._insert(connection, table, page)
        written = {table.name: ids}
        if child is not None and children:
            written[child.table.name] = self._insert(connection, child.table, children)
        keep_hidden(connection, written)
        if table is sources:
            self._links.of_sources(connection, page, children, ids)
        elif table is samples:
            self._links.of_samples(connection, ids)

    def _insert(self, connection: Connection, table: Table, page: Rows) -> list[int]:
        newest = _newest(connection, table)
        before = _n_rows(connection, table)
        rows = [self._moved(table, row) for row in page]
        write = self._append if table in _OWNERS else insert_into_table
        written = write(connection, table, rows)
        added = _n_rows(connection, table) - before
        if "id" in table.c:
            for theirs, key in zip(page, written, strict=True):
                self._ids[table][theirs["id"]] = key
        if table is teachers:
            _join_omitted(connection, rows, written)
        if table is turns and (fresh := [key for key in written if key > newest]):
            self._links.of_turns(connection, fresh)
        self._tally(table, added, len(rows) - added)
        return written

    def _tally(self, table: Table, new: int, known: int) -> None:
        self.merged.new[table.name] += new
        self.merged.known[table.name] += known

    def _append(self, connection: Connection, table: Table, rows: Rows) -> list[int]:
        """Write rows of a table without a natural key, unless an equal row is not matched yet."""
        names = _IDENTITY[table]
        owned = [
            in_values(
                connection, table.c[name], sorted({r[name] for r in rows if r[name] is not None})
            )
            for name in _OWNERS[table]
        ]
        free: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        chosen = select(table).where(or_(*owned)).order_by(table.c.id.desc())
        for row in connection.execute(chosen).mappings():
            if row["id"] not in self._matched[table]:
                free[_identity(table, dict(row), names)].append(row["id"])
        found = [self._match(free.get(_identity(table, row, names))) for row in rows]
        fresh = [row for row, key in zip(rows, found, strict=True) if key is None]
        added = iter(insert_into_table(connection, table, fresh) if fresh else [])
        ids = [key if key is not None else next(added) for key in found]
        self._matched[table].update(ids)
        return ids

    @staticmethod
    def _match(free: list[int] | None) -> int | None:
        return free.pop() if free else None

    # Calls and their answers -----------------------------------------------------------------

    def take_calls(self) -> None:
        """Merge calls with their answers, each to a call of ours."""
        self._begin(calls)
        self._begin(responses)
        for page in row_pages(self._reading, calls):
            ids = [row["id"] for row in page]
            chosen = select(responses).where(in_values(self._reading, responses.c.call_id, ids))
            answers = {r["call_id"]: dict(r) for r in self._reading.execute(chosen).mappings()}
            self._ours.transact(partial(self._write_calls, page=page, answers=answers))
            self._show(calls, page)

    def _write_calls(
        self, connection: Connection, page: Rows, answers: Mapping[int, Mapping[str, Any]]
    ) -> None:
        moved = [self._moved(calls, row) for row in page]
        keys = [(row["prompt_id"], row["pinned_teacher_id"]) for row in moved]
        found = load_calls(connection, keys, self._placed)
        existing = {(key, number) for key, ours in found.items() for number in ours}
        responses_there = [
            self._moved(responses, answers[row["id"]]) if row["id"] in answers else None
            for row in page
        ]
        fresh = []
        for row, key, content in zip(moved, keys, responses_there, strict=True):
            answer = answer_identity(content) if content else None
            row["sample_no"], is_new = place_call(found[key], row["sample_no"], answer)
            fresh.append(is_new)
        ids = insert_into_table(connection, calls, moved)
        written = [
            {**content, "call_id": key}
            for key, content, is_new in zip(ids, responses_there, fresh, strict=True)
            if content and is_new
        ]
        insert_new(connection, responses, written)
        self._note_calls(connection, page, ids, answers)
        places = {(key, row["sample_no"]) for key, row in zip(keys, moved, strict=True)}
        self._placed |= {
            (key, row["sample_no"])
            for key, row, content in zip(keys, moved, responses_there, strict=True)
            if content
        }
        self._tally(calls, len(places - existing), len(page) - len(places - existing))
        self._tally(responses, len(written), len(answers) - len(written))

    def _note_calls(
        self,
        connection: Connection,
        page: Rows,
        ids: Sequence[int],
        answers: Mapping[int, Mapping[str, Any]],
    ) -> None:
        chosen = select(responses.c.call_id, responses.c.id).where(
            in_values(connection, responses.c.call_id, sorted(set(ids)))
        )
        known = {row.call_id: row.id for row in connection.execute(chosen)}
        for row, key in zip(page, ids, strict=True):
            self._ids[calls][row["id"]] = key
            if row["id"] in answers:
                self._ids[responses][answers[row["id"]]["id"]] = known[key]

    # Prices and jobs -------------------------------------------------------------------------

    def take_prices(self) -> None:
        """Merge the table of prices."""
        rows = [dict(row) for row in self._reading.execute(select(prices)).mappings()]
        self._ours.transact(lambda c: insert_new(c, prices, rows))

    def take_jobs(self, stages: Sequence[Stage]) -> None:
        """Take over the state of jobs that ended there, unless a worker here is processing them."""
        policy = load_policy(self._reading)
        subjects = {s.name: self._ids[subject_column(s, policy).table] for s in stages}
        for page in row_pages(self._reading, jobs):
            rows = [
                {
                    **row,
                    "subject_id": subjects[row["stage"]][row["subject_id"]],
                    "variant_id": self._ids[variants][row["variant_id"]],
                    "worker_id": None,
                }
                for row in page
                if is_final(row) and row["stage"] in subjects
            ]
            if rows:
                n_new = self._ours.transact(partial(write_jobs, rows=rows))
                self._tally(jobs, n_new, len(rows) - n_new)
            self._show(jobs, page)
        self._ours.transact(self._links.mark_done)


def _join_omitted(connection: Connection, rows: Rows, ids: Sequence[int]) -> None:
    """Join the parameters that teachers leave out, in either store."""
    for row, key in zip(rows, ids, strict=True):
        if row["omitted"]:
            join_omitted(connection, key, omitted_names(row["omitted"]))


def _n_rows(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0


def _newest(connection: Connection, table: Table) -> int:
    """The highest id of a table, 0 if it has none."""
    return int(connection.scalar(select(func.max(table.c.id))) or 0) if "id" in table.c else 0


def _identity(table: Table, row: Mapping[str, Any], names: Sequence[str]) -> tuple[Any, ...]:
    """By what a row of a table without a natural key is the same row."""
    if table in _ROW_DIGESTS and row["digest"] is None:
        row = {**row, "digest": _ROW_DIGESTS[table](row)}
    return tuple(row[name] for name in names)
