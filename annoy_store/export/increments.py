"""What earlier exports of a line hold, and what has changed since they were made.

Decisions
- What is new is what is absent from the line, never what has a higher id: a chain that began
  before an export may close after it.
- What may have changed is found from its cause: a verdict that is newer than what the last export
  had seen, a hidden sample, a new overlap, a split that was decided again. Only these are looked
  at, unless the active checker is another one: then everything is.
- A published subject is taken back when it is hidden, judged otherwise, overlapping (if that is
  asked) or in another split now. A changed filter takes nothing back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import orjson
from sqlalchemy import ColumnElement, Connection, Select, and_, func, not_, or_, select

from annoy_store.db.duckdb_session import chunks, load_table
from annoy_store.db.sql import committed_upto, in_values
from annoy_store.db.tables import (
    benchmark_overlaps,
    calls,
    export_rows,
    exports,
    hidden_subjects,
    io_pairs,
    responses,
    retractions,
    sample_origins,
    splits,
    turns,
    variants,
    verdicts,
)
from annoy_store.export.chains import ChainCondition
from annoy_store.export.export_log import published_rows
from annoy_store.export.format_file import Format


@dataclass(frozen=True)
class ParentExports:
    """The exports that a new one adds to (newest first; none: a first one).

    `doubtful` are the chains to look at again; None means all of them.
    """

    ids: Sequence[int] = ()
    changed_chains: Sequence[int] | None = None

    @property
    def is_partial(self) -> bool:
        return bool(self.ids) and self.changed_chains is not None

    def chain_condition(self, connection: Connection) -> ChainCondition | None:
        """What to gather: everything, or what is absent or in doubt."""
        if not self.is_partial:
            return None

        def narrow(chain_id: ColumnElement[int]) -> ColumnElement[bool]:
            held = select(export_rows.c.id).where(
                export_rows.c.chain_id == chain_id, export_rows.c.export_id.in_(self.ids)
            )
            absent = not_(held.correlate_except(export_rows).exists())
            if not self.changed_chains:
                return absent
            return or_(absent, in_values(connection, chain_id, self.changed_chains))

        return narrow


def verdict_watermark(connection: Connection) -> str:
    """How far verdicts are known now, and which checkers are active, as JSON."""
    active = select(variants.c.digest).where(variants.c.stage == "verify", variants.c.active == 1)
    checkers = sorted(connection.scalars(active))
    upto = committed_upto(connection, verdicts.c.id)
    return orjson.dumps({"verdict": upto, "checkers": checkers}).decode()


def load_parents(
    connection: Connection, form: Format, ids: Sequence[int], *, compares: bool, overlap: bool
) -> ParentExports:
    """Return the line of exports `ids`, with what must be looked at again."""
    if not ids or compares or form.record != "chain":
        return ParentExports(ids)
    parent = connection.execute(
        select(exports.c.seen, exports.c.created_at).where(exports.c.id == ids[0])
    ).one()
    then, now = orjson.loads(parent.seen), orjson.loads(verdict_watermark(connection))
    if then["checkers"] != now["checkers"]:
        return ParentExports(ids)
    causes = [
        _judged_since(then["verdict"]),
        _taken_back(ids),
        _of_samples(select(hidden_subjects.c.subject_id).where(hidden_subjects.c.kind == "sample")),
        _of_samples(_decided_since(parent.created_at[:10])),
    ]
    if overlap:
        causes += [_of_samples(s) for s in _overlapping()]
    found = {i for cause in causes for i in connection.scalars(cause) if i is not None}
    return ParentExports(ids, sorted(found))


def _judged_since(verdict_id: int) -> Select[Any]:
    """The chains of all verdicts after `verdict_id`."""
    joined = verdicts.join(responses).join(calls, calls.c.id == responses.c.call_id)
    return (
        select(func.coalesce(turns.c.chain_response_id, responses.c.id))
        .select_from(joined.join(turns, turns.c.prompt_id == calls.c.prompt_id))
        .where(verdicts.c.id > verdict_id)
    )


def _taken_back(ids: Sequence[int]) -> Select[Any]:
    return (
        select(export_rows.c.chain_id)
        .join(retractions, retractions.c.export_row_id == export_rows.c.id)
        .where(retractions.c.export_id.in_(ids))
    )


def _of_samples(sample_ids: Select[Any]) -> Select[Any]:
    """The chains of samples."""
    joined = io_pairs.join(turns, turns.c.io_pair_id == io_pairs.c.id)
    joined = joined.join(calls, calls.c.prompt_id == turns.c.prompt_id)
    return (
        select(responses.c.id)
        .select_from(joined.join(responses, responses.c.call_id == calls.c.id))
        .where(turns.c.number == 1, io_pairs.c.sample_id.in_(sample_ids))
    )


def _decided_since(day: str) -> Select[Any]:
    """Samples whose split may be another one than when an export of that day was made."""
    changed = and_(splits.c.split != "train", splits.c.created_at >= day)
    return select(splits.c.sample_id).where(or_(splits.c.split == "excluded", changed))


def _overlapping() -> list[Select[Any]]:
    own = select(benchmark_overlaps.c.subject_id).where(benchmark_overlaps.c.kind == "sample")
    raw = select(benchmark_overlaps.c.subject_id).where(benchmark_overlaps.c.kind == "source")
    return [own, select(sample_origins.c.sample_id).where(sample_origins.c.source_id.in_(raw))]


# In DuckDB -----------------------------------------------------------------------------------


def mark_published(
    duck: duckdb.DuckDBPyConnection,
    connection: Connection,
    form: Format,
    line: ParentExports,
    *,
    overlap: bool,
) -> list[tuple[int, str]]:
    """Mark subjects that the line holds as they are now; return the rows to be taken back.

    Reads `candidates` with `hidden` (and `overlapping`); sets `subjects.published`.
    """
    if not line.ids:
        return []
    rows = published_rows(connection, line.ids)
    key = "sample_id" if form.record == "sample" else "chain_id"
    some = [rows]
    if line.changed_chains is not None:
        some = [
            rows.where(in_values(connection, export_rows.c.chain_id, p))
            for p in chunks(line.changed_chains)
        ]
    load_table(duck, "held", connection, *some)
    overlaps_now = "c.overlapping" if overlap else "false"
    duck.execute(f"""
    CREATE TABLE judged AS
    SELECT h.row_id, h.{key} AS subject_id,
           CASE WHEN c.subject_id IS NULL THEN 'gone' WHEN c.hidden THEN 'taken_down'
                WHEN {overlaps_now} THEN 'overlap' WHEN c.state <> h.digest THEN 'judged_again'
                WHEN c.split IS NULL THEN NULL WHEN c.split <> h.split THEN 'set_aside' END AS reason
    FROM held h LEFT JOIN candidates c ON c.subject_id = h.{key}
    """)
    still = "SELECT subject_id FROM judged WHERE reason IS NULL"
    duck.execute(f"UPDATE subjects SET published = true WHERE subject_id IN ({still})")
    moved = "SELECT subject_id FROM judged WHERE reason = 'set_aside'"
    duck.execute(f"UPDATE subjects SET removed = 'set_aside' WHERE subject_id IN ({moved})")
    query = "SELECT row_id, reason FROM judged WHERE reason IS NOT NULL ORDER BY row_id"
    return [(int(row[0]), str(row[1])) for row in duck.execute(query).fetchall()]
