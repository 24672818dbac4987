"""Compute the MinHash signatures of sources and samples once per version of the rule."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, func, select

from annoy_store.db.engine import Database
from annoy_store.db.sql import insert_new
from annoy_store.db.tables import samples, signatures, sources
from annoy_store.dedup.minhash import VERSION, signature
from annoy_store.interfaces import ShowProgress

TEXT_COLUMNS: dict[str, Column[Any]] = {"source": sources.c.content, "sample": samples.c.refcode}
_AT_ONCE = 500


def compute_signatures(store: Database, kind: str, progress: ShowProgress) -> int:
    """Add the missing signatures of a kind of subject.

    Args:
        store: The store.
        kind: A key of `TEXT_COLUMNS`.
        progress: Called with a message after each page.

    Returns:
        How many signatures were added.
    """
    last, signed = 0, 0
    with store.read() as connection:
        total = connection.scalar(select(func.max(TEXT_COLUMNS[kind].table.c.id))) or 0
    while True:
        with store.read() as connection:
            found = connection.execute(_unsigned(kind, last)).all()
        if not found:
            return signed
        rows = []
        for subject_id, text in found:
            n_shingles, made = signature(text)
            rows.append(
                {
                    "kind": kind,
                    "subject_id": subject_id,
                    "version": VERSION,
                    "n_shingles": n_shingles,
                    "signature": made,
                }
            )
        with store.write() as connection:
            insert_new(connection, signatures, rows)
        last, signed = found[-1][0], signed + len(rows)
        progress(f"computing signatures of {kind}s", last, max(total, last))


def _unsigned(kind: str, after: int) -> Any:
    text = TEXT_COLUMNS[kind]
    key = text.table.c.id
    signed = (
        select(signatures.c.subject_id)
        .where(
            signatures.c.kind == kind,
            signatures.c.subject_id == key,
            signatures.c.version == VERSION,
        )
        .exists()
    )
    return select(key, text).where(key > after, ~signed).order_by(key).limit(_AT_ONCE)
