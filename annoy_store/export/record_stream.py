"""From the plan to records: the texts that a format needs, read in the order of the tables.

Decisions
- Texts are never joined in one long read. Rows of the store do not change, so pages of them are
  fetched by id in short transactions, and the snapshot of the plan need not stay open.
- The order of an export looks random to the store, and texts read in it would each be a disk page
  of their own. So they are read in the order of the tables, as one scan would, and sorted through
  a file (external_sort.py).
- Texts are compared with the digests of their rows as they are read (all but feedback and outputs,
  which have none), so an altered or purged text is never exported.
- Only which pairs of a sample are stable may change meanwhile; then the export is refused, not
  mixed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Column, Connection, Select, Table, select

from annoy_store.db.engine import Database
from annoy_store.db.sql import in_parameter
from annoy_store.errors import UsageError
from annoy_store.export.ground_truths import ground_truths
from annoy_store.export.record_schema import PAIR_TYPE, FormatBinding, StoredColumn
from annoy_store.records.digests import input_digest
from annoy_store.records.queries import stable_pairs
from annoy_store.records.row_digests import ROW_DIGESTS

MIN_PAGE_ROWS = 512
MAX_PAGE_ROWS = 8192
_PAGE_BYTES = 24 << 20


def stream_records(
    store: Database, plan: pa.Table, binding: FormatBinding
) -> Iterator[tuple[list[int], pa.RecordBatch]]:
    """Read the records of a plan page by page.

    Args:
        store: The store to read from.
        plan: One row per record, with `subject_id` and the plan columns of the binding.
        binding: What the format reads.

    Yields:
        The positions of the records in `plan`, ascending, and the records themselves; the pages
        are in the order of the tables.

    Raises:
        UsageError: If texts were purged or pairs checked again meanwhile.
    """
    order = pc.sort_indices(plan.column("subject_id"))
    plan = plan.select(list(binding.plan_columns)).combine_chunks()
    start, size = 0, MIN_PAGE_ROWS
    while start < plan.num_rows:
        positions = order.slice(start, size)
        positions = positions.take(pc.sort_indices(positions))
        with store.read() as connection:
            page = _page(connection, plan.take(positions), binding)
        yield positions.to_pylist(), page
        start += page.num_rows
        size = _next_size(page)


def _next_size(page: pa.RecordBatch) -> int:
    """How many records fill a page, if the next ones are as long as these."""
    fitting = _PAGE_BYTES * page.num_rows // max(1, page.nbytes)
    return max(MIN_PAGE_ROWS, min(MAX_PAGE_ROWS, int(fitting)))


def _page(connection: Connection, plan: pa.Table, binding: FormatBinding) -> pa.RecordBatch:
    stored = binding.stored
    ids = {key: plan.column(key).to_pylist() for key in {s.key for s in stored.values()}}
    values = _values(connection, stored, ids)
    arrays = []
    for field in binding.stream_schema:
        if field.name in stored:
            about = stored[field.name]
            texts = _look_up(values[about.column], ids[about.key])
            arrays.append(pa.array(texts, type=field.type))
        elif field.name == "ios":
            sample_ids, held = (plan.column(n).to_pylist() for n in ("sample_id", "held"))
            arrays.append(_pairs(connection, sample_ids, held))
        elif field.name == "ground_truth":
            prompts, kinds = (plan.column(n).to_pylist() for n in ("prompt_id", "kind"))
            arrays.append(pa.array(ground_truths(connection, prompts, kinds), type=field.type))
        else:
            arrays.append(plan.column(field.name).combine_chunks())
    return pa.RecordBatch.from_arrays(arrays, schema=binding.stream_schema)


def _look_up(values: Mapping[int, Any], ids: list[int | None]) -> list[Any]:
    try:
        return [None if i is None else values[i] for i in ids]
    except KeyError:
        raise UsageError("rows of the store were purged during the export; run it again") from None


def _values(
    connection: Connection, stored: Mapping[str, StoredColumn], ids: Mapping[str, list[int | None]]
) -> dict[Column[Any], dict[int, Any]]:
    """For each column of the store its values by id: one query per column."""
    wanted: dict[Column[Any], list[int]] = {}
    for about in stored.values():
        present = [i for i in ids[about.key] if i is not None]
        wanted[about.column] = wanted.get(about.column, []) + present
    values: dict[Column[Any], dict[int, Any]] = {}
    for column, some in wanted.items():
        if column.table not in ROW_DIGESTS:
            # The driver's own rows: wrapping them takes a third of the time.
            with connection.execute(_by_id(column), {"ids": some}) as result:
                values[column] = dict(cast(Any, result.cursor).fetchall())
    for table in {column.table for column in wanted} & ROW_DIGESTS.keys():
        columns = [column for column in wanted if column.table is table]
        ids_of_table = sorted({i for column in columns for i in wanted[column]})
        values |= _verified(connection, table, columns, ids_of_table)
    return values


def _verified(
    connection: Connection, table: Table, columns: Sequence[Column[Any]], ids: Sequence[int]
) -> dict[Column[Any], dict[int, Any]]:
    """Columns of rows by id, if the content of the rows has the digest that stands beside it.

    Raises:
        UsageError: If a text was purged meanwhile, or changed by hand.
    """
    about = ROW_DIGESTS[table]
    names = tuple(
        dict.fromkeys(["id", about.column.name, *about.names, *(c.name for c in columns)])
    )
    with connection.execute(_rows_by_id(table, names), {"ids": ids}) as result:
        rows = [dict(zip(names, row, strict=True)) for row in cast(Any, result.cursor).fetchall()]
    if wrong := about.wrong(rows):
        raise UsageError(
            f"{table.name} {wrong[0]['id']} does not match its digest: it was purged during the "
            "export, or changed by hand; see: annoy check, then run it again"
        )
    return {column: {row["id"]: row[column.name] for row in rows} for column in columns}


@lru_cache(maxsize=64)
def _rows_by_id(table: Table, names: tuple[str, ...]) -> Select[Any]:
    return select(*(table.c[name] for name in names)).where(in_parameter(table.c.id, "ids"))


@lru_cache(maxsize=64)
def _by_id(column: Column[Any]) -> Select[Any]:
    key = column.table.c.id
    return select(key, column).where(in_parameter(key, "ids"))


def _pairs(
    connection: Connection, sample_ids: Sequence[int], held: Sequence[str | None]
) -> pa.Array:
    """The stable I/O pairs of samples as JSON texts, if they are the ones that the plan saw.

    Args:
        connection: A read transaction.
        sample_ids: The samples.
        held: For each sample the digest of the pairs that were stable in the snapshot.

    Raises:
        UsageError: If other pairs are stable now, or an input was purged or changed.
    """
    pairs: dict[int, list[dict[str, str]]] = {i: [] for i in sample_ids}
    digests: dict[int, list[str]] = {i: [] for i in sample_ids}
    for sample_id, given, output, digest in connection.execute(
        stable_pairs(connection, sample_ids)
    ):
        if input_digest(json.loads(given)) != digest:
            raise UsageError(
                f"an input of sample {sample_id} does not match its digest: it was purged during "
                "the export, or changed by hand; see: annoy check, then run it again"
            )
        pairs[sample_id].append({"input": given, "output": output})
        digests[sample_id].append(digest)
    if [_digest_of_all(digests[i]) for i in sample_ids] != list(held):
        raise UsageError("pairs were checked again during the export; run it again")
    return pa.array([pairs[i] for i in sample_ids], type=pa.list_(PAIR_TYPE))


def _digest_of_all(digests: list[str]) -> str | None:
    """What the attribute `held` of the plan says of the same pairs."""
    return hashlib.md5(",".join(sorted(digests)).encode()).hexdigest() if digests else None
