"""The web pages: content, paging, access control, and that they only read."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from sqlalchemy import func, select

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

from annoy_store.db.engine import Database
from annoy_store.db.tables import verdicts
from annoy_store.report import FIGURES
from annoy_store.web.listings import LISTINGS
from annoy_store.web.row_view import read_chain
from tests.support import populated_store
from tests.support.page_parser import Page
from tests.support.web_client import Client, Response

pytestmark = pytest.mark.slow_on("postgres")


@pytest.fixture
def reader(store: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Client]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    populated_store.fill(store)
    client = Client(store)
    yield client
    client.wait()


def run_sql(reader: Client, query: str, engine: str = "store") -> Response:
    """What the SQL page answers when somebody types a query into it."""
    (token,) = re.findall(r'name="typed" value="([^"]+)"', reader.get("/sql").text)
    return reader.get(f"/sql?typed={token}&of={engine}&q={quote(query)}")


def links(text: str) -> list[str]:
    return [link for link in Page(text).links if link.startswith("/")]


# Every page ----------------------------------------------------------------------------------


def test_pages_have_no_broken_links(reader: Client) -> None:
    """Follow all links: no page is missing, and no text of the store is markup."""
    seen, todo = set(), ["/"]
    kinds: Counter[str] = Counter()  # of pages: a few of each are enough
    while todo and len(seen) < 200:
        url = todo.pop(0)
        kind = re.sub(r"\d+", "1", urlsplit(url).path)
        if url in seen or kinds[kind] >= 8:
            continue
        kinds[kind] += 1
        seen.add(url)
        answer = reader.get(url)
        assert answer.status in (200, 303), (url, answer.text[:300])
        if "text/html" in answer.headers.get("content-type", ""):
            check_harmless(answer)
            todo += [link for link in links(answer.text) if link not in seen and link not in todo]
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
    } <= kinds.keys()


def check_harmless(answer: Response) -> None:
    found = Page(answer.text)
    assert found.tags.count("script") == 1  # ours
    assert not {"img", "iframe", "object", "base", "style"} & set(found.tags)
    assert not any(name.startswith("on") or name == "style" for name in found.attributes)
    assert not {"\x1b", "\x07", "\u202e"} & set(answer.text)
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]


def test_pages_escape_hostile_text(reader: Client) -> None:
    answer = reader.get("/answers?q=" + quote("<script>"))
    assert "&lt;script&gt;alert(1)" in answer.text
    check_harmless(answer)
    again = run_sql(reader, "SELECT '<script>alert(1)</script>' AS x")
    assert "<td>&lt;script&gt;alert(1)&lt;/script&gt;</td>" in again.text
    check_harmless(again)


def test_pages_answer_404_for_unknown_addresses(reader: Client) -> None:
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


def test_chain_page_shows_turns_side_by_side(reader: Client, store: Database) -> None:
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
    first, second = ({part.mark for part in a.parts} for a in chain.answers)
    assert "gone" in first
    assert second == {"new"}
    text = reader.get(f"/chain/{chain.id}").text
    assert text.count('<section class="turn') == 2
    assert 'class="k-k">def' in text  # highlighted code


def test_lists_show_counts_and_facets(reader: Client) -> None:
    reader.get("/answers")
    reader.wait()
    text = reader.get("/answers?status=wrong").text
    assert re.search(r"<h1>Answers <span class=\"soft\">3 as of", text)
    assert "<title>answers: status=wrong - store.db</title>" in text or "postgres" in text
    assert re.search(r'choice chosen" href="/answers"[^>]*>wrong <span class="count">3', text)
    assert 'href="/answers?status=wrong&amp;turn=2"' in text
    assert 'href="/answers?status=wrong&amp;sort=-tokens"' in text
    assert "$0.0003" in text  # 100 prompt tokens of which 10 are cached, 40 tokens of the answer
    first = reader.get("/answers?sort=-tokens").text
    assert "tokens \u25be" in first


def test_lists_lead_to_first_and_last_page(reader: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("annoy_store.web.list_page.PAGE_ROWS", 2)
    monkeypatch.setattr("annoy_store.web.list_index.PAGE_ROWS", 2)
    reader.get("/samples")
    reader.wait()
    text = reader.get("/samples?sort=-pairs").text
    assert 'rel="last" href="/samples?sort=-pairs&amp;page=3"' in text
    last = reader.get("/samples?sort=-pairs&page=3").text
    assert 'rel="first" href="/samples?sort=-pairs"' in last
    assert 'rel="next"' not in last
    assert 'rel="next"' not in reader.get("/samples?after=0").text


def test_not_found_page_tells_what_there_is(reader: Client) -> None:
    text = reader.get("/answers/99999").text
    assert "The ids of answers go from 1 to" in text
    assert 'href="/answers?after=0"' in text


def test_prompt_page_shows_all_answers(reader: Client) -> None:
    text = reader.get("/prompts/1").text
    assert "1 answer</h2>" in text
    assert 'href="/answers/1"' in text


def test_sample_page_shows_pairs_questions_and_verdicts(reader: Client) -> None:
    text = reader.get("/samples/1").text
    assert "Questions and verdicts" in text
    assert "predict_output, turn 1" in text
    assert 'class="tag correct"' in text
    assert 'href="/row/io_pair/1"' in text


def test_search_box_goes_to_a_row_by_its_name(reader: Client) -> None:
    assert reader.get("/go?q=sample:1").headers["location"] == "/samples/1"
    assert reader.get("/go?q=pair:1").headers["location"] == "/row/io_pair/1"
    assert reader.get("/go?q=meow").headers["location"] == "/answers?q=meow"


def test_figures_page_shows_rendered_figures(reader: Client) -> None:
    first = reader.get("/figures")
    assert "being rendered" in first.text or "<svg" in first.text
    reader.wait()
    text = reader.get("/figures").text
    assert text.count("<svg") == 2 * (len(FIGURES) - 1)  # wide and narrow; there is one model only
    assert 'href="/samples/' in text
    assert 'class="tiles"' in reader.get("/").text


# SQL -----------------------------------------------------------------------------------------


def test_sql_page_runs_queries(reader: Client) -> None:
    text = run_sql(reader, "SELECT id AS sample_id, 1.5 AS x FROM samples ORDER BY id").text
    assert 'href="/samples/1"' in text
    assert "1.5" in text
    snap = run_sql(reader, "SELECT status, COUNT(*) FROM verdicts GROUP BY 1", "snapshot").text
    assert "no_answer" in snap


def test_sql_page_downloads_a_result(reader: Client) -> None:
    (token,) = re.findall(r'name="typed" value="([^"]+)"', reader.get("/sql").text)
    query = quote("SELECT 1 AS a, 'x,y' AS b UNION ALL SELECT 2, NULL ORDER BY a")
    csv = reader.get(f"/sql/download?as=csv&typed={token}&q={query}")
    assert csv.text == 'a,b\r\n1,"x,y"\r\n2,\r\n'
    assert "attachment" in csv.headers["content-disposition"]
    found = reader.get(f"/sql/download?as=json&typed={token}&of=snapshot&q={query}").text
    assert json.loads(found) == [{"a": 1, "b": "x,y"}, {"a": 2, "b": None}]
    assert reader.get(f"/sql/download?as=csv&q={query}").status == 404  # nobody typed it here


def test_overview_shows_failures_and_pass_rates(reader: Client) -> None:
    reader.get("/")
    reader.wait()
    text = reader.get("/").text
    assert "Pass rate" in text
    assert "missing_module:" in text
    assert re.match("/verdicts/", reader.get("/random/wrong").headers["location"])
    assert reader.get("/random/nonsense").status == 404


def test_sql_page_runs_only_what_was_typed(reader: Client) -> None:
    """A link of another site may fill the form, and does not run it."""
    for token in ("", "&typed=", "&typed=guess", "&typed=%C3%A9"):
        page = reader.get("/sql?q=" + quote("SELECT 40 + 2 AS x") + token).text
        assert "SELECT 40 + 2 AS x" in page
        assert "<td" not in page.partition("<details")[0]
        assert "Press Run" in page


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
def test_sql_page_does_not_write(reader: Client, store: Database, engine: str) -> None:
    for query in WRITING:
        answer = run_sql(reader, query, engine)
        assert answer.status == 200
        assert 'class="error"' in answer.text, query
    with store.read() as connection:
        n = connection.scalar(select(func.count()).select_from(LISTINGS["samples"].key.table))
    assert n == 5
