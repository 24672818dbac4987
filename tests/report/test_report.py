"""The report renders every figure, and text of the store is never markup."""

from __future__ import annotations

import re

import pytest

from annoy_store.db.engine import Database
from annoy_store.report import FIGURES, collect, render_all, report
from annoy_store.report.figure import open_runner
from tests.support import populated_store
from tests.support.page_parser import Page

pytestmark = pytest.mark.slow_on("postgres")

AT = "2026-01-01 00:00 UTC"


# Figures -------------------------------------------------------------------------------------


def test_report_of_an_empty_store_says_that_there_is_no_data(store: Database) -> None:
    with open_runner(store, live=True) as ask:
        drawn = render_all(ask)
    assert not any(one.svg for one in drawn)
    page = report(store, collect(store, AT, live=True))
    assert page.count('class="nothing"') == len(FIGURES)


def test_report_escapes_all_text_of_the_store(store: Database) -> None:
    populated_store.fill(store)
    text = report(store, collect(store, AT, live=True))
    page = Page(text)
    assert not {"script", "img", "iframe", "object", "base", "form"} & set(page.tags)
    assert not any(name.startswith("on") or name == "style" for name in page.attributes)
    assert page.tags.count("style") == 1
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "&lt;script&gt;alert(1)" in text
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    assert policy[0].startswith("default-src 'none'")


def test_report_is_self_contained_and_its_links_resolve(store: Database) -> None:
    populated_store.fill(store)
    page = Page(report(store, collect(store, AT, live=True)))
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert link == "data:," or (link.startswith("#") and link[1:] in page.ids), link
    assert any(link.startswith("#sample-") for link in page.links)
