"""Tables and lines on stdout: aligned, coloured by meaning, and no command is ever cut.

Decisions
- On a terminal, tables and texts are wrapped to its width; elsewhere each row and each text is one
  line. Colours are the terminal's own, so they suit a light and a dark one.
- A command in a text stands in backticks. It is wrapped as a whole: if the line has no room for it,
  it gets a line of its own, and is left to the terminal if it is wider than that. Where there are
  colours, they take the place of the backticks.
"""

from __future__ import annotations

import io
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from ._text import on_terminal, safe, wants_colour

if TYPE_CHECKING:
    from rich.console import Console

TONES: dict[str, dict[str, Any]] = {
    "good": {"fg": "green"},
    "active": {"fg": "cyan"},
    "warning": {"fg": "yellow"},
    "bad": {"fg": "red"},
    "muted": {"dim": True},
    "strong": {"bold": True},
    "command": {"fg": "cyan"},
}
MIN_TEXT_WIDTH = 16  # of a column that may be wrapped
_WORD = re.compile(r"(?:`[^`]*`|[^\s`]|`)+")
_QUOTED = re.compile(r"`([^`]*)`")


@dataclass(frozen=True)
class Toned:
    """A value with a meaning, which is shown as a colour.

    Attributes:
        value: The value.
        tone: A key of `TONES`; empty for none.
    """

    value: Any
    tone: str = ""


def counted(n: int, tone: str = "") -> Toned:
    """Return a number that has a tone unless it is zero."""
    return Toned(f"{n:,}", tone if n else "muted")


def toned(text: str, tone: str) -> str:
    """Return a text in the colour of a tone, if colours are wanted."""
    return click.style(text, **TONES[tone]) if tone and wants_colour() else text


def width() -> int:
    """Return the columns of the terminal."""
    return shutil.get_terminal_size().columns


def show(lines: Iterable[str]) -> None:
    """Print lines on stdout."""
    for line in lines:
        click.echo(line)


def watch(draw: Callable[[], Iterable[str]], every: float, *, in_place: bool) -> None:
    """Draw again and again, until interrupted.

    Args:
        draw: Returns the lines of one frame.
        every: Seconds between two frames.
        in_place: Replace the frame before, instead of printing below it.
    """
    while True:
        frame = "".join(f"{line}\n" for line in draw())
        if in_place:
            click.clear()
        click.echo(frame, nl=False)
        time.sleep(every)


# Texts ---------------------------------------------------------------------------------------


def text(words: str, *, indent: int = 0, first: str = "", tone: str = "") -> Iterator[str]:
    """Yield a text as lines, wrapped on a terminal.

    Args:
        words: The text; commands in it stand in backticks.
        indent: Columns left free before each line.
        first: What stands in them before the first line.
        tone: Tone of all but the commands.
    """
    start = first.ljust(indent) if len(first) <= indent else f"{first} "
    for line in _wrapped(safe(words, one_line=True), indent, len(start)):
        yield start + _styled(line, tone)
        start = " " * indent


def _wrapped(words: str, indent: int, used: int) -> Iterator[str]:
    """Yield the lines of a text; a command in backticks counts as one word."""
    if not on_terminal():
        yield words
        return
    line = ""
    for word in _WORD.findall(words):
        longer = f"{line} {word}" if line else word
        if line and used + _columns(longer) > width():
            yield line
            line, used = word, indent
        else:
            line = longer
    yield line


def _columns(words: str) -> int:
    """Return how many columns a text takes."""
    from rich.cells import cell_len

    return cell_len(_QUOTED.sub(r"\1", words) if wants_colour() else words)


def _styled(line: str, tone: str) -> str:
    if not wants_colour():
        return line
    parts = _QUOTED.split(line)
    return "".join(
        toned(part, "command" if number % 2 else tone) for number, part in enumerate(parts) if part
    )


# Tables --------------------------------------------------------------------------------------


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> Iterator[str]:
    """Yield a table as lines: wrapped to the width of a terminal, one line per row elsewhere.

    Args:
        columns: Headings.
        rows: Rows with one value per column, which may be a `Toned`; columns of numbers are aligned
            to the right.
        title: A line above the table.
    """
    kept = [[value if isinstance(value, Toned) else Toned(value) for value in row] for row in rows]
    cells = [[cell(value.value) for value in row] for row in kept]
    right = [_is_numeric(row[i] for row in cells) for i in range(len(columns))]
    heads = [safe(name, one_line=True) for name in columns]
    if title:
        yield toned(title, "strong")
    if on_terminal():
        yield from _rich_table(heads, cells, [[v.tone for v in row] for row in kept], right)
    else:
        yield from _plain_table([heads, *cells], right)


def cell(value: Any) -> str:
    """Return a value as one line without control characters; null is the empty text."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return safe(str(value), one_line=True)


def _is_numeric(cells: Iterable[str]) -> bool:
    filled = [c for c in cells if c]
    return bool(filled) and all(
        c.lstrip("-").rstrip("%").replace(",", "").replace(".", "", 1).isdigit() for c in filled
    )


def _plain_table(lines: Sequence[Sequence[str]], right: Sequence[bool]) -> Iterator[str]:
    widths = [max(len(line[i]) for line in lines) for i in range(len(right))]
    for line in lines:
        shown = (
            c.rjust(w) if is_number else c.ljust(w)
            for c, w, is_number in zip(line, widths, right, strict=True)
        )
        yield "  ".join(shown).rstrip()


def _rich_table(
    heads: Sequence[str],
    cells: Sequence[Sequence[str]],
    tones: Sequence[Sequence[str]],
    right: Sequence[bool],
) -> Iterator[str]:
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    whole = _whole_columns([heads, *cells])
    for name, is_number, is_whole in zip(heads, right, whole, strict=True):
        justify = "right" if is_number else "left"
        drawn.add_column(Text(name), justify=justify, no_wrap=is_whole, overflow="fold")  # type: ignore[arg-type]
    for row, row_tones in zip(cells, tones, strict=True):
        drawn.add_row(*(Text(c, _rich_style(t)) for c, t in zip(row, row_tones, strict=True)))
    out = _console()
    out.print(drawn)
    assert isinstance(out.file, io.StringIO)
    for line in out.file.getvalue().splitlines():
        yield line.rstrip()


def _whole_columns(lines: Sequence[Sequence[str]]) -> list[bool]:
    """Return which columns are not wrapped: those of one word, if the others keep enough room."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    one_word = [not any(" " in line[i] for line in lines) for i in range(len(lines[0]))]
    taken = sum(w if is_one else MIN_TEXT_WIDTH for w, is_one in zip(widths, one_word, strict=True))
    fits = taken + 2 * len(widths) <= width()
    return [is_one and fits for is_one in one_word]


def _rich_style(tone: str) -> str:
    style = TONES.get(tone, {})
    return " ".join([*(name for name in ("bold", "dim") if name in style), style.get("fg", "")])


def _console() -> Console:
    from rich.console import Console

    return Console(
        file=io.StringIO(),
        width=width(),
        force_terminal=True,
        color_system="standard" if wants_colour() else None,
        legacy_windows=False,
    )
