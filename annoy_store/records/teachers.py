"""Registers teachers in the store, with the parameters that their endpoints turned out to refuse.

Decision: `omitted` is a JSON list of request fields. It is no part of a teacher's digest: the
identity is what the settings ask for. All teachers of one model at one endpoint share what was
learned.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection
from typing import cast

from sqlalchemy import Connection, select, update
from sqlalchemy.exc import DBAPIError

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


class OmittedParameters:
    """The request fields that an endpoint refuses for a model, as the store knows them.

    Args:
        store: The store.
        teacher_id: A teacher of that model at that endpoint.
    """

    def __init__(self, store: Database, teacher_id: int) -> None:
        self._store, self._teacher_id = store, teacher_id

    def load(self) -> frozenset[str]:
        """Return the fields that any teacher of the same model and endpoint leaves out."""
        mine = select(teachers.c.model, teachers.c.base_url)
        with self._store.read() as connection:
            row = connection.execute(mine.where(teachers.c.id == self._teacher_id)).one()
            return omitted_parameters(connection, row.model, row.base_url)

    def add(self, names: Collection[str]) -> None:
        """Add fields that were refused; if the store cannot be reached, they are learned again."""
        with contextlib.suppress(DBAPIError):
            self._store.transact(lambda c: join_omitted(c, self._teacher_id, names))


def omitted_parameters(connection: Connection, model: str, base_url: str) -> frozenset[str]:
    """Return the fields that any teacher leaves out for a model at an endpoint."""
    chosen = select(teachers.c.omitted).where(
        teachers.c.model == model, teachers.c.base_url == base_url
    )
    return frozenset(name for text in connection.scalars(chosen) for name in omitted_names(text))


def join_omitted(connection: Connection, teacher_id: int, names: Collection[str]) -> None:
    """Add fields that an endpoint refuses to those that a teacher leaves out."""
    mine = teachers.c.id == teacher_id
    known = omitted_names(connection.scalar(select(teachers.c.omitted).where(mine)))
    joined = canonical_json(sorted({*known, *names}))
    connection.execute(update(teachers).where(mine).values(omitted=joined))


def omitted_names(text: str | None) -> list[str]:
    """Return the fields in a value of `teachers.omitted`."""
    return [str(name) for name in json.loads(text)] if text else []
