"""Code in colours, by Pygments: markup with classes, and the style sheet that colours them."""

from __future__ import annotations

from functools import cache

from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from annoy_store.report.svg import escape, visible

LIGHT, DARK = "friendly", "github-dark"
MOST_CHARS = 60_000  # that are coloured; more stays plain
_FORMATTER = HtmlFormatter(nowrap=True, classprefix="k-")


def coloured(text: str, language: str | None) -> Markup:
    """Return text as markup, coloured if it is code that we know and not too long."""
    shown = visible(text)
    if not language or len(shown) > MOST_CHARS:
        return Markup(escape(shown))
    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return Markup(escape(shown))
    return Markup(highlight(shown, lexer, _FORMATTER))


@cache
def style_sheet() -> str:
    """The colours of code, light and dark."""
    light, dark = (_rules(name) for name in (LIGHT, DARK))
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


def _rules(name: str) -> str:
    lines = HtmlFormatter(style=name, classprefix="k-").get_style_defs("pre").splitlines()
    return "\n".join(line for line in lines if line.startswith("pre .k-"))
