"""A long text for a person: in a pager and in colours on a terminal, plain lines elsewhere.

Decisions
- The pager is `PAGER`, else less, which ends by itself when all fits on one screen. Without one,
  with `TERM=dumb`, or when stdin or stdout is no terminal, the text is just printed.
- Colours are those that the terminal gives its sixteen names, so they suit a light and a dark one;
  `NO_COLOR` takes them away. They are made here, around text that was made harmless before: no
  sign of a stranger's text can end or begin one.
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
SIGNS = {"row": "# ", "part": "## "}


def page(told: Iterable[Section]) -> None:
    """Show pieces of text to a person, or print them as Markdown where nobody looks."""
    if not on_terminal():
        for line in as_markdown(told):
            click.echo(safe(line))
        return
    os.environ.setdefault("LESS", "-FRX")
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        click.echo_via_pager((f"{safe(line)}\n" for line in as_markdown(told)), color=False)
    else:
        click.echo_via_pager(coloured(told, shutil.get_terminal_size().columns))


def coloured(told: Iterable[Section], width: int) -> Iterator[str]:
    """Yield pieces as lines in colours, as wide as the terminal."""
    from rich.console import Console

    before = ""
    for piece in told:
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
        lead = "\n" if before and piece.role in ("row", "part") and before != piece.role else ""
        before = piece.role
        yield lead + _drawn(out, piece)


def _drawn(out: Console, piece: Section) -> str:
    out.print(_shown(piece))
    assert isinstance(out.file, io.StringIO)
    return _PADDING.sub("", out.file.getvalue())


def _shown(piece: Section) -> RenderableType:
    from rich.padding import Padding
    from rich.syntax import Syntax
    from rich.text import Text

    text = safe(piece.text)
    if piece.role in ("code", "prose"):
        lexer = piece.language if piece.text.strip() else ""
        code = Syntax(
            text, lexer or "text", theme="ansi_dark", word_wrap=True, background_color="default"
        )
        return Padding(code, (0, 0, 0, 2))
    return Text(SIGNS.get(piece.role, "") + text, STYLES.get(piece.role, ""))
