"""Pages of a listing: order, filters, search and adjacent rows."""

from __future__ import annotations

from itertools import pairwise

import pytest
from sqlalchemy import func, select

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

from annoy_store.db.engine import Database
from annoy_store.db.tables import responses, verdicts
from annoy_store.web import pagination
from annoy_store.web.listings import LISTINGS
from annoy_store.web.pagination import ListQuery, adjacent_id, page
from tests.support import populated_store
from tests.support.web_client import Client

pytestmark = pytest.mark.slow_on("postgres")


def test_page_lists_every_row_once_in_order(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pagination, "FIRST_WINDOW", 2)  # many windows in a small store
    populated_store.fill(store, 4)
    listing = LISTINGS["answers"]
    with store.read() as connection:
        everything = list(
            connection.scalars(select(responses.c.id).order_by(responses.c.id.desc()))
        )
        seen: list[int] = []
        before = None
        while True:
            found = page(connection, listing, ListQuery(), before=before, most=5)
            seen += [row["id"] for row in found.rows]
            if not found.more:
                break
            before = found.scanned
        assert seen == everything
        newer = page(connection, listing, ListQuery(), after=seen[9], most=5)
        assert [row["id"] for row in newer.rows] == seen[4:9]


def test_page_applies_filters_and_search(store: Database) -> None:
    populated_store.fill(store, 2)
    with store.read() as connection:
        n = connection.scalar(
            select(func.count()).select_from(verdicts).where(verdicts.c.status == "wrong")
        )
        wrong = page(connection, LISTINGS["answers"], ListQuery({"status": "wrong"}))
        assert len(wrong.rows) == n
        assert {row["status"] for row in wrong.rows} == {"wrong"}
        both = ListQuery({"status": "wrong", "turn": "2", "question": "predict_input"}, "MU")
        assert [row["text"] for row in page(connection, LISTINGS["answers"], both).rows] == [
            "mu",
            "mu",
        ]
        for words in ("100%", "_", "\\", "'"):  # special characters of LIKE and SQL
            found = page(connection, LISTINGS["answers"], ListQuery({}, words)).rows
            assert all(words in row["text"] for row in found)
        assert page(connection, LISTINGS["answers"], ListQuery({"turn": "two"})).rows == []
        rejected = page(connection, LISTINGS["samples"], ListQuery({"state": "rejected"})).rows
        assert [row["reason"] for row in rejected] == [f"missing_module:{populated_store.SCRIPT}"]


def test_adjacent_id_respects_filters(store: Database) -> None:
    populated_store.fill(store, 2)
    selected, listing = ListQuery({"status": "wrong"}), LISTINGS["verdicts"]
    with store.read() as connection:
        ids = [row["id"] for row in page(connection, listing, selected).rows]
        for newer, older in pairwise(ids):
            assert adjacent_id(connection, listing, selected, newer, newer=False) == older
            assert adjacent_id(connection, listing, selected, older, newer=True) == newer
        assert adjacent_id(connection, listing, selected, ids[0], newer=True) is None
        assert adjacent_id(connection, listing, selected, ids[-1], newer=False) is None


def test_page_search_stops_at_its_time_limit_and_continues(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pagination, "FIRST_WINDOW", 3)
    monkeypatch.setattr(pagination, "SECONDS", 0.0)
    populated_store.fill(store, 3)
    with store.read() as connection:
        found = page(connection, LISTINGS["answers"], ListQuery({}, "meow"))
        assert found.more
        seen, looks = list(found.rows), 1
        while found.more:
            found = page(
                connection, LISTINGS["answers"], ListQuery({}, "meow"), before=found.scanned
            )
            seen, looks = [*seen, *found.rows], looks + 1
    assert looks > 3
    assert len(seen) == 3
    text = Client(store).get("/answers?q=meow").text
    assert "continue the search" in text
