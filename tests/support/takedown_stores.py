"""Stores with sources that were taken down."""

from __future__ import annotations

from sqlalchemy import select

from annoy_store.db.engine import Database
from annoy_store.db.tables import sources
from tests.support import factories


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
