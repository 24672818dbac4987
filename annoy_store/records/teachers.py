"""The rows of teachers: how a teacher is identified and registered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import select

from annoy_store.db.engine import Store
from annoy_store.db.insert import write
from annoy_store.db.tables import teachers
from annoy_store.hashing import canonical, digest
from annoy_store.interfaces import New, Teacher

BATCH = "batch"  # the backend whose calls are handed in, and not waited for


def enter_teacher(store: Store, teacher: Teacher) -> int:
    """Enter a teacher in the store, unless it is there, and return its id."""
    who = teacher.identity
    named = teacher_digest(who.backend, who.model, who.base_url, who.parameters)
    row = {
        "digest": named, "backend": who.backend, "model": who.model,
        "base_url": who.base_url, "parameters": canonical(dict(who.parameters)),
    }  # fmt: skip
    with store.write() as connection:
        write(connection, [New(teachers, row)])
        key = connection.scalar(select(teachers.c.id).where(teachers.c.digest == named))
    return cast(int, key)


def teacher_digest(backend: str, model: str, base_url: str, parameters: Mapping[str, Any]) -> str:
    """The identity of a teacher as a digest."""
    return digest("teacher", backend, model, base_url, canonical(dict(parameters)))
