"""The accessibility check finds one fault per page, and none on a good page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.accessibility import findings
from tests.support.chromium import Tab

pytestmark = pytest.mark.browser
GOOD = """<h1>Title</h1><p style="color: #555">Text with <a href="#x" style="color: #00f;
text-decoration: underline">a link</a>.</p><h2 id="x">Part</h2><details><summary>More</summary>
<table><tr><th>name</th></tr><tr><td>value</td></tr></table></details>
<label>Name <input></label><button>Run</button><img alt="" src="data:,"><ul><li>one</li></ul>
<dl><div><dt>name</dt><dd>value</dd></div></dl>
<svg role="img" viewBox="0 0 90 20"><title>Bars</title><rect width="90" height="20" fill="#036"/>
<text x="2" y="14" fill="#fff">9</text></svg>"""
FAULTS = {
    "button-name": "<button></button>",
    "color-contrast": "<p style='color: #999; background: #fff'>faint</p>",
    "color-contrast: text": """<svg role="img" viewBox="0 0 90 20"><title>Bars</title>
        <rect width="90" height="20" fill="#036"/><text x="2" y="14">9</text></svg>""",
    "definition-list": "<dl><p>no term</p></dl>",
    "duplicate-id": "<p id='y'></p><p id='y'></p>",
    "empty-heading": "<h2></h2>",
    "heading-order": "<h3>below nothing</h3>",
    "image-alt": "<img src='data:,'>",
    "label": "<input>",
    "link-in-text-block": "<p>Read <a href='#x' style='text-decoration: none; color: #222'>on</a></p>",
    "link-name": "<a href='#x'></a>",
    "list": "<ul><p>no item</p></ul>",
    "nested-interactive": "<button>a<a href='#x'>b</a></button>",
    "aria-prohibited-attr": "<span aria-label='remove'>x</span>",
    "aria-valid-attr-value": "<p aria-describedby='lost'>text</p>",
    "landmark-one-main": "<main>second</main>",
    "page-has-heading-one": "<h1>second</h1>",
    "scrollable-region-focusable": "<div style='overflow: auto; height: 9px'>a<br>b<br>c</div>",
    "select-name": "<select></select>",
    "svg-img-alt": "<svg role='img'></svg>",
    "tabindex": "<p tabindex='3'>text</p>",
    "table-header": "<table><tr><td>value</td></tr></table>",
}


def _open(tab: Tab, folder: Path, inside: str, head: str = "", lang: str = "en") -> None:
    file = folder / "page.html"
    title = head or "<title>Page</title>"
    file.write_text(
        f"<!doctype html><html lang='{lang}'><head><meta charset='utf-8'>{title}</head>"
        f"<body><main>{inside}</main></body></html>"
    )
    tab.open(file.as_uri())


def test_a_good_page_has_no_findings(tab: Tab, tmp_path: Path) -> None:
    _open(tab, tmp_path, GOOD)
    assert findings(tab) == []


def test_each_fault_is_found(tab: Tab, tmp_path: Path) -> None:
    for rule, markup in FAULTS.items():
        _open(tab, tmp_path, f"<h1>Title</h1><p id='x'>{markup}")
        assert any(one.startswith(rule) for one in findings(tab)), rule


def test_faults_of_the_document_are_found(tab: Tab, tmp_path: Path) -> None:
    refresh = "<title>x</title><meta http-equiv='refresh' content='2'>"
    _open(tab, tmp_path, "<h1>Title</h1>", refresh)
    assert [one.split(":")[0] for one in findings(tab)] == ["meta-refresh"]
    _open(tab, tmp_path, "<h1>Title</h1>", "<meta name='x'>", lang="")
    assert [one.split(":")[0] for one in findings(tab)] == ["html-has-lang", "document-title"]


def test_contrast_counts_the_opacity_and_what_is_behind(tab: Tab, tmp_path: Path) -> None:
    dark = "<h1>Title</h1><div style='background: #222'><p style='color: #eee; opacity: {}'>a</p></div>"
    _open(tab, tmp_path, dark.format(1))
    assert findings(tab) == []
    _open(tab, tmp_path, dark.format(0.3))
    assert [one.split(":")[0] for one in findings(tab)] == ["color-contrast"]
