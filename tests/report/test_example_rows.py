"""The rows that a report links to."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from annoy_store.db.engine import Database
from annoy_store.db.tables import hidden_subjects
from annoy_store.report import collect, report
from tests.support import populated_store

pytestmark = pytest.mark.slow_on("postgres")

AT = "2026-01-01 00:00 UTC"


def test_report_omits_text_that_is_taken_down(sqlite_store: Database) -> None:
    populated_store.fill(sqlite_store)
    gathered = collect(sqlite_store, AT, live=True)
    assert "import nowhere" in report(sqlite_store, gathered)
    with sqlite_store.write() as connection:
        rows = [{"kind": "sample", "subject_id": i} for i in range(1, 9)]
        connection.execute(insert(hidden_subjects), rows)
    text = report(sqlite_store, gathered)
    assert "import nowhere" not in text
    assert "taken down" in text
