"""Rows are found by what a person types, and a near miss says what was meant."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from annoy_store.analysis.lineage_edges import Key
from annoy_store.analysis.row_names import resolve_row
from annoy_store.db.engine import Database
from annoy_store.db.tables import sources
from annoy_store.errors import UsageError
from tests.support import chains

pytestmark = pytest.mark.slow_on("postgres")
DIGESTS = {1: "abcdef0123", 2: "abcdef4567"}


@pytest.fixture
def filled(store: Database) -> Database:
    """Two sources, whose digests begin alike."""
    chains.fill(store, ("ant", "bee"))
    with store.write() as connection:
        for row_id, start in DIGESTS.items():
            changed = update(sources).where(sources.c.id == row_id)
            connection.execute(changed.values(digest=start.ljust(32, "0")))
    return store


def resolved(store: Database, name: str) -> Key:
    with store.read() as connection:
        return resolve_row(connection, name)


@pytest.mark.parametrize("name", ["source:2", "source:abcdef4", f"source:{'abcdef4567':0<32}"])
def test_resolve_row_by_number_and_digest(filled: Database, name: str) -> None:
    assert resolved(filled, name) == ("source", 2)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("source:9", "did you mean source:2?"),
        ("source:0", "did you mean source:1?"),
        ("source:abcdef", "more than one digest (did you mean source:abcdef0 or source:abcdef4?)"),
        ("source:abcdee", "did you mean source:abcdef0 or source:abcdef4?"),
        ("source:abc", "did you mean source:abcdef0 or source:abcdef4?"),
        ("sorce:abcdef4", "did you mean source?"),
        ("chains:2", "did you mean chain?"),
        ("abcdef4", "did you mean source:abcdef4?"),
        ("chain:999999", "annoy sql 'SELECT chain_id FROM v_chains'"),
    ],
)
def test_resolve_row_says_what_was_meant(filled: Database, name: str, meant: str) -> None:
    with pytest.raises(UsageError) as refused:
        resolved(filled, name)
    assert meant in str(refused.value)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "source",
        "source:",
        "source:0",
        "source:999",
        "source:zzzzzzzz",
        "nothing:1",
        "chain:x",
        "source:-1",
        "source:1;--",
        "chain:999999",
        "source:99999999999999999999",
        "source:\u0661",
    ],
)
def test_resolve_row_rejects_unknown_rows(sqlite_store: Database, name: str) -> None:
    with pytest.raises(UsageError) as refused:
        resolved(sqlite_store, name)
    assert "\n" not in str(refused.value)
    assert "did you mean source:1" not in str(refused.value)
