"""Refuses content that was purged: a purge blanks texts, and nothing brings them back."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from annoy_store.db.hidden import has_rules, known_purged
from annoy_store.ingest.record_files import Location, Refusal
from annoy_store.records.digests import text_digest


def find_purged(connection: Connection, kind: str, texts: Mapping[str, str]) -> set[str]:
    """Return which of some sources or samples were purged, by their digest or that of their code.

    Args:
        connection: A connection to the store.
        kind: `source` or `sample`.
        texts: Their code by digest.
    """
    if not texts or not has_rules(connection):
        return set()
    by_text = {digest: text_digest(text) for digest, text in texts.items()}
    of_text = known_purged(connection, "text", list(by_text.values()))
    found = known_purged(connection, kind, list(texts))
    return found | {digest for digest, named in by_text.items() if named in of_text}


def purged_refusal(location: Location) -> Refusal:
    """Return the refusal of a row whose content was purged."""
    detail = "its content was purged from this store; see: annoy takedown --list"
    return Refusal("purged", location, detail)
