"""Link imported functions to the raw files that they name, when these files come later.

Decision: a source is linked in the transaction that writes it. A function whose source is under a
takedown is hidden with it, so nothing may come between.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, exists, select, true

from annoy_store.db.insert import insert_rows
from annoy_store.db.sql import in_values
from annoy_store.db.tables import origins, sample_origins, samples, sources
from annoy_store.interfaces import NewRow
from annoy_store.records.digests import sample_origin_digest
from annoy_store.records.samples import NO_ORIGIN

PAGE = 500
BLOB_ID, SOURCE_DIGEST = "blob_id", "source_digest"  # keys of a function's metadata
REFERENCE_KEYS = {BLOB_ID, SOURCE_DIGEST, "msgidx"}  # `msgidx` names a transform answer


class FunctionLinks:
    """Imported functions without a source, by what their metadata says of it.

    Args:
        connection: A connection to the store.
    """

    def __init__(self, connection: Connection) -> None:
        self._waiting: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for row in loose_functions(connection, sample_origins.c.source_id):
            described = json.loads(row["metadata"] or "{}")
            for key in (BLOB_ID, SOURCE_DIGEST):
                if key in described:
                    self._waiting[key, str(described[key])].append(row)

    def link(
        self, connection: Connection, found: Iterable[tuple[str, str]], ids: Mapping[str, int]
    ) -> bool:
        """Add the sources of functions that wait for them; return whether any did.

        Args:
            connection: The transaction that wrote the sources.
            found: The digest of the source and the metadata of each of their origins.
            ids: Ids of the sources by digest.
        """
        if not self._waiting:
            return False
        rows = []
        for digest, metadata in found:
            names = [(SOURCE_DIGEST, digest)]
            if f'"{BLOB_ID}"' in metadata:
                names.append((BLOB_ID, str(json.loads(metadata).get(BLOB_ID))))
            for name in names:
                for row in self._waiting.pop(name, []):
                    rows.append(linked_origin(row, digest, source_id=ids[digest]))
        insert_rows(connection, rows)
        return bool(rows)


def named_functions(
    connection: Connection, sample_ids: Sequence[int] | None = None
) -> list[tuple[dict[str, Any], Mapping[str, Any]]]:
    """Return functions without a source that name one in some way, with their metadata.

    Args:
        connection: A connection to the store.
        sample_ids: Only these; None for all.
    """
    loose = loose_functions(connection, sample_origins.c.source_id, sample_ids=sample_ids)
    described = [(row, json.loads(row["metadata"] or "{}")) for row in loose]
    return [(row, meta) for row, meta in described if meta.keys() & REFERENCE_KEYS]


def link_to_sources(
    connection: Connection,
    named: Sequence[tuple[dict[str, Any], Mapping[str, Any]]],
    by_blob_id: Mapping[str, tuple[int, str]],
) -> list[NewRow]:
    """Return the origins of functions whose source is in the store.

    Args:
        connection: A connection to the store.
        named: What `named_functions` returned.
        by_blob_id: What `load_sources_by_blob_id` returned.
    """
    names = {str(meta.get(SOURCE_DIGEST)) for _, meta in named}
    chosen = select(sources.c.digest, sources.c.id)
    found = connection.execute(chosen.where(in_values(connection, sources.c.digest, names)))
    by_digest = {name: (key, name) for name, key in found}
    rows = []
    for row, meta in named:
        source = by_digest.get(str(meta.get(SOURCE_DIGEST))) or by_blob_id.get(
            str(meta.get(BLOB_ID))
        )
        if source is not None:
            rows.append(linked_origin(row, source[1], source_id=source[0]))
    return rows


def load_sources_by_blob_id(connection: Connection) -> dict[str, tuple[int, str]]:
    """Return id and digest of every source whose origin's metadata has a `blob_id`, by that id."""
    chosen = (
        select(origins.c.metadata, sources.c.id, sources.c.digest)
        .join(sources, sources.c.id == origins.c.source_id)
        .where(origins.c.metadata.contains('"blob_id"'))
    )
    rows = connection.execute(chosen)
    return {str(json.loads(text).get("blob_id")): (key, name) for text, key, name in rows}


def loose_functions(
    connection: Connection,
    lacks: Column[Any],
    *more: Column[Any],
    sample_ids: Sequence[int] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the origins of imported functions that lack a reference, where no other has it.

    Args:
        connection: A connection to the store.
        lacks: The column of `sample_origins` that is null.
        more: Further columns of `samples`.
        sample_ids: Only these samples; None for all.
    """
    mine = true() if sample_ids is None else in_values(connection, samples.c.id, sample_ids)
    other = sample_origins.alias("other")
    found = exists().where(
        other.c.sample_id == sample_origins.c.sample_id,
        other.c[lacks.name].is_not(None),
    )
    kept = (
        sample_origins.c[key] for key in ("sample_id", "origin", "line", "metadata", "source_id")
    )
    chosen = (
        select(*kept, samples.c.digest, *more)
        .join(samples, samples.c.id == sample_origins.c.sample_id)
        .where(lacks.is_(None), sample_origins.c.variant_id.is_(None), ~found, mine)
        .order_by(sample_origins.c.id)
        .execution_options(yield_per=PAGE)
    )
    return map(dict, connection.execute(chosen).mappings())


def linked_origin(row: Mapping[str, Any], about: str, **columns: Any) -> NewRow:
    """Return another origin of an imported function, with the reference that was found.

    Args:
        row: A row of `loose_functions`.
        about: What identifies the origin: the digest of the source.
        columns: The reference.
    """
    kept = {key: row[key] for key in ("sample_id", "origin", "line", "metadata")}
    values = {"digest": sample_origin_digest(row["digest"], about), **NO_ORIGIN, **kept, **columns}
    return NewRow(sample_origins, values)
