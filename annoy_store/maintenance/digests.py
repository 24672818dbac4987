"""Verify that stored digests match the content of their rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Table, select

from annoy_store.db.introspect import row_pages
from annoy_store.db.tables import io_pairs, origins, prompts, samples, sources, takedowns, teachers
from annoy_store.records.digests import (
    input_digest,
    origin_digest,
    prompt_digest,
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
}
"""The digest of a row by its columns and, for origins, the digest of its source."""


def _is_tombstone(row: Mapping[str, Any], parent: str, purged: set[str]) -> bool:
    """True for a row that a purge (purge.py) blanked: it keeps the digest of what it held."""
    if not purged:
        return False
    named = row.get("digest") in purged or parent in purged
    return named or row.get("messages") == "[]" or row.get("input") == "null"


def rows_with_wrong_digest(connection: Connection, table: Table) -> list[int]:
    """Return the ids of rows whose content has another digest, without tombstones.

    Args:
        connection: A connection to the store.
        table: A key of `DIGEST_FUNCTIONS`.
    """
    column = "input_digest" if table is io_pairs else "digest"
    compute = DIGEST_FUNCTIONS[table]
    purged = set(
        connection.scalars(select(takedowns.c.value).where(takedowns.c.purged_at.is_not(None)))
    )
    parents: dict[int, str] = {}
    if table is origins:
        found = connection.execute(select(sources.c.id, sources.c.digest))
        parents = {row.id: row.digest for row in found}
    return [
        row["id"]
        for page in row_pages(connection, table)
        for row in page
        if not (table is teachers and row["id"] == 0)
        and row[column] != compute(row, parents.get(row.get("source_id", 0), ""))
        and not _is_tombstone(row, parents.get(row.get("source_id", 0), ""), purged)
    ]
