"""Migration 0003 keeps the rules of takedowns, and what was purged."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from annoy_store.db.engine import Database
from annoy_store.db.migrate import downgrade, upgrade

pytestmark = pytest.mark.slow_on("postgres")

RULES = [
    "'repo', 'team/x', 'asked', 't1', NULL, 't2'",
    "'source', 'd1', 'purged', 't2', NULL, 't2'",
    "'sample', 'd2', 'purged', 't2', NULL, 't2'",
    "'source', 'd3', 'by its author', 't3', NULL, 't3'",
    "'licence', 'gpl', 'policy', 't4', 't5', NULL",
    "'licence', 'gpl', 'policy', 't4', NULL, NULL",
]
NAMES = "kind, value, why, created_at, lifted_at, purged_at"


@pytest.fixture
def old(store: Database) -> Database:
    downgrade(store, "0002")
    with store.write() as connection:
        for row in RULES:
            connection.execute(text(f"INSERT INTO takedowns ({NAMES}) VALUES ({row})"))
    return store


def test_upgrade_keeps_rules_and_purged_digests(old: Database) -> None:
    upgrade(old)
    with old.read() as connection:
        rules = connection.execute(text("SELECT id, digest FROM takedowns ORDER BY id")).all()
        purged = connection.execute(text("SELECT * FROM purged_digests ORDER BY digest")).all()
    assert [row[0] for row in rules] == [1, 4, 5, 6]
    assert len({row[1] for row in rules}) == 4
    assert [tuple(row) for row in purged] == [
        ("source", "d1", "t2"),
        ("sample", "d2", "t2"),
        ("source", "d3", "t3"),
    ]


def test_downgrade_makes_rules_of_purged_digests(old: Database) -> None:
    upgrade(old)
    downgrade(old, "0002")
    with old.read() as connection:
        chosen = "SELECT kind, value, lifted_at, purged_at FROM takedowns ORDER BY 1, 2, 3"
        rules = {tuple(row) for row in connection.execute(text(chosen))}
    assert rules == {
        ("repo", "team/x", None, "t2"),
        ("source", "d1", None, "t2"),
        ("sample", "d2", None, "t2"),
        ("source", "d3", None, "t3"),
        ("licence", "gpl", "t5", None),
        ("licence", "gpl", None, None),
    }
