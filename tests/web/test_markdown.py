"""Markdown of texts that nobody trusts."""

from __future__ import annotations

import pytest

pytest.importorskip("markdown_it")
pytest.importorskip("jinja2")

from annoy_store.web.markdown import MAX_CHARS, render_markdown
from tests.support import populated_store
from tests.support.page_parser import Page


@pytest.mark.parametrize(
    "text",
    [
        populated_store.TRICKS,
        "<img src=x onerror=alert(1)>",
        "[click](javascript:alert(1)) [me](/sql?q=1) ![x](http://evil.example/x.png)",
        "<http://evil.example>",
        "[a]: http://evil.example\n\n[a]",
        "```<script>\nalert(1)\n```",
        "```python' onclick='x\nalert(1)\n```",
    ],
)
def test_render_markdown_makes_no_foreign_markup(text: str) -> None:
    found = Page(str(render_markdown(text)))
    assert not {"script", "img", "a", "iframe", "style"} & set(found.tags)
    assert not any(name.startswith("on") or name in ("href", "src") for name in found.attributes)


def test_render_markdown_renders_code_lists_and_tables() -> None:
    shown = str(
        render_markdown("- one\n- *two*\n\n```python\ndef f(): pass\n```\n\n|a|b|\n|-|-|\n|1|2|")
    )
    assert "<li>" in shown
    assert "<em>two</em>" in shown
    assert 'class="k-k">def' in shown
    assert "<td>1</td>" in shown


def test_render_markdown_leaves_long_texts_raw() -> None:
    assert render_markdown("x" * (MAX_CHARS + 1)) == ""
