"""The export that a new one adds to, with all that it adds to itself: resolved once per export.

Decision: an export adds to its parent; the chain of parents is one growing data set. What was
published of it does not change, so it is read once, before the snapshot of the new export.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, Row, func, select

from annoy_store.db.engine import Database
from annoy_store.db.tables import exports
from annoy_store.errors import UsageError


@dataclass(frozen=True)
class ParentExports:
    """The exports that a new one adds to; all empty for a first export.

    Attributes:
        ids: Their ids, newest first; the first one is the parent.
        digest: Digest of the parent.
        split: Shares by which the parent was split, if it was.
        salt: Salt of those splits.
        seen: The verdict watermark of the parent, as JSON.
        created_at: When the parent was made.
        n_rows: Rows of all of them that none of them retracted.
    """

    ids: Sequence[int] = ()
    digest: str | None = None
    split: str | None = None
    salt: str = ""
    seen: str = ""
    created_at: str = ""
    n_rows: int = 0


def load_parents(store: Database, form: str, since: str | None) -> ParentExports:
    """Return the export that `since` names and all that it adds to.

    Args:
        store: The store.
        form: Name of the format of the new export.
        since: `last` (of the format), an id, or the start of a digest; None for a first export.

    Raises:
        UsageError: If there is none, or it is of another format.
    """
    if since is None:
        return ParentExports()
    with store.read() as connection:
        parent = _find(connection, since, form)
        ids = _with_ancestors(connection, parent.id)
        total = func.coalesce(func.sum(exports.c.n_rows - exports.c.n_retractions), 0)
        n_rows = connection.scalar(select(total).where(exports.c.id.in_(ids)))
    return ParentExports(
        ids=ids,
        digest=parent.digest,
        split=parent.split,
        salt="" if parent.split is None else orjson.loads(parent.filter)["salt"],
        seen=parent.seen,
        created_at=parent.created_at,
        n_rows=int(n_rows or 0),
    )


def _find(connection: Connection, since: str, form: str) -> Row[Any]:
    published = select(exports).where(exports.c.published_at.is_not(None))
    if since == "last":
        published = published.where(exports.c.format == form)
    elif since.isdigit() and len(since) < 19:
        published = published.where(exports.c.id == int(since))
    else:
        published = published.where(exports.c.digest.startswith(since, autoescape=True))
    found = connection.execute(published.order_by(exports.c.id.desc())).first()
    if found is None:
        raise UsageError(f"there is no export {since!r} of {form} to add to; see: annoy exports")
    if found.format != form:
        raise UsageError(f"export {since} is in format {found.format}, not {form}")
    return found


def _with_ancestors(connection: Connection, export_id: int) -> list[int]:
    """An export and all that it adds to, newest first."""
    ids: list[int] = []
    current: int | None = export_id
    while current is not None:
        ids.append(current)
        current = connection.scalar(select(exports.c.parent_id).where(exports.c.id == current))
    return ids
