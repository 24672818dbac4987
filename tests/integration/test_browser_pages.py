"""The report and the pages in a real browser: drawn, quiet, readable by keys, and harmless."""

from __future__ import annotations

import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from annoy_store.db.engine import Database
from annoy_store.records.annotations import marks_of
from annoy_store.report import FIGURES, collect, report
from tests.support import populated_store
from tests.support.accessibility import findings
from tests.support.chromium import Tab

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
DRAWN = "[...document.querySelectorAll('svg.figure')].filter(s => s.getBoundingClientRect().height > 40).length"
OVERFLOWING = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
CUT_OFF = """[...document.querySelectorAll('svg.figure')].flatMap(svg => {
    const out = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text')].filter(t => {
        const b = t.getBoundingClientRect();
        return b.left < out.left - 8 || b.right > out.right + 8;
    }).map(t => t.textContent);
}).join('|')"""
SMALLEST = """Math.min(...[...document.querySelectorAll('svg.figure text')]
    .filter(t => t.checkVisibility()).map(t => [getComputedStyle(t), t.getScreenCTM()])
    .map(([style, at]) => parseFloat(style.fontSize) * Math.hypot(at.a, at.b)))"""
PAGES = (
    "/",
    "/answers?status=wrong&sort=-tokens",
    "/verdicts",
    "/samples",
    "/prompts",
    "/sources",
    "/answers?q=the",
    "/failures",
    "/failures?stage=parse&reason=syntax_error",
    "/models",
    "/sql",
    "/answers/2",
    "/verdicts/1",
    "/samples/1",
    "/prompts/1",
    "/marks",
    "/prompts/2",
    "/sources/1",
    "/row/call/1",
    "/answers/99999",
    "/figures",  # the last: it may reload itself
)
FAST_PAGES = ("/answers/2", "/samples/1")
LOOKS = {"light": (1280, "light"), "dark": (1280, "dark"), "phone": (390, "light")}
DIAGRAM = """<!doctype html><html lang="en"><title>Diagram</title>
<body style="margin: 0; background: {paper}"><main><h1 style="color: {ink}">Diagram</h1>
{svg}</main></body></html>"""
PAPERS = {"light": ("#ffffff", "#1f2328"), "dark": ("#0d1117", "#f0f6fc")}  # those of GitHub
PAPER = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture
def file(sqlite_store: Database, tmp_path: Path) -> str:
    """A report on a store with hostile text, two models and three turns."""
    populated_store.fill(sqlite_store, 3)
    populated_store.add_second_model(sqlite_store)
    path = tmp_path / "report.html"
    path.write_text(
        report(sqlite_store, collect(sqlite_store, "2026-01-01 00:00 UTC", live=True)), "utf-8"
    )
    return path.as_uri()


@pytest.mark.slow
def test_the_report_is_drawn_and_quiet(tab: Tab, file: str, tmp_path: Path) -> None:
    papers = set()
    for scheme in ("light", "dark"):
        tab.prefer(scheme)
        tab.open(file)
        assert tab.ask(DRAWN) == len(FIGURES)
        assert tab.ask(OVERFLOWING) == 0
        assert tab.ask(CUT_OFF) == ""
        papers.add(tab.ask(PAPER))
        assert len(tab.screenshot(tmp_path / f"{scheme}.png", whole=True)) > 20_000
    assert len(papers) == 2
    assert tab.complaints == []
    assert {url for url in tab.asked_for if not url.startswith("data:")} == {file}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_is_accessible(tab: Tab, file: str, scheme: str) -> None:
    tab.prefer(scheme)
    tab.open(file)
    assert findings(tab) == []


