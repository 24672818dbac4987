"""Long texts on stdout: in a pager and in colours on a terminal, as plain lines elsewhere.

Decisions
- The pager is `PAGER`, else less, which exits by itself when everything fits on one screen. Without
  one, with `TERM=dumb`, or when stdin or stdout is not a terminal, the text is just printed.
- Colours are the sixteen of the terminal, so they suit light and dark themes; `NO_COLOR` disables
  them. They are added here, around text whose control characters were replaced before: untrusted
  text cannot begin or end a colour.
"""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import click

from annoy_store.analysis.lineage_section import Section
from annoy_store.analysis.lineage_text import as_markdown

from ._text import on_terminal, safe, wants_colour

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

STYLES = {
    "row": "bold magenta",
    "part": "bold cyan",
    "job": "yellow",
    "good": "bold green",
    "bad": "bold red",
}
_PADDING = re.compile(r" +(?=(?:\x1b\[[\d;]*m)*$)", re.MULTILINE)
MAX_COLUMNS = 100  # of prose
MARKS = {"row": "# ", "part": "## "}


def page(sections: Iterable[Section]) -> None:
    """Show sections of text in the pager, or print them as Markdown without a terminal."""
    _show(
        lambda: (f"{safe(line)}\n" for line in as_markdown(sections)),
        lambda width: coloured(sections, width),
    )


def page_of_markdown(text: str) -> None:
    """Show our own Markdown in the pager, or print it as it is without a terminal."""
    _show(lambda: [text], lambda width: [rendered_markdown(text, width)])


def page_of_lines(lines: Iterable[str]) -> None:
    """Show lines in the pager, or print them without a terminal; a long one is not cut."""
    shown = [f"{line}\n" for line in lines]
    _show(lambda: shown, lambda width: shown)


def _show(plain: Callable[[], Iterable[str]], in_colours: Callable[[int], Iterable[str]]) -> None:
    """Print a text, or show it in the pager if stdout is a terminal.

    Args:
        plain: Yields the lines of the text.
        in_colours: Yields them with ANSI colours, for a terminal of so many columns.
    """
    if not on_terminal():
        for part in plain():
            click.echo(part, nl=False)
        return
    os.environ.setdefault("LESS", "-FRX")
    if wants_colour():
        click.echo_via_pager(in_colours(shutil.get_terminal_size().columns))
    else:
        click.echo_via_pager(plain(), color=False)


def rendered_markdown(text: str, width: int) -> str:
    """Return Markdown as text with ANSI colours.

    Args:
        text: Markdown of ours.
        width: Columns of the terminal; lines have at most MAX_COLUMNS.
    """
    from rich.markdown import Markdown
    from rich.theme import Theme

    out = _console(min(width, MAX_COLUMNS))
    out.push_theme(Theme({"markdown.code": "bold cyan"}))  # rich's has a black background
    out.print(Markdown(text, code_theme="ansi_dark", hyperlinks=False))
    assert isinstance(out.file, io.StringIO)
    return _PADDING.sub("", out.file.getvalue())


def coloured(sections: Iterable[Section], width: int) -> Iterator[str]:
    """Yield sections as lines with ANSI colours.

    Args:
        sections: Sections of text, untrusted.
        width: Columns of the terminal.
    """
    before = ""
    for section in sections:
        out = _console(width)
        is_heading = section.role in ("row", "part")
        blank_line = "\n" if before and is_heading and before != section.role else ""
        before = section.role
        yield blank_line + _rendered(out, section)


def _console(width: int) -> Console:
    from rich.console import Console

    return Console(
        file=io.StringIO(),
        width=width,
        force_terminal=True,
        color_system="standard",
        highlight=False,
        emoji=False,
        markup=False,
        legacy_windows=False,
    )


def _rendered(out: Console, section: Section) -> str:
    out.print(_renderable(section))
    assert isinstance(out.file, io.StringIO)
    return _PADDING.sub("", out.file.getvalue())


def _renderable(section: Section) -> RenderableType:
    from rich.padding import Padding
    from rich.syntax import Syntax
    from rich.text import Text

    text = safe(section.text)
    if section.role in ("code", "prose"):
        lexer = section.language if section.text.strip() else ""
        code = Syntax(
            text, lexer or "text", theme="ansi_dark", word_wrap=True, background_color="default"
        )
        return Padding(code, (0, 0, 0, 2))
    return Text(MARKS.get(section.role, "") + text, STYLES.get(section.role, ""))
