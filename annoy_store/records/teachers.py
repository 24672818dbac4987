"""The rows of teachers: how a teacher is identified and registered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import select

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import teachers
from annoy_store.hashing import canonical_json, digest
from annoy_store.interfaces import NewRow, Teacher

BATCH_BACKEND = "batch"  # the backend whose calls are handed in, and not waited for


def register_teacher(store: Database, teacher: Teacher) -> int:
    """Enter a teacher in the store, unless it is there, and return its id."""
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
        key = connection.scalar(select(teachers.c.id).where(teachers.c.digest == named))
    return cast(int, key)


def teacher_digest(backend: str, model: str, base_url: str, parameters: Mapping[str, Any]) -> str:
    """The identity of a teacher as a digest."""
    return digest("teacher", backend, model, base_url, canonical_json(dict(parameters)))
