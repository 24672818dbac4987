"""Links between what one store imported and what the other one has, made while they are merged.

Decision: they are made in the transaction that writes the later of the two, as by an import. A
function of one store is hidden by the takedown of its source in the other one at every moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from annoy_store.db.insert import insert_rows
from annoy_store.ingest.codeio.insert import rescan_answers
from annoy_store.ingest.codeio.link_references import functions_without_answer, link_functions
from annoy_store.ingest.codeio.mark_done import import_variant, mark_imported_done
from annoy_store.ingest.function_links import (
    FunctionLinks,
    link_to_sources,
    load_sources_by_blob_id,
    named_functions,
)

Rows = Sequence[Mapping[str, Any]]


class ImportLinks:
    """The imported functions that wait for a source or an answer.

    Args:
        connection: A connection to the store that is written to, before anything is.
    """

    def __init__(self, connection: Connection) -> None:
        self._functions = FunctionLinks(connection)
        self._sources: dict[str, tuple[int, str]] | None = None
        self._waiting: dict[str, list[dict[str, Any]]] | None = None
        self._is_used = False

    def of_sources(
        self, connection: Connection, page: Rows, origins: Rows, ids: Sequence[int]
    ) -> None:
        """Link functions to sources that were written.

        Args:
            connection: The transaction that wrote them.
            page: Rows of the other store.
            origins: Their origins there.
            ids: Their ids in this store.
        """
        digests = {row["id"]: row["digest"] for row in page}
        found = ((digests[row["source_id"]], row["metadata"]) for row in origins)
        here = {row["digest"]: key for row, key in zip(page, ids, strict=True)}
        self._is_used |= self._functions.link(connection, found, here)

    def of_samples(self, connection: Connection, ids: Sequence[int]) -> None:
        """Link functions that were written to their sources; all sources were written before."""
        named = named_functions(connection, ids)
        if not named:
            return
        if self._sources is None:
            self._sources = load_sources_by_blob_id(connection)
        rows = link_to_sources(connection, named, self._sources)
        insert_rows(connection, rows)
        self._is_used |= bool(rows)

    def of_turns(self, connection: Connection, ids: Sequence[int]) -> None:
        """Link functions to the answers to turns that were written, and let these be scanned."""
        rescan_answers(connection, ids)
        if self._waiting is None:
            self._waiting = functions_without_answer(connection)
        self._is_used |= link_functions(connection, self._waiting, turn_ids=ids)

    def mark_done(self, connection: Connection) -> None:
        """Count as done what linked functions make needless."""
        if self._is_used:
            mark_imported_done(connection, import_variant(connection))
