"""Link imported functions to the raw files that they name, when these files come later.

Decision: a source is linked in the transaction that writes it. A function whose source is under a
takedown is hidden with it, so nothing may come between.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, exists, select

from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import sample_origins, samples
from annoy_store.interfaces import NewRow
from annoy_store.records.digests import sample_origin_digest
from annoy_store.records.samples import NO_ORIGIN

PAGE = 500
BLOB_ID, SOURCE_DIGEST = "blob_id", "source_digest"  # keys of a function's metadata


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
        self, connection: Connection, origins: Sequence[NewRow], ids: Mapping[str, int]
    ) -> None:
        """Add the sources of functions that wait for them.

        Args:
            connection: The transaction that wrote the sources.
            origins: Their origins.
            ids: Ids of the sources by digest.
        """
        if not self._waiting:
            return
        rows = []
        for origin in origins:
            digest = origin.values["source_id"].values["digest"]
            names = [(SOURCE_DIGEST, digest)]
            if f'"{BLOB_ID}"' in origin.values["metadata"]:
                names.append((BLOB_ID, str(json.loads(origin.values["metadata"]).get(BLOB_ID))))
            for name in names:
                for row in self._waiting.pop(name, []):
                    rows.append(linked_origin(row, digest, source_id=ids[digest]))
        insert_rows(connection, rows)


def loose_functions(
    connection: Connection, lacks: Column[Any], *more: Column[Any]
) -> Iterator[dict[str, Any]]:
    """Yield the origins of imported functions that lack a reference, where no other has it.

    Args:
        connection: A connection to the store.
        lacks: The column of `sample_origins` that is null.
        more: Further columns of `samples`.
    """
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
        .where(lacks.is_(None), sample_origins.c.variant_id.is_(None), ~found)
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
