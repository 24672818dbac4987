"""Verify that stored digests match the content of their rows, and fill in those that are missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, bindparam, exists, select, update

from annoy_store.db.engine import Database
from annoy_store.db.introspect import PAGE_ROWS, row_pages
from annoy_store.db.sql import in_values
from annoy_store.db.tables import (
    attempts,
    io_pairs,
    origins,
    prompts,
    purged_digests,
    responses,
    samples,
    sources,
    teachers,
)
from annoy_store.maintenance.tombstones import BLANK, is_blank
from annoy_store.records.digests import (
    attempt_digest,
    input_digest,
    origin_digest,
    prompt_digest,
    response_digest,
    sample_digest,
    source_digest,
    teacher_digest,
)


def _teacher_digest(row: Mapping[str, Any]) -> str:
    parameters = json.loads(row["parameters"])
    return teacher_digest(row["backend"], row["model"], row["base_url"], parameters)


DIGEST_FUNCTIONS: dict[Table, Callable[[Mapping[str, Any], str], str]] = {
    sources: lambda row, _: source_digest(row["language"], row["content"]),
    origins: lambda row, source: origin_digest(source, row),
    prompts: lambda row, _: prompt_digest(json.loads(row["messages"])),
    teachers: lambda row, _: _teacher_digest(row),
    samples: lambda row, _: sample_digest(row),
    io_pairs: lambda row, _: input_digest(json.loads(row["input"])),
    responses: lambda row, _: response_digest(row),
    attempts: lambda row, _: attempt_digest(row),
}
"""The digest of a row by its columns and, for origins, the digest of its source."""
FILLED_LATER = (responses, attempts)  # rows of older schemas have no digest until `annoy init`


def rows_with_wrong_digest(connection: Connection, table: Table) -> list[int]:
    """Return the ids of rows whose content has another digest, without tombstones.

    Args:
        connection: A connection to the store.
        table: A key of `DIGEST_FUNCTIONS`.
    """
    column = "input_digest" if table is io_pairs else "digest"
    compute = DIGEST_FUNCTIONS[table]
    purged = bool(connection.scalar(select(exists(select(purged_digests.c.kind)))))
    parents: dict[int, str] = {}
    if table is origins:
        found = connection.execute(select(sources.c.id, sources.c.digest))
        parents = {row.id: row.digest for row in found}
    return [
        row["id"]
        for page in row_pages(connection, table)
        for row in page
        if not (table is teachers and row["id"] == 0)
        and row[column] is not None
        and row[column] != compute(row, parents.get(row.get("source_id", 0), ""))
        and not (purged and table in BLANK and is_blank(table, row))
    ]


def fill_digests(connection: Connection, table: Table, ids: Sequence[int]) -> None:
    """Compute the missing digests of some rows.

    Args:
        connection: A write transaction.
        table: One of `FILLED_LATER`.
        ids: Ids of rows; those that have a digest are left alone.
    """
    compute = DIGEST_FUNCTIONS[table]
    mine = in_values(connection, table.c.id, ids)
    found = connection.execute(select(table).where(table.c.digest.is_(None), mine)).mappings()
    rows = [{"of_id": row["id"], "computed": compute(dict(row), "")} for row in found]
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
