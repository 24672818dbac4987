"""Whether digests name the content that they stand beside: how each follows from its row."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Table, select

from annoy_store.db.introspect import row_pages
from annoy_store.db.tables import io_pairs, origins, prompts, samples, sources, takedowns, teachers
from annoy_store.hashing import digest
from annoy_store.records.teachers import teacher_digest


def _name_source(row: Mapping[str, Any], _: str) -> str:
    return digest("source", row["language"], row["content"])


def _name_origin(row: Mapping[str, Any], source: str) -> str:
    names = ("origin", "repo", "path", "licence", "metadata")
    return digest("origin", source, *(row[name] for name in names))


def _name_prompt(row: Mapping[str, Any], _: str) -> str:
    return digest("prompt", json.loads(row["messages"]))


def _name_sample(row: Mapping[str, Any], _: str) -> str:
    names = ("refcode", "funcname", "problem_statement", "io_requirements", "input_generator")
    return digest("sample", *(row[name] for name in names))


def _name_input(row: Mapping[str, Any], _: str) -> str:
    return digest("input", json.loads(row["input"]))


def _name_teacher(row: Mapping[str, Any], _: str) -> str:
    parameters = json.loads(row["parameters"])
    return teacher_digest(row["backend"], row["model"], row["base_url"], parameters)


DIGEST_FUNCTIONS: dict[Table, Callable[[Mapping[str, Any], str], str]] = {
    sources: _name_source,
    origins: _name_origin,
    prompts: _name_prompt,
    teachers: _name_teacher,
    samples: _name_sample,
    io_pairs: _name_input,
}
"""How the digest of a row follows from its content, and, for origins, its source's digest."""


def _is_tombstone(row: Mapping[str, Any], parent: str, purged: set[str]) -> bool:
    """Whether a purge (purge.py) left this of a row: it is named by what it held."""
    if not purged:
        return False
    named = row.get("digest") in purged or parent in purged
    return named or row.get("messages") == "[]" or row.get("input") == "null"


def rows_with_wrong_digest(connection: Connection, table: Table) -> list[int]:
    """The ids of rows whose content has another digest; tombstones are left out."""
    column = "input_digest" if table is io_pairs else "digest"
    name = DIGEST_FUNCTIONS[table]
    parents: dict[int, str] = {}
    buried = select(takedowns.c.value).where(takedowns.c.purged_at.is_not(None))
    purged = set(connection.scalars(buried))
    if table is origins:
        found = connection.execute(select(sources.c.id, sources.c.digest))
        parents = {row.id: row.digest for row in found}
    return [
        row["id"]
        for page in row_pages(connection, table)
        for row in page
        if not (table is teachers and row["id"] == 0)
        and row[column] != name(row, parents.get(row.get("source_id", 0), ""))
        and not _is_tombstone(row, parents.get(row.get("source_id", 0), ""), purged)
    ]
