"""Markdown of the store's texts as HTML.

Decisions
- Models write these texts. Raw HTML stays text, and links, images and references are not
  rendered, so that a text leads nowhere and loads nothing.
- Headings become bold paragraphs: the headings of the page are its own.
"""

from __future__ import annotations

from functools import cache

from markdown_it import MarkdownIt
from markupsafe import Markup

from annoy_store.report.svg import visible
from annoy_store.web.highlight import highlight_code

MAX_CHARS = 60_000  # longer texts are shown raw only
_UNSAFE = ["html_block", "html_inline", "link", "image", "autolink", "reference"]


@cache
def _parser() -> MarkdownIt:
    highlight = lambda code, language, _: str(highlight_code(code, language))  # noqa: E731
    options = {"html": False, "linkify": False, "highlight": highlight}
    return MarkdownIt("commonmark", options).enable("table").disable(_UNSAFE)


def render_markdown(text: str) -> Markup:
    """Return a text as HTML; '' if it is too long.

    Args:
        text: Markdown, not trusted.
    """
    if len(text) > MAX_CHARS:
        return Markup("")
    parser = _parser()
    tokens = parser.parse(visible(text))
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = "p"
            token.attrs = {"class": "heading"} if token.nesting == 1 else {}
    return Markup(parser.renderer.render(tokens, parser.options, {}))
