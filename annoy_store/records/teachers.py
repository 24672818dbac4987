"""The rows of teachers: how a teacher is registered."""

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
    """Register a teacher in the store, unless it is there, and return its id.

    Args:
        store: The store.
        teacher: An open teacher; only its identity is stored.
    """
    who = teacher.identity
    named = teacher_digest(who.backend, who.model, who.base_url, who.parameters)
    row = {
        "digest": named,
        "backend": who.backend,
        "model": who.model,
        "base_url": who.base_url,
        "parameters": canonical_json(dict(who.parameters)),
    }
    with store.write() as connection:
        insert_rows(connection, [NewRow(teachers, row)])
        teacher_id = connection.scalar(select(teachers.c.id).where(teachers.c.digest == named))
    return cast(int, teacher_id)
