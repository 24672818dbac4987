"""Merge another store's rows into this one by content, with their lineage.

Decisions
- A row with the natural key of a row of this store is the same row; references to it are
  redirected. So merging twice adds nothing, and an interrupted merge is simply repeated.
- Two stores may have two answers to one call. The second is kept under the prompt's next sample
  number, as if it had been requested again (merge_calls.py); no answer is added twice.
- Rows without a natural key (attempts, executions) are the same when all their columns are equal.
- Jobs that ended there have ended here, so nothing is paid or run again. Jobs that are missing are
  added by the next run. Policies, workers, splits and exports stay those of this store.
- The other store is read in one snapshot and not changed; each page is one transaction here.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, func, or_, select, update

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_into_table
from annoy_store.db.introspect import referenced_table, row_pages
from annoy_store.db.sql import in_values, insert_new
from annoy_store.db.states import ENDED_STATES, WAITING_STATES
from annoy_store.db.tables import (
    NATURAL_KEYS,
    attempts,
    calls,
    executions,
    jobs,
    metadata,
    prices,
    responses,
    teachers,
    variants,
)
from annoy_store.errors import UsageError
from annoy_store.interfaces import Stage
from annoy_store.maintenance.merge_calls import Key, answer_identity, load_calls, place_call
from annoy_store.queue.counters import NO_WORKER, add_to_counters
from annoy_store.queue.selection import subject_column
from annoy_store.records.policy import load_policy
from annoy_store.records.teachers import join_omitted, omitted_names

Rows = Sequence[Mapping[str, Any]]
Note = Callable[[str, int], None]
_OWNERS = {executions: ("sample_id", "response_id"), attempts: ("call_id",)}


@dataclass
class MergeReport:
    """Number of rows of each table that were added, and that were here already."""

    new: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)


def merge(
    ours: Database, other: Database, stages: Sequence[Stage], note: Note = lambda table, rows: None
) -> MergeReport:
    """Add what `other` has and `ours` has not.

    Args:
        ours: The store to write to.
        other: The store to read.
        stages: All stages of the pipeline.
        note: Called with a table and the number of its rows added so far.

    Returns:
        Added and known rows by table.

    Raises:
        UsageError: Both are the same store.
    """
    if str(ours) == str(other):
        raise UsageError("cannot merge a store into itself; choose another one")
    with other.read() as reading:
        state = _Merging(ours, reading, note)
        for table in metadata.sorted_tables:
            if table is calls:
                state.take_calls()
            elif table in _OWNERS or (table.name in NATURAL_KEYS and table is not responses):
                state.take(table)
        state.take_prices()
        state.take_jobs(stages)
    return state.merged


class _Merging:
    """One merge in progress, with the mapping of their ids to ours."""

    def __init__(self, ours: Database, reading: Connection, note: Note) -> None:
        self._ours, self._reading, self._note = ours, reading, note
        self._ids: dict[Table, array[int]] = {}
        self._matched: dict[Table, set[int]] = defaultdict(set)
        self._placed: set[tuple[Key, int]] = set()
        self.merged = MergeReport()

    # Rows --------------------------------------------------------------------------------

    def take(self, table: Table) -> None:
        """Merge the rows of a table whose parents were merged before."""
        if "id" in table.c:
            self._begin(table)
        for page in row_pages(self._reading, table):
            rows = [self._moved(table, row) for row in page]
            self._ours.transact(lambda c, p=page, r=rows: self._write(c, table, p, r))  # type: ignore[misc]
            self._note(table.name, self.merged.new[table.name])

    def _begin(self, table: Table) -> None:
        highest = self._reading.scalar(select(func.max(table.c.id))) or 0
        self._ids[table] = array("q", bytes(8 * (highest + 1)))

    def _moved(self, table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row of theirs with our ids in it, and without its own."""
        moved = {key: value for key, value in row.items() if key != "id"}
        for name in moved:
            parent = referenced_table(table.c[name])
            if parent is not None and moved[name] is not None:
                moved[name] = self._ids[parent][moved[name]]
        if table is attempts:
            moved["worker_id"] = NO_WORKER
        return moved | ({"active": 0} if "active" in moved else {})

    def _write(self, connection: Connection, table: Table, page: Rows, rows: Rows) -> None:
        before = connection.scalar(select(func.count()).select_from(table)) or 0
        write = self._append if table in _OWNERS else insert_into_table
        written = write(connection, table, rows)
        after = connection.scalar(select(func.count()).select_from(table)) or 0
        if table is teachers:
            for row, key in zip(rows, written, strict=True):
                if row["omitted"]:
                    join_omitted(connection, key, omitted_names(row["omitted"]))
        if "id" in table.c:
            for row, key in zip(page, written, strict=True):
                self._ids[table][row["id"]] = key
        self._tally(table, after - before, len(rows) - (after - before))

    def _tally(self, table: Table, new: int, known: int) -> None:
        self.merged.new[table.name] += new
        self.merged.known[table.name] += known

    def _append(self, connection: Connection, table: Table, rows: Rows) -> list[int]:
        """Write rows of a table without a natural key, unless an equal row is not matched yet."""
        names = list(rows[0])
        owned = [
            in_values(
                connection, table.c[name], sorted({r[name] for r in rows if r[name] is not None})
            )
            for name in _OWNERS[table]
        ]
        chosen = select(table.c.id, *(table.c[name] for name in names)).where(or_(*owned))
        free: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for key, *values in connection.execute(chosen.order_by(table.c.id.desc())):
            if key not in self._matched[table]:
                free[tuple(values)].append(key)
        found = [self._match(free.get(tuple(row[n] for n in names))) for row in rows]
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
            self._ours.transact(lambda c, p=page, a=answers: self._write_calls(c, p, a))  # type: ignore[misc]
            self._note("calls", self.merged.new["calls"])

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
                if row["state"] in ENDED_STATES and row["stage"] in subjects
            ]
            if rows:
                self._ours.transact(lambda c, r=rows: self._write_jobs(c, r))  # type: ignore[misc]
            self._note("jobs", self.merged.new["jobs"])

    def _write_jobs(self, connection: Connection, rows: Rows) -> None:
        here = _here(connection, rows)
        deltas: Counter[tuple[str, str]] = Counter()
        fresh = [row for row in rows if _job(row) not in here]
        insert_new(connection, jobs, fresh)
        for row in fresh:
            deltas[row["stage"], row["state"]] += 1
        ended = [row for row in rows if here.get(_job(row)) in WAITING_STATES]
        for row in ended:
            stage, subject, variant = _job(row)
            connection.execute(
                update(jobs)
                .where(jobs.c.stage == stage, jobs.c.subject_id == subject)
                .where(jobs.c.variant_id == variant)
                .values(state=row["state"], reason=row["reason"], detail=row["detail"], due_at=None)
            )
            deltas[stage, here[_job(row)]] -= 1
            deltas[stage, row["state"]] += 1
        add_to_counters(connection, NO_WORKER, deltas)
        self._tally(jobs, len(fresh) + len(ended), len(rows) - len(fresh) - len(ended))


def _job(row: Mapping[str, Any]) -> tuple[str, int, int]:
    return row["stage"], row["subject_id"], row["variant_id"]


def _here(connection: Connection, rows: Rows) -> dict[tuple[str, int, int], str]:
    """The states of our jobs among `rows`, locked until the end of the transaction."""
    found: dict[tuple[str, int, int], str] = {}
    for stage in sorted({row["stage"] for row in rows}):
        subjects = sorted({row["subject_id"] for row in rows if row["stage"] == stage})
        chosen = select(jobs.c.stage, jobs.c.subject_id, jobs.c.variant_id, jobs.c.state).where(
            jobs.c.stage == stage, in_values(connection, jobs.c.subject_id, subjects)
        )
        for *key, state in connection.execute(chosen.with_for_update()):
            found[tuple(key)] = state
    return found
