"""Registers teachers in the store."""

from __future__ import annotations

from typing import cast

from sqlalchemy import select

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import teachers
from annoy_store.hashing import canonical_json
from annoy_store.interfaces import NewRow, Teacher
from annoy_store.records.digests import teacher_digest

BATCH_BACKEND = "batch"  # the backend whose calls are submitted in batches


def register_teacher(store: Database, teacher: Teacher) -> int:
    """Register a teacher in the store, unless it exists, and return its id.

    Args:
        store: The store.
        teacher: An open teacher; only its identity is stored.
    """
    identity = teacher.identity
    row_digest = teacher_digest(
        identity.backend, identity.model, identity.base_url, identity.parameters
    )
    row = {
        "digest": row_digest,
        "backend": identity.backend,
        "model": identity.model,
        "base_url": identity.base_url,
        "parameters": canonical_json(dict(identity.parameters)),
    }
    with store.write() as connection:
        insert_rows(connection, [NewRow(teachers, row)])
        teacher_id = connection.scalar(select(teachers.c.id).where(teachers.c.digest == row_digest))
    return cast(int, teacher_id)
