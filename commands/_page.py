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
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from annoy_store.analysis.lineage_text import Section, as_markdown

from ._shared import on_terminal
from ._text import safe

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

STYLES = {"row": "bold magenta", "part": "bold cyan", "facts": "", "job": "yellow"}
_PADDING = re.compile(r" +(?=(?:\x1b\[[\d;]*m)*$)", re.MULTILINE)
MARKS = {"row": "# ", "part": "## "}


def page(sections: Iterable[Section]) -> None:
    """Show sections of text in the pager, or print them as Markdown without a terminal."""
    if not on_terminal():
        for line in as_markdown(sections):
            click.echo(safe(line))
        return
    os.environ.setdefault("LESS", "-FRX")
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        click.echo_via_pager((f"{safe(line)}\n" for line in as_markdown(sections)), color=False)
    else:
        click.echo_via_pager(coloured(sections, shutil.get_terminal_size().columns))


def coloured(sections: Iterable[Section], width: int) -> Iterator[str]:
    """Yield sections as lines with ANSI colours.

    Args:
        sections: Sections of text, untrusted.
        width: Columns of the terminal.
    """
    from rich.console import Console

    before = ""
    for section in sections:
        out = Console(
            file=io.StringIO(),
            width=width,
            force_terminal=True,
            color_system="standard",
            highlight=False,
            emoji=False,
            markup=False,
            legacy_windows=False,
        )
        is_heading = section.role in ("row", "part")
        blank_line = "\n" if before and is_heading and before != section.role else ""
        before = section.role
        yield blank_line + _rendered(out, section)


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
