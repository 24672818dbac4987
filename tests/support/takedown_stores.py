"""Stores with sources that were taken down."""

from __future__ import annotations

from sqlalchemy import Connection, select

from annoy_store.db.engine import Database
from annoy_store.db.tables import (
    hidden_subjects,
    sources,
)
from tests.support import factories


def hidden_ids(connection: Connection) -> dict[str, set[int]]:
    rows = connection.execute(select(hidden_subjects.c.kind, hidden_subjects.c.subject_id))
    found: dict[str, set[int]] = {"source": set(), "sample": set()}
    for kind, key in rows:
        found[kind].add(key)
    return found


def sources_in_two_repositories(store: Database) -> dict[str, int]:
    """`one` is found in two repositories, `two` in one of them; each has a sample.

    Returns their ids by content.
    """
    with store.write() as connection:
        one, two = factories.source("one"), factories.source("two")
        a, b = factories.sample("def main_solution(x):\n    return 1\n"), factories.sample()
        factories.write_all(
            connection,
            [
                factories.origin(one, "team/red", licence="MIT"),
                factories.origin(one, "team/blue", licence="gpl"),
                factories.origin(two, "team/blue", licence="gpl"),
                factories.new_origin(a, "one", source_id=one),
                factories.new_origin(b, "two", source_id=two),
            ],
        )
        return dict(map(tuple, connection.execute(select(sources.c.content, sources.c.id))))
