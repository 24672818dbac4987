"""Marks of a reader: set and removed from forms of our pages, and from nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from sqlalchemy import func, select, text

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

from annoy_store.db.engine import Database
from annoy_store.db.tables import annotation_log, samples
from annoy_store.ingest.takedowns import take_down
from annoy_store.records.annotations import Mark, marks_of, set_mark
from annoy_store.web.marks import MAX_BODY_BYTES
from tests.support import populated_store
from tests.support.web_client import Client, Response

pytestmark = pytest.mark.slow_on("postgres")
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def writer(store: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Client]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    populated_store.fill(store)
    client = Client(store, "ann")
    yield client
    client.wait()


class Form:
    """What a browser sends from the form of a page."""

    def __init__(self, writer: Client, page: str = "/samples/1") -> None:
        self.writer, answer = writer, writer.get(page)
        self.cookie = answer.headers["set-cookie"].partition(";")[0]
        found = re.search(r'name="token" value="([^"]+)"', answer.text)
        assert found
        self.token = found[1]

    def send(self, body: bytes | None = None, **given: str) -> Response:
        fields = {"token": self.token, "back": "/samples/1", "row": "sample:1", "do": "set tag"}
        headers = {"cookie": given.pop("cookie", self.cookie)}
        headers |= {n: given.pop(n) for n in ("origin", "content_type", "host") if n in given}
        return self.writer.post("/marks", body or urlencode(fields | given).encode(), **headers)


def held(store: Database, kind: str = "sample", key: int = 1) -> list[Mark]:
    with store.read() as connection:
        return [one.mark for one in marks_of(connection, kind, [key]).get(key, [])]


def n_rows(store: Database) -> int:
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(annotation_log)) or 0


def test_a_row_is_marked_and_unmarked_from_its_page(writer: Client, store: Database) -> None:
    form = Form(writer)
    answer = form.send(tag="bad question", note="not sent")
    assert (answer.status, answer.headers["location"]) == (303, "/samples/1")
    form.send(do="set flag")
    form.send(do="set note", note=SCRIPT)
    assert held(store) == [Mark("flag"), Mark("tag", "bad question"), Mark("note", SCRIPT)]
    text = writer.get("/samples/1").text
    assert ">bad question</a>" in text
    assert "&lt;script&gt;alert(1)" in text
    assert SCRIPT not in text
    form.send(do="remove tag", value="bad question")
    form.send(do="remove flag", value="")
    assert held(store) == [Mark("note", SCRIPT)]
    with store.read() as connection:
        assert marks_of(connection, "sample", [1])[1][0].author == "ann"


def test_a_form_without_its_token_or_cookie_is_rejected(writer: Client, store: Database) -> None:
    form = Form(writer)
    other = Form(Client(store, "ann"))  # of another process
    for wrong in (
        {"token": ""},
        {"token": other.token},
        {"token": "\u00e9"},
        {"cookie": ""},
        {"cookie": other.cookie},
        {"cookie": form.cookie + "x"},
        {"origin": "http://evil.example"},
        {"origin": ""},
    ):
        assert form.send(tag="x", **wrong).status == 403, wrong
    assert form.send(tag="x", content_type="text/plain").status == 415
    assert form.send(tag="x", content_type="application/json").status == 415
    assert form.send(b"note=" + b"x" * MAX_BODY_BYTES).status == 413
    assert form.send(b"\xff=%ff&token=\xff").status == 403
    assert n_rows(store) == 0
    assert form.send(tag="x").status == 303


def test_the_cookie_is_for_our_own_pages_only(writer: Client) -> None:
    cookie = writer.get("/samples/1").headers["set-cookie"].lower()
    assert "samesite=strict" in cookie
    assert "httponly" in cookie
    form = Form(writer)
    assert form.token not in cookie


def test_a_form_that_says_nothing_useful_is_explained(writer: Client, store: Database) -> None:
    form = Form(writer)
    for wrong, words in (
        ({"tag": " "}, "the tag is empty"),
        ({"tag": "x" * 101}, "longer than"),
        ({"row": "sample:999", "tag": "x"}, "there is no sample 999"),
        ({"row": "worker:1", "tag": "x"}, "worker"),
        ({"do": "set star"}, "unknown mark"),
        ({"do": "drop table"}, "does not say what to do"),
        ({"row": "", "tag": "x"}, "is not KIND:ID"),
    ):
        answer = form.send(**wrong)
        assert answer.status == 400
        assert words in answer.text
        assert "Traceback" not in answer.text
    with store.write() as connection:
        digest = connection.scalar(select(samples.c.digest).where(samples.c.id == 1))
        take_down(connection, "sample", digest or "", "asked")
    assert "taken down" in form.send(tag="x").text
    assert n_rows(store) == 0


@pytest.mark.parametrize("back", ["//evil.example", "http://evil.example", "/\\evil", "x", "/a\nb"])
def test_a_form_leads_to_our_own_pages_only(writer: Client, back: str) -> None:
    assert Form(writer).send(tag="x", back=back).headers["location"] == "/marks"


def test_pages_that_only_read_have_no_form(writer: Client, store: Database) -> None:
    with store.write() as connection:
        set_mark(connection, "sample", 1, Mark("tag", "seen"), "bob")
    reader = Client(store)
    for page in ("/samples/1", "/answers/1", "/sources/1", "/marks"):
        answer = reader.get(page)
        assert "<form method" not in answer.text
        assert "set-cookie" not in answer.headers
    assert ">seen</a>" in reader.get("/samples/1").text
    assert reader.post("/marks", b"").status == 405
    assert "<form method" in writer.get("/samples/1").text
    assert "<form method" not in writer.get("/row/call/1").text  # marked by its prompt
    reader.wait()


def test_chains_and_answers_are_marked_apart(writer: Client, store: Database) -> None:
    with store.read() as connection:
        chain = connection.scalar(text("SELECT MIN(chain_id) FROM v_chains")) or 0
    form = Form(writer, f"/chain/{chain}")
    form.send(row=f"chain:{chain}", tag="of the chain")
    form.send(row=f"response:{chain}", tag="of the answer")
    assert held(store, "chain", chain) == [Mark("tag", "of the chain")]
    assert held(store, "response", chain) == [Mark("tag", "of the answer")]
    page = writer.get(f"/chain/{chain}").text
    assert page.index("of the chain") < page.index("of the answer")
    assert "of the answer, of the chain" in writer.get("/answers").text


def test_marks_are_shown_in_lists(writer: Client, store: Database) -> None:
    assert 'data-name="marks"' not in writer.get("/samples").text
    with store.write() as connection:
        set_mark(connection, "sample", 1, Mark("flag"), "bob")
        set_mark(connection, "sample", 1, Mark("note", "secret"), "bob")
        set_mark(connection, "source", 1, Mark("tag", "a & b"), "bob")
    assert re.search(r'data-name="marks"[^>]*>flag, note<', writer.get("/samples").text)
    assert "a &amp; b" in writer.get("/sources").text
    marked = writer.get("/marks").text
    assert 'href="/samples/1"' in marked
    assert "secret" in marked
    of_tag = writer.get("/marks?tag=a+%26+b").text
    assert 'href="/sources/1"' in of_tag
    assert 'href="/samples/1"' not in of_tag
    assert 'href="/samples/1"' in writer.get("/marks?flag=1").text
    assert "No row is marked with this tag" in writer.get("/marks?tag=none").text
