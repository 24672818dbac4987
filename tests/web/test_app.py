"""The pages: what they show, how far they look, whom they answer, and that they only read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from sqlalchemy import func, select

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

from annoy_store.db.engine import Database
from annoy_store.db.tables import responses, verdicts
from annoy_store.errors import UsageError
from annoy_store.web import application, listen, pagination
from annoy_store.web.listings import LISTINGS
from annoy_store.web.pagination import Wish, neighbour, page
from annoy_store.web.row_view import read_chain
from tests.report.test_report import Page
from tests.support import populated_store


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    text: str


class Reader:
    """Asks an application for pages, as a server would."""

    def __init__(self, store: Database) -> None:
        self.app = application(store, ["store.example"])
        self.plots = self.app.state.plots

    def get(self, url: str, method: str = "GET", **headers: str) -> Answer:
        return asyncio.run(self._ask(method, url, headers))

    async def _ask(self, method: str, url: str, headers: dict[str, str]) -> Answer:
        parts = urlsplit(url)
        given = {"host": "127.0.0.1:8765"} | {k.replace("_", "-"): v for k, v in headers.items()}
        scope = {
            "type": "http",
            "method": method,
            "path": parts.path,
            "query_string": parts.query.encode(),
            "headers": [(k.encode(), v.encode()) for k, v in given.items()],
            "http_version": "1.1",
            "scheme": "http",
            "root_path": "",
            "server": ("127.0.0.1", 8765),
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)  # type: ignore[arg-type]
        body = b"".join(m.get("body", b"") for m in sent)
        said = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
        return Answer(sent[0]["status"], said, body.decode())


@pytest.fixture
def reader(store: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Reader]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    populated_store.fill(store)
    made = Reader(store)
    yield made
    made.plots.wait(30)


def links(text: str) -> list[str]:
    return [link for link in Page(text).links if link.startswith("/")]


# Every page ----------------------------------------------------------------------------------


def test_every_link_leads_to_a_page(reader: Reader) -> None:
    """Walk the whole site: nothing breaks, nothing is missing, and no text of the store acts."""
    seen, todo = set(), ["/"]
    while todo and len(seen) < 150:
        url = todo.pop()
        seen.add(url)
        answer = reader.get(url)
        assert answer.status in (200, 303), (url, answer.text[:300])
        if "text/html" in answer.headers.get("content-type", ""):
            check_harmless(answer)
            todo += [link for link in links(answer.text) if link not in seen and link not in todo]
    kinds = {re.sub(r"\d+", "1", urlsplit(url).path) for url in seen}
    assert {
        "/",
        "/answers/1",
        "/verdicts",
        "/samples/1",
        "/prompts/1",
        "/sources/1",
        "/failures",
        "/figures",
        "/sql",
        "/row/call/1",
        "/row/io_pair/1",
    } <= kinds


def check_harmless(answer: Answer) -> None:
    found = Page(answer.text)
    assert found.tags.count("script") == 1  # ours
    assert not {"img", "iframe", "object", "base", "style"} & set(found.tags)
    assert not any(name.startswith("on") or name == "style" for name in found.attributes)
    assert not {"\x1b", "\x07", "\u202e"} & set(answer.text)
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]


def test_hostile_text_is_shown_as_text(reader: Reader) -> None:
    answer = reader.get("/answers?q=" + quote("<script>"))
    assert "&lt;script&gt;alert(1)" in answer.text
    check_harmless(answer)
    again = reader.get("/sql?q=" + quote("SELECT '<script>alert(1)</script>' AS x"))
    assert "<td>&lt;script&gt;alert(1)&lt;/script&gt;</td>" in again.text
    check_harmless(again)


def test_what_is_not_there(reader: Reader) -> None:
    for url in (
        "/nothing",
        "/answers/99999",
        "/row/sample/99999",
        "/row/nonsense/1",
        "/chain/99999",
        "/static/app.py",
        "/answers/99999999999999999999",
        "/go?q=sample:777",
    ):
        answer = reader.get(url)
        assert answer.status == 404, url
        assert "Traceback" not in answer.text


def test_two_turns_stand_side_by_side(reader: Reader, store: Database) -> None:
    with store.read() as connection:
        wrong = connection.scalars(
            select(verdicts.c.response_id)
            .where(verdicts.c.status == "wrong")
            .order_by(verdicts.c.id)
        ).first()
        chain = read_chain(connection, wrong or 0)
    assert chain
    assert [a.number for a in chain.answers] == [1, 2]
    assert [a.verdict["status"] for a in chain.answers if a.verdict] == ["wrong", "correct"]
    assert [[line.mark for line in a.lines] for a in chain.answers] == [["gone"], ["new"]]
    text = reader.get(f"/chain/{chain.id}").text
    assert text.count('<section class="turn') == 2
    assert 'class="k-k">def' in text  # code in colours


def test_going_to_a_row_by_its_name(reader: Reader) -> None:
    assert reader.get("/go?q=sample:1").headers["location"] == "/samples/1"
    assert reader.get("/go?q=pair:1").headers["location"] == "/row/io_pair/1"
    assert reader.get("/go?q=meow").headers["location"] == "/answers?q=meow"


def test_figures_come_when_they_are_drawn(reader: Reader) -> None:
    first = reader.get("/figures")
    assert "being drawn" in first.text or "<svg" in first.text
    reader.plots.wait(30)
    text = reader.get("/figures").text
    assert text.count("<svg") == 11
    assert 'href="/samples/' in text
    assert 'class="tiles"' in reader.get("/").text


# Lists ---------------------------------------------------------------------------------------


def test_pages_show_every_row_once_in_order(
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
            found = page(connection, listing, Wish(), before=before, most=5)
            seen += [row["id"] for row in found.rows]
            if not found.more:
                break
            before = found.scanned
        assert seen == everything
        newer = page(connection, listing, Wish(), after=seen[9], most=5)
        assert [row["id"] for row in newer.rows] == seen[4:9]


def test_filters_and_search_narrow_a_list(store: Database) -> None:
    populated_store.fill(store, 2)
    with store.read() as connection:
        n = connection.scalar(
            select(func.count()).select_from(verdicts).where(verdicts.c.status == "wrong")
        )
        wrong = page(connection, LISTINGS["answers"], Wish({"status": "wrong"}))
        assert len(wrong.rows) == n
        assert {row["status"] for row in wrong.rows} == {"wrong"}
        both = Wish({"status": "wrong", "turn": "2", "question": "predict_input"}, "MU")
        assert [row["text"] for row in page(connection, LISTINGS["answers"], both).rows] == [
            "mu",
            "mu",
        ]
        for words in ("100%", "_", "\\", "'"):  # signs that mean something to LIKE and to SQL
            found = page(connection, LISTINGS["answers"], Wish({}, words)).rows
            assert all(words in row["text"] for row in found)
        assert page(connection, LISTINGS["answers"], Wish({"turn": "two"})).rows == []
        rejected = page(connection, LISTINGS["samples"], Wish({"state": "rejected"})).rows
        assert [row["reason"] for row in rejected] == [f"missing_module:{populated_store.SCRIPT}"]


def test_neighbours_are_of_the_same_wish(store: Database) -> None:
    populated_store.fill(store, 2)
    wish, listing = Wish({"status": "wrong"}), LISTINGS["verdicts"]
    with store.read() as connection:
        ids = [row["id"] for row in page(connection, listing, wish).rows]
        for newer, older in pairwise(ids):
            assert neighbour(connection, listing, wish, newer, newer=False) == older
            assert neighbour(connection, listing, wish, older, newer=True) == newer
        assert neighbour(connection, listing, wish, ids[0], newer=True) is None
        assert neighbour(connection, listing, wish, ids[-1], newer=False) is None


def test_a_search_stops_in_time_and_goes_on(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pagination, "FIRST_WINDOW", 3)
    monkeypatch.setattr(pagination, "SECONDS", 0.0)
    populated_store.fill(store, 3)
    with store.read() as connection:
        found = page(connection, LISTINGS["answers"], Wish({}, "meow"))
        assert found.more
        seen, looks = list(found.rows), 1
        while found.more:
            found = page(connection, LISTINGS["answers"], Wish({}, "meow"), before=found.scanned)
            seen, looks = [*seen, *found.rows], looks + 1
    assert looks > 3
    assert len(seen) == 3
    text = Reader(store).get("/answers?q=meow").text
    assert "look further" in text


# SQL -----------------------------------------------------------------------------------------


def test_the_sql_box_reads(reader: Reader) -> None:
    text = reader.get(
        "/sql?q=" + quote("SELECT id AS sample_id, 1.5 AS x FROM samples ORDER BY id")
    ).text
    assert 'href="/samples/1"' in text
    assert "1.5" in text
    snap = reader.get(
        "/sql?of=snapshot&q=" + quote("SELECT status, COUNT(*) FROM verdicts GROUP BY 1")
    ).text
    assert "no_answer" in snap


WRITING = (
    "DELETE FROM samples",
    "UPDATE jobs SET state = 'done'",
    "DROP TABLE samples",
    "SELECT 1; DELETE FROM samples",
    "INSERT INTO prices VALUES ('x', 'y', 1, 1, 1)",
    "ATTACH '/tmp/x.db' AS x",
    "COPY samples TO '/tmp/x'",
    "PRAGMA journal_mode = DELETE",
)


@pytest.mark.parametrize("engine", ["store", "snapshot"])
def test_the_sql_box_does_not_write(reader: Reader, store: Database, engine: str) -> None:
    for query in WRITING:
        answer = reader.get(f"/sql?of={engine}&q={quote(query)}")
        assert answer.status == 200
        assert 'class="trouble"' in answer.text, query
    with store.read() as connection:
        n = connection.scalar(select(func.count()).select_from(LISTINGS["samples"].key.table))
    assert n == 5


# Who is answered -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8765", 200),
        ("127.0.0.1", 200),
        ("[::1]:8765", 200),
        ("store.example:80", 200),
        ("10.1.2.3:8765", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:8765", 421),
        ("localhost.evil.example", 421),
        ("", 421),
        ("127.0.0.1@evil.example", 421),
    ],
)
def test_only_names_of_this_machine_are_answered(
    sqlite_store: Database, host: str, status: int
) -> None:
    assert Reader(sqlite_store).get("/static/view.js", host=host).status == status


def test_nothing_but_reading_is_answered(reader: Reader) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert reader.get("/sql", method).status == 405


def test_pages_elsewhere_may_link_but_not_load(reader: Reader) -> None:
    assert (
        reader.get("/sql?q=SELECT+1", sec_fetch_site="cross-site", sec_fetch_mode="no-cors").status
        == 403
    )
    assert reader.get("/", sec_fetch_site="cross-site", sec_fetch_mode="navigate").status == 200
    headers = reader.get("/").headers
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"


def test_a_host_that_is_not_here() -> None:
    with pytest.raises(UsageError, match="cannot listen"):
        listen("203.0.113.7", 0)
