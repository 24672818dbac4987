"""The report draws every figure, and text of the store is never markup."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from annoy_store.db.engine import Database
from annoy_store.report import FIGURES, collect, report
from tests.support import populated_store
from tests.support.page_parser import Page

pytestmark = pytest.mark.slow_on("postgres")

AT = "2026-01-01 00:00 UTC"


def _report(store: Database) -> str:
    return report(store, collect(store, AT, live=True))


def _filled(store: Database) -> str:
    populated_store.fill(store)
    populated_store.add_second_model(store)
    return _report(store)


def test_report_of_an_empty_store_says_that_there_is_no_data(store: Database) -> None:
    text = _report(store)
    page = Page(text)
    assert "svg" not in page.tags
    assert text.count('class="nothing"') == len(FIGURES)
    assert text.count('class="query"') == len(FIGURES)
    assert "examples" not in page.ids
    assert "Traceback" not in text
    assert "NaN" not in text


def test_report_escapes_all_text_of_the_store(store: Database) -> None:
    text = _filled(store)
    page = Page(text)
    assert not {"img", "iframe", "object", "base", "form"} & set(page.tags)
    assert not any(name.startswith("on") or name == "style" for name in page.attributes)
    assert page.tags.count("style") == 1
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "&lt;script&gt;alert(1)" in text


def test_report_allows_its_own_script_only(store: Database) -> None:
    text = _filled(store)
    assert Page(text).tags.count("script") == 1
    ((script,), (style,)) = (
        re.findall(f"<{n}>(.*?)</{n}>", text, re.S) for n in ("script", "style")
    )
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    named = {name: f"'sha256-{_digest(of)}'" for name, of in (("script", script), ("style", style))}
    assert policy.split("; ")[:3] == [
        "default-src 'none'",
        f"style-src {named['style']}",
        f"script-src {named['script']}",
    ]


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_report_is_self_contained_and_its_links_resolve(store: Database) -> None:
    text = _filled(store)
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert link == "data:," or (link.startswith("#") and link[1:] in page.ids), link
    assert any(link.startswith("#sample-") for link in page.links)
    assert not re.findall(r"url\(|@import|<link[^>]*stylesheet", text)
    assert set(re.findall(r'(?:src|href|action|data)="(https?:[^"]*)"', text)) == set()


def test_report_names_the_store(sqlite_store: Database) -> None:
    text = _report(sqlite_store)
    assert "<title>Report - store.db</title>" in text
    assert "<h1>Report of store.db</h1>" in text


def test_report_folds_its_examples_under_a_heading(store: Database) -> None:
    text = _filled(store)
    heading, rows = text.index(">Examples</h2>"), text.count('<details class="example">')
    assert rows > 3
    assert text.index('<details class="example">') > heading
    assert "<details open" not in text
