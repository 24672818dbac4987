"""From chosen subjects to records: the texts that a format needs, read in the store's order.

Decisions
- Texts are never joined in one long read. Rows of the store do not change, so pages of them are
  fetched by id in short transactions, and the snapshot that chose them need not stay open.
- The order of an export looks random to the store, and texts read in it would each be a page of
  the disk of their own. So they are read in the order of the tables, as one scan would, and wait
  in a file (external_sort.py) for their turn.
- Only which pairs of a sample hold may change meanwhile; then the export is refused, not mixed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Column, Connection, Select, select

from annoy_store.db.engine import Database
from annoy_store.db.sql import in_parameter
from annoy_store.errors import UsageError
from annoy_store.export.record_schema import (
    PAIR_TYPE,
    FormatBinding,
    StoredColumn,
    plan_columns,
    stored_columns,
    stream_schema,
)
from annoy_store.records.queries import stable_pairs

_FEWEST, _MOST, _BYTES = 512, 8192, 24 << 20  # of one page


def stream_records(
    store: Database, plan: pa.Table, shape: FormatBinding
) -> Iterator[tuple[list[int], pa.RecordBatch]]:
    """Yield pages of records with their places in `plan`, in the order of the tables.

    Raises UsageError if the store lost a text meanwhile.
    """
    schema = stream_schema(shape)
    order = pc.sort_indices(plan.column("subject_id"))
    plan = plan.select(plan_columns(shape)).combine_chunks()
    start, size = 0, _FEWEST
    while start < plan.num_rows:
        places = order.slice(start, size)
        places = places.take(pc.sort_indices(places))
        with store.read() as connection:
            page = _batch(connection, plan.take(places), schema, shape.n_turns)
        yield places.to_pylist(), page
        start += page.num_rows
        size = _next_size(page)


def _next_size(page: pa.RecordBatch) -> int:
    """How many records fill a page, if the next ones are as long as these."""
    fitting = _BYTES * page.num_rows // max(1, page.nbytes)
    return max(_FEWEST, min(_MOST, int(fitting)))


def _batch(connection: Connection, page: pa.Table, schema: pa.Schema, most: int) -> pa.RecordBatch:
    known = stored_columns(most)
    wanted = {name: known[name] for name in schema.names if name in known}
    keys = {key: page.column(key).to_pylist() for key in {f.key for f in wanted.values()}}
    texts = _texts(connection, wanted, keys)
    arrays = []
    for field in schema:
        if field.name in wanted:
            about = wanted[field.name]
            values = _look_up(texts[about.column], keys[about.key])
            arrays.append(pa.array(values, type=field.type))
        elif field.name == "ios":
            sample_ids, held = (page.column(n).to_pylist() for n in ("sample_id", "held"))
            arrays.append(_pairs(connection, sample_ids, held))
        else:
            arrays.append(page.column(field.name).combine_chunks())
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _look_up(texts: Mapping[int, Any], ids: list[int | None]) -> list[Any]:
    try:
        return [None if i is None else texts[i] for i in ids]
    except KeyError:
        raise UsageError("rows of the store were purged during the export; run it again") from None


def _texts(
    connection: Connection, wanted: Mapping[str, StoredColumn], keys: Mapping[str, list[int | None]]
) -> dict[Column[Any], dict[int, Any]]:
    """For each wanted column of the store, its values by id: one query per column."""
    ids: dict[Column[Any], list[int]] = {}
    for about in wanted.values():
        found = [i for i in keys[about.key] if i is not None]
        ids[about.column] = ids.get(about.column, []) + found
    texts: dict[Column[Any], dict[int, Any]] = {}
    for column, some in ids.items():
        # The driver's own rows: a third of the time goes into wrapping them.
        with connection.execute(_by_id(column), {"ids": some}) as result:
            texts[column] = dict(cast(Any, result.cursor).fetchall())
    return texts


@lru_cache(maxsize=64)
def _by_id(column: Column[Any]) -> Select[Any]:
    key = column.table.c.id
    return select(key, column).where(in_parameter(key, "ids"))


def _pairs(
    connection: Connection, sample_ids: Sequence[int], held: Sequence[str | None]
) -> pa.Array:
    """The stable I/O pairs of samples, in their order, as JSON texts: those that were `held`."""
    found: dict[int, list[dict[str, str]]] = {i: [] for i in sample_ids}
    digests: dict[int, list[str]] = {i: [] for i in sample_ids}
    rows = connection.execute(stable_pairs(connection, sample_ids))
    for sample_id, given, output, named in rows:
        found[sample_id].append({"input": given, "output": output})
        digests[sample_id].append(named)
    if [_together(digests[i]) for i in sample_ids] != list(held):
        raise UsageError("pairs were checked again during the export; run it again")
    return pa.array([found[i] for i in sample_ids], type=pa.list_(PAIR_TYPE))


def _together(digests: list[str]) -> str | None:
    """What the plan says of the same pairs as `held`."""
    return hashlib.md5(",".join(sorted(digests)).encode()).hexdigest() if digests else None
