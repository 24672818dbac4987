"""Verify that stored digests match the content of their rows, and fill in those that are missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, bindparam, exists, select, update

from annoy_store.db.engine import Database
from annoy_store.db.introspect import PAGE_ROWS, row_pages
from annoy_store.db.sql import in_values
from annoy_store.db.tables import (
    attempts,
    origins,
    purged_digests,
    responses,
    sources,
    teachers,
)
from annoy_store.maintenance.tombstones import BLANK, is_blank
from annoy_store.records.digests import origin_digest
from annoy_store.records.row_digests import ROW_DIGESTS

CHECKED_TABLES: tuple[Table, ...] = (
    sources,
    origins,
    *(t for t in ROW_DIGESTS if t is not sources),
)
FILLED_LATER = (responses, attempts)  # rows of older schemas have no digest until `annoy init`


def rows_with_wrong_digest(
    connection: Connection, table: Table, note: Callable[[int], None] = lambda n_rows: None
) -> list[int]:
    """Return the ids of rows whose content has another digest, without tombstones.

    Args:
        connection: A connection to the store.
        table: One of `CHECKED_TABLES`.
        note: Called with the number of rows of each page after it is checked.
    """
    purged = bool(connection.scalar(select(exists(select(purged_digests.c.kind)))))
    found: list[int] = []
    for page in row_pages(connection, table):
        found += (
            row["id"]
            for row in _wrong(connection, table, page)
            if not (table is teachers and row["id"] == 0)
            and not (purged and table in BLANK and is_blank(table, row))
        )
        note(len(page))
    return found


def _wrong(
    connection: Connection, table: Table, page: Sequence[Mapping[str, Any]]
) -> Sequence[Mapping[str, Any]]:
    if table is not origins:
        return ROW_DIGESTS[table].wrong(page)
    mine = in_values(connection, sources.c.id, [row["source_id"] for row in page])
    found = connection.execute(select(sources.c.id, sources.c.digest).where(mine))
    parents = {row.id: row.digest for row in found}
    return [
        row
        for row in page
        if row["digest"] != origin_digest(parents.get(row["source_id"], ""), row)
    ]


def fill_digests(connection: Connection, table: Table, ids: Sequence[int]) -> None:
    """Compute the missing digests of some rows.

    Args:
        connection: A write transaction.
        table: One of `FILLED_LATER`.
        ids: Ids of rows; those that have a digest are left alone.
    """
    compute = ROW_DIGESTS[table].compute
    mine = in_values(connection, table.c.id, ids)
    found = connection.execute(select(table).where(table.c.digest.is_(None), mine)).mappings()
    rows = [{"of_id": row["id"], "computed": compute(dict(row))} for row in found]
    if rows:
        this = update(table).where(table.c.id == bindparam("of_id"))
        connection.execute(this.values(digest=bindparam("computed")), rows)


def fill_missing_digests(store: Database) -> int:
    """Compute all missing digests, a page per transaction, so that it may be interrupted.

    Returns:
        Number of rows that got one.
    """
    filled = 0
    for table in FILLED_LATER:
        missing = select(table.c.id).where(table.c.digest.is_(None))
        while True:
            with store.write() as connection:
                page = list(connection.scalars(missing.order_by(table.c.id).limit(PAGE_ROWS)))
                fill_digests(connection, table, page)
            filled += len(page)
            if not page:
                break
    return filled
