"""Syntax highlighting by Pygments: markup with classes, and their style sheet."""

from __future__ import annotations

from functools import cache

from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from annoy_store.report.svg import escape, visible

LIGHT, DARK = "xcode", "github-dark"
MAX_CHARS = 60_000  # longer texts stay plain
_FORMATTER = HtmlFormatter(nowrap=True, classprefix="k-")


def highlight_code(text: str, language: str | None) -> Markup:
    """Return text as markup, highlighted if its language is known and it is not too long.

    Args:
        text: The text; it is escaped.
        language: Its language, as Pygments names it; None or '' for prose.
    """
    shown = visible(text)
    if not language or len(shown) > MAX_CHARS:
        return Markup(escape(shown))
    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return Markup(escape(shown))
    return Markup(highlight(shown, lexer, _FORMATTER))


@cache
def style_sheet() -> str:
    """Return the style sheet of highlighted code, with a light and a dark theme."""
    light, dark = (_rules(name) for name in (LIGHT, DARK))
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


def _rules(name: str) -> str:
    lines = HtmlFormatter(style=name, classprefix="k-").get_style_defs("pre").splitlines()
    return "\n".join(line for line in lines if line.startswith("pre .k-"))