@pytest.mark.parametrize("width", [390, 320])
def test_the_report_fits_a_phone(tab: Tab, file: str, width: int) -> None:
    tab.resize(width, 844)
    tab.open(file)
    tab.ask("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert tab.ask(OVERFLOWING) == 0
    assert tab.ask(DRAWN) == len(FIGURES)
    assert tab.ask(CUT_OFF) == ""
    assert tab.ask(SMALLEST) >= 8  # pixels: to be read without a glass
    assert findings(tab) == []


def test_the_report_copies_the_sql_of_a_figure(tab: Tab, file: str) -> None:
    tab.open(file)
    tab.call("Browser.grantPermissions", permissions=["clipboardReadWrite"])
    queries = tab.ask("[...document.querySelectorAll('pre.query')].map(q => q.textContent)")
    assert len(queries) == len(FIGURES)
    tab.ask("document.querySelector('#models button.copy').click()")
    tab.wait(
        lambda: tab.ask("document.querySelector('#models button.copy').textContent") != "Copy SQL"
    )
    assert tab.ask("document.querySelector('#models button.copy').textContent") == "Copied"
    tab.ask("navigator.clipboard.readText().then(t => { window.copied = t; }); 0")
    tab.wait(lambda: tab.ask("window.copied !== undefined"))
    copied = tab.ask("window.copied")
    assert copied == tab.ask("document.querySelector('#models pre.query').textContent")
    assert tab.complaints == []


def test_the_report_opens_an_example_that_a_link_leads_to(tab: Tab, file: str) -> None:
    tab.open(file)
    folded = "[...document.querySelectorAll('details.example')].filter(d => d.open).length"
    assert tab.ask(folded) == 0
    tab.ask("document.querySelector('#failures td a').click()")
    tab.wait(lambda: tab.ask(folded) == 1)
    assert tab.ask("document.querySelector(':target').closest('details').open")


def test_the_report_of_an_empty_store_is_calm(
    tab: Tab, sqlite_store: Database, tmp_path: Path
) -> None:
    path = tmp_path / "empty.html"
    path.write_text(report(sqlite_store, collect(sqlite_store, "now", live=True)), "utf-8")
    tab.resize(390, 844)
    tab.open(path.as_uri())
    assert tab.ask(OVERFLOWING) == 0
    assert findings(tab) == []
    assert tab.complaints == []


def test_every_page_is_quiet_and_asks_nobody_else(tab: Tab, address: str) -> None:
    for path in (
        "/",
        "/answers",
        "/verdicts",
        "/samples",
        "/prompts",
        "/sources",
        "/failures",
        "/sql",
        "/answers/2",
        "/samples/1",
        "/prompts/1",
        "/sources/1",
        "/row/call/1",
        "/answers?q=%3Cscript%3E",
        "/sql?q=SELECT+*+FROM+samples",
        "/models",
    ):
        tab.open(address + path)
        assert tab.ask(OVERFLOWING) == 0, path
        assert tab.complaints == [], path
    hosts = {
        re.sub(r"^(\w+:/*[^/]*).*", r"\1", u) for u in tab.asked_for if not u.startswith("data:")
    }
    assert hosts == {address}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize(
    "pages", [FAST_PAGES, pytest.param(PAGES, marks=[pytest.mark.slow, pytest.mark.timeout(300)])]
)
def test_pages_have_no_serious_fault_of_accessibility(
    tab: Tab,
    sqlite_store: Database,
    address: str,
    look: str,
    pages: tuple[str, ...],
    tmp_path: Path,
) -> None:
    """In light, in dark and on a phone: quiet, within the window, and what axe-core asks for."""
    populated_store.add_second_model(sqlite_store)
    width, scheme = LOOKS[look]
    tab.prefer(scheme)
    tab.resize(width, 844)
    for path in pages:
        tab.open(address + path)
        if path == "/figures":
            tab.wait(lambda: tab.ask(DRAWN) == len(FIGURES))
        assert tab.ask(OVERFLOWING) == 0, path
        assert findings(tab) == [], path
        name = re.sub(r"\W+", "-", path)
        assert len(tab.screenshot(tmp_path / f"{look}{name}.png", whole=True)) > 5_000
    assert [said for said in tab.complaints if "404" not in said] == []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", PAPERS)
def test_the_diagram_of_the_readme_can_be_read(
    tab: Tab, scheme: str, width: int, tmp_path: Path
) -> None:
    paper, ink = PAPERS[scheme]
    svg = (ROOT / ".github" / "images" / f"pipeline-{scheme}.svg").read_text("utf-8")
    page = tmp_path / "diagram.html"
    page.write_text(DIAGRAM.format(paper=paper, ink=ink, svg=svg), "utf-8")
    tab.prefer(scheme)
    tab.resize(width, 844)
    tab.open(page.as_uri())
    assert tab.ask(OVERFLOWING) == 0
    assert [one for one in findings(tab) if "color-contrast" in one] == []
    assert len(tab.screenshot(tmp_path / "diagram.png")) > 5_000
    assert tab.complaints == []


def test_a_block_is_copied_and_shown_raw(tab: Tab, address: str) -> None:
    tab.open(f"{address}/samples/1")
    shown = "getComputedStyle(document.querySelector('.text .raw')).display"
    assert tab.ask(shown) == "none"
    tab.ask("document.querySelector('.tools button').click()")
    assert tab.ask(shown) == "block"
    assert tab.ask("document.querySelectorAll('.tools').length >= 3")
    assert tab.complaints == []


def test_the_sql_page_completes_names_and_keeps_a_history(tab: Tab, address: str) -> None:
    tab.open(f"{address}/sql")
    tab.ask(
        "(() => { const e = document.querySelector('textarea'); e.value = 'SELECT * FROM '; "
        "e.setSelectionRange(99, 99); e.focus(); })()"
    )
    for key in "v_fun":
        tab.press(key)
    tab.press("Tab")
    assert tab.ask("document.querySelector('textarea').value") == "SELECT * FROM v_funnel"
    before = tab.loaded
    tab.ask("document.querySelector('form.sql button').click()")
    tab.wait(lambda: tab.loaded > before)
    assert "SELECT * FROM v_funnel" in tab.ask("document.querySelector('.history').textContent")
    assert tab.complaints == []


@pytest.mark.slow
def test_figures_are_drawn_live(tab: Tab, address: str) -> None:
    tab.open(f"{address}/figures")
    tab.wait(lambda: tab.ask(DRAWN) == len(FIGURES) - 1)  # all but that of a second model
    assert tab.complaints == []


@pytest.mark.slow
def test_reading_with_keys(tab: Tab, address: str) -> None:
    here = "location.pathname + location.search"
    tab.open(f"{address}/answers?status=wrong")
    ids = tab.ask("[...document.querySelectorAll('a.row')].map(a => a.textContent)")
    assert len(ids) >= 3
    tab.press("j")
    tab.press("j")
    tab.press("k")
    tab.press_and_go("o")
    assert tab.ask(here) == f"/answers/{ids[0]}?status=wrong"
    tab.press_and_go("j")
    assert tab.ask(here) == f"/answers/{ids[1]}?status=wrong"
    tab.press_and_go("ArrowRight")
    assert tab.ask(here) == f"/answers/{ids[2]}?status=wrong"
    tab.press_and_go("ArrowLeft")
    tab.press_and_go("u")
    assert tab.ask("document.querySelector('a.row').textContent") == ids[1]
    tab.press("/")
    tab.press("j")
    assert tab.ask("document.activeElement.value") == "j"
    assert tab.complaints == []


def test_turns_stand_side_by_side(tab: Tab, address: str) -> None:
    tab.open(f"{address}/answers?status=wrong&turn=1")
    tab.press("j")
    tab.press_and_go("o")
    boxes = tab.ask(
        "[...document.querySelectorAll('section.turn')].map(s => s.getBoundingClientRect())"
        ".map(b => [b.left, b.top, b.right])"
    )
    assert len(boxes) == 2
    assert boxes[0][1] == boxes[1][1]
    assert boxes[0][2] <= boxes[1][0]


MARKED = "[...document.querySelectorAll('.marks[data-row=\"sample:2\"] .mark')].map(e => e.innerText.trim())"
SEND = """(() => {
    const form = document.querySelector('.marks[data-row="sample:2"] details form');
    form.querySelector('[name=%s]').value = %r;
    form.querySelector('button[value="set %s"]').click();
})()"""


def send(tab: Tab, script: str) -> None:
    before = tab.loaded
    tab.ask(script)
    tab.wait(lambda: tab.loaded > before)


def test_a_row_is_marked_on_its_page(tab: Tab, address: str, sqlite_store: Database) -> None:
    tab.open(f"{address}/samples/2?state=rejected")
    assert tab.ask(MARKED) == []
    send(tab, SEND % ("tag", "bad question", "tag"))
    assert tab.ask("location.pathname + location.search") == "/samples/2?state=rejected"
    send(tab, SEND % ("note", "two lines", "note"))
    shown = tab.ask(MARKED)
    assert shown[0].startswith("bad question")
    assert shown[1].endswith("two lines")
    send(tab, "document.querySelector('.marks[data-row=\"sample:2\"] .remove button').click()")
    assert len(tab.ask(MARKED)) == 1
    assert tab.complaints == []
    with sqlite_store.read() as connection:
        assert [one.mark.kind for one in marks_of(connection, "sample", [2])[2]] == ["note"]
        assert marks_of(connection, "sample", [2])[2][0].author == "ann"


def test_a_page_of_another_program_marks_nothing(
    tab: Tab, address: str, sqlite_store: Database, tmp_path: Path
) -> None:
    """It is of the same site to the browser, which sends the cookie; only its port differs."""
    tab.open(f"{address}/samples/2")
    token = tab.ask("document.querySelector('input[name=token]').value")
    fields = {"token": token, "row": "sample:2", "do": "set tag", "tag": "foreign", "back": "/"}
    inputs = "".join(f'<input name="{k}" value="{v}">' for k, v in fields.items())
    page = f'<form method="post" action="{address}/marks">{inputs}<button>x</button></form>'
    (tmp_path / "page.html").write_text(page)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as foreign:
        threading.Thread(target=foreign.serve_forever, daemon=True).start()
        tab.open(f"http://127.0.0.1:{foreign.server_port}/page.html")
        send(tab, "document.querySelector('button').click()")
        assert "Only forms of these pages" in tab.ask("document.body.innerText")
        foreign.shutdown()
    with sqlite_store.read() as connection:
        assert marks_of(connection, "sample", [2]) == {}
