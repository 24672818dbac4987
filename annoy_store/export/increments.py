"""What earlier exports hold, and what has changed since they were made.

Decisions
- What is new is what is absent from the parent exports, never what has a higher id: a chain that
  began before an export may close after it.
- What may have changed is found from its cause: a verdict that is newer than what the last export
  had seen, a pair that a check does not call stable, a sample taken down, a new overlap, a split
  that was decided again. Only these are looked at, unless the active checker is another one, or
  the last export did not look at the pairs: then everything is.
- A published subject is retracted when it is taken down, its pair does not hold any more, or it has
  another verdict, overlaps (if that is asked for) or is in another split now. A changed filter
  retracts nothing. What holds again later is new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    pair_checks,
    responses,
    retractions,
    sample_origins,
    splits,
    turn_pairs,
    turns,
    variants,
    verdicts,
)
from annoy_store.export.attributes import ANSWER_SHOWN, TAKEN_DOWN_SAMPLES
from annoy_store.export.filters import PAIR_TURNED, STABLE, Selection
from annoy_store.export.format_file import Format
from annoy_store.export.parents import ParentExports
from annoy_store.export.splits import EXCLUDED
from annoy_store.tasks.shown_values import NO


@dataclass(frozen=True)
class ChangesSince:
    """What a snapshot knows of changes since the parent export.

    Attributes:
        watermark: What the next increment compares with, as JSON: the highest id up to which all
            verdicts are known, the digests of the active variants of `verify`, and which pairs were
            wanted.
        chains: The chains of the parent exports that may have changed; None for all.
        compared: The attributes by which published subjects are compared with what they are now.
    """

    watermark: str
    chains: Sequence[int] | None
    compared: tuple[str, ...]


@dataclass(frozen=True)
class Retraction:
    """A row of an earlier export that is retracted.

    Attributes:
        row_id: Its id in `export_rows`.
        export: Digest of its export.
        split: Its split there.
        file: Its file there.
        line: Its line in the file, from 1.
        digest: The digest of its state.
        reason: Why: `gone`, `taken_down`, `overlap`, `answer_shown`, `pair_unstable`,
            `judged_again` or `set_aside`.
    """

    row_id: int
    export: str
    split: str | None
    file: str
    line: int
    digest: str
    reason: str

    def as_json(self) -> dict[str, Any]:
        """Return its line in retractions.csv."""
        names = ("export", "split", "file", "line", "digest", "reason")
        return {name: getattr(self, name) for name in names}


def changes_since(
    connection: Connection,
    form: Format,
    parents: ParentExports,
    selection: Selection,
    *,
    compare_all: bool,
) -> ChangesSince:
    """Find what may have changed since the parent export.

    Args:
        connection: The snapshot of the store.
        form: The format.
        parents: The exports to add to, if any.
        selection: What is exported.
        compare_all: Whether every chain is looked at, whatever has changed.
    """
    watermark, compared = _watermark(connection, selection), _compared(form, selection)
    if not parents.ids or compare_all:
        return ChangesSince(watermark, None, compared)
    then, now = orjson.loads(parents.seen), orjson.loads(watermark)
    if any(then.get(key) != now[key] for key in ("checkers", "pairs")):
        return ChangesSince(watermark, None, compared)
    causes = [
        _judged_since(then["verdict"]),
        _retracted(parents.ids),
        _of_samples(TAKEN_DOWN_SAMPLES),
        _of_samples(_decided_since(parents.created_at[:10])),
    ]
    if selection.pairs == STABLE:
        causes += _not_stable()
    if selection.exclude_overlaps:
        causes += [_of_samples(samples) for samples in _overlapping()]
    found = {i for cause in causes for i in connection.scalars(cause) if i is not None}
    return ChangesSince(watermark, sorted(found), compared)


def _compared(form: Format, selection: Selection) -> tuple[str, ...]:
    overlap = ("overlap",) if selection.exclude_overlaps else ()
    looks_at_pairs = selection.pairs == STABLE and form.record != "sample"
    return "hidden", *overlap, *(("pair_status",) if looks_at_pairs else ())


def _watermark(connection: Connection, selection: Selection) -> str:
    active = select(variants.c.digest).where(variants.c.stage == "verify", variants.c.active == 1)
    checkers = sorted(connection.scalars(active))
    upto = committed_upto(connection, verdicts.c.id)
    seen = {"verdict": upto, "checkers": checkers, "pairs": selection.pairs}
    return orjson.dumps(seen).decode()


def _judged_since(verdict_id: int) -> Select[Any]:
    """The chains of all verdicts after `verdict_id`."""
    joined = verdicts.join(responses).join(calls, calls.c.id == responses.c.call_id)
    return (
        select(func.coalesce(turns.c.chain_response_id, responses.c.id))
        .select_from(joined.join(turns, turns.c.prompt_id == calls.c.prompt_id))
        .where(verdicts.c.id > verdict_id)
    )


def _retracted(ids: Sequence[int]) -> Select[Any]:
    """The chains that some of the exports `ids` retracted."""
    return (
        select(export_rows.c.chain_id)
        .join(retractions, retractions.c.export_row_id == export_rows.c.id)
        .where(retractions.c.export_id.in_(ids))
    )


def _not_stable() -> list[Select[Any]]:
    """The chains about a pair that some check did not call stable, or found in its question."""
    turned = or_(pair_checks.c.status != STABLE, pair_checks.c.shown != NO)
    pairs = select(pair_checks.c.io_pair_id).where(turned)
    several = select(turn_pairs.c.turn_id).where(turn_pairs.c.io_pair_id.in_(pairs))
    return [_first_turns(turns.c.io_pair_id.in_(pairs)), _first_turns(turns.c.id.in_(several))]


def _of_samples(sample_ids: Select[Any]) -> Select[Any]:
    """The chains of samples."""
    return _first_turns(turns.c.sample_id.in_(sample_ids))


def _first_turns(condition: ColumnElement[bool]) -> Select[Any]:
    """The chains of first turns."""
    joined = turns.join(calls, calls.c.prompt_id == turns.c.prompt_id)
    return (
        select(responses.c.id)
        .select_from(joined.join(responses, responses.c.call_id == calls.c.id))
        .where(turns.c.number == 1, condition)
    )


def _decided_since(day: str) -> Select[Any]:
    """Samples whose split may be another one than when an export of that day was made."""
    changed = and_(splits.c.split != "train", splits.c.created_at >= day)
    return select(splits.c.sample_id).where(or_(splits.c.split == EXCLUDED, changed))


def _overlapping() -> list[Select[Any]]:
    own = select(benchmark_overlaps.c.subject_id).where(benchmark_overlaps.c.kind == "sample")
    raw = select(benchmark_overlaps.c.subject_id).where(benchmark_overlaps.c.kind == "source")
    return [own, select(sample_origins.c.sample_id).where(sample_origins.c.source_id.in_(raw))]


# In DuckDB -----------------------------------------------------------------------------------


def mark_published(
    duck: duckdb.DuckDBPyConnection,
    connection: Connection,
    form: Format,
    parents: ParentExports,
    changed_chains: Sequence[int] | None,
    selection: Selection,
) -> list[Retraction]:
    """Mark the subjects that the parent exports hold as they are now.

    Reads `candidates` with `hidden` (and what `ChangesSince.compared` names); sets `subjects.published`.

    Args:
        duck: DuckDB with `subjects` and `candidates`.
        connection: The snapshot of the store.
        form: The format; it says whether a record is a chain or a sample.
        parents: The exports to add to, if any.
        changed_chains: The chains that may have changed; None for all.
        selection: What is exported.

    Returns:
        The rows of the parent exports that are no longer wanted as they were.
    """
    if not parents.ids:
        return []
    rows = _published_rows(parents.ids)
    some = [rows]
    if changed_chains is not None:
        some = [
            rows.where(in_values(connection, export_rows.c.chain_id, ids))
            for ids in chunks(changed_chains)
        ]
    load_table(duck, "held", connection, *some)
    key = "sample_id" if form.record == "sample" else "chain_id"
    is_overlapping = "c.overlapping" if selection.exclude_overlaps else "false"
    turned = "false" if selection.pairs != STABLE else PAIR_TURNED
    shown = f"c.pair_status = '{ANSWER_SHOWN}'" if turned == PAIR_TURNED else "false"
    if form.record == "sample":  # its state is its stable pairs
        shown = "false"
        turned = "c.state <> h.digest AND c.has_unstable"
    duck.execute(f"""
    CREATE TABLE judged AS
    SELECT h.row_id, h.{key} AS subject_id,
           CASE WHEN c.subject_id IS NULL THEN 'gone' WHEN c.hidden THEN 'taken_down'
                WHEN {is_overlapping} THEN 'overlap' WHEN {shown} THEN '{ANSWER_SHOWN}'
                WHEN {turned} THEN 'pair_unstable'
                WHEN c.state <> h.digest THEN 'judged_again'
                WHEN c.split IS NULL THEN NULL WHEN c.split <> h.split THEN 'set_aside' END AS reason
    FROM held h LEFT JOIN candidates c ON c.subject_id = h.{key}
    """)
    still = "SELECT subject_id FROM judged WHERE reason IS NULL"
    duck.execute(f"UPDATE subjects SET published = true WHERE subject_id IN ({still})")
    moved = "SELECT subject_id FROM judged WHERE reason = 'set_aside'"
    duck.execute(f"UPDATE subjects SET removed = 'set_aside' WHERE subject_id IN ({moved})")
    query = "SELECT row_id, reason FROM judged WHERE reason IS NOT NULL"
    return _locate(connection, dict(duck.execute(query).fetchall()))


def _published_rows(ids: Sequence[int]) -> Select[Any]:
    """The rows that the exports `ids` hold together: published and not retracted."""
    retracted = (
        select(retractions.c.export_row_id)
        .where(retractions.c.export_id.in_(ids), retractions.c.export_row_id == export_rows.c.id)
        .exists()
    )
    return select(
        export_rows.c.id.label("row_id"),
        export_rows.c.chain_id,
        export_rows.c.sample_id,
        export_rows.c.split,
        export_rows.c.digest,
    ).where(export_rows.c.export_id.in_(ids), not_(retracted))


def _locate(connection: Connection, reasons: Mapping[int, str]) -> list[Retraction]:
    """Find the file and the line of export rows, given with the reasons of their retraction."""
    if not reasons:
        return []
    chosen = (
        select(
            export_rows.c.id,
            export_rows.c.position,
            export_rows.c.split,
            export_rows.c.digest,
            exports.c.digest.label("export"),
            exports.c.files,
        )
        .join(exports, exports.c.id == export_rows.c.export_id)
        .where(in_values(connection, export_rows.c.id, reasons))
    )
    found = []
    files: dict[str, list[dict[str, Any]]] = {}
    for row in connection.execute(chosen):
        if row.export not in files:
            files[row.export] = orjson.loads(row.files)
        at = next(f for f in files[row.export] if 0 <= row.position - f["first"] < f["rows"])
        line = row.position - at["first"] + 1
        found.append(
            Retraction(row.id, row.export, row.split, at["name"], line, row.digest, reasons[row.id])
        )
    return sorted(found, key=lambda one: (one.export, one.file, one.line))
