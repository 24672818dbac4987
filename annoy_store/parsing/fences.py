"""Finds the fenced blocks of Markdown text.

Decisions. A fence ends at the first line that can close it, as in CommonMark, with one exception:
where this line stands inside a triple-quoted string of Python (a docstring that shows a fence), the
fence ends at the next line that can close it after the string, provided that the content then is
valid Python. So an unclosed docstring swallows nothing. Linear time: a triple quote that opens a
string for one fence closes it for the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from annoy_store.parsing.invisible import without_invisible
from annoy_store.parsing.python_code import mend_spaces, try_parse_module

MAX_FENCE_CHARS = 131_072  # content that is searched for the end of a string

_FENCE = re.compile(r"([ \t]*+)(`{3,}+|~{3,}+)[ \t]*+([^`\n]*+)$")
_QUOTE = re.compile(
    r"""#.*|"{3}|'{3}|"[^"\\]*+(?:\\.[^"\\]*+)*"?|'[^'\\]*+(?:\\.[^'\\]*+)*'?|\\."""
)


@dataclass(frozen=True)
class Fence:
    """One fenced block.

    Attributes:
        start: Index of the line that opens it.
        end: Index of the line that closes it; None if it is left open.
        language: First word of its info string in lower case, empty without one.
        content: The lines between, without the indentation of the opening line.
    """

    start: int
    end: int | None
    language: str
    content: tuple[str, ...]

    @property
    def text(self) -> str:
        """The content as one text, without blank lines around it."""
        return "\n".join(self.content).strip("\n")


def match_fence(line: str) -> re.Match[str] | None:
    """Return the match (indentation, marks, info string) of a line that can open a fence."""
    return _FENCE.match(without_invisible(line))


def find_fences(lines: Sequence[str]) -> Iterator[Fence]:
    """Yield the fences of a text in order; the last one may be left open.

    Args:
        lines: The lines of the text.
    """
    at = 0
    while at < len(lines):
        mark = match_fence(lines[at])
        if mark is None:
            at += 1
            continue
        end = _end(lines, at, mark)
        words = re.findall(r"[\w+#-]+", mark[3].lower())
        yield Fence(at, end, words[0] if words else "", _content(lines, at, end, mark))
        at = len(lines) if end is None else end + 1


def _content(
    lines: Sequence[str], start: int, end: int | None, mark: re.Match[str]
) -> tuple[str, ...]:
    indent = mark[1]
    return tuple(line.removeprefix(indent) for line in lines[start + 1 : end])


def _end(lines: Sequence[str], start: int, mark: re.Match[str]) -> int | None:
    """Return the index of the line that closes the fence that `mark` opens."""
    first: int | None = None
    quote, size = "", 0
    for n in range(start + 1, len(lines)):
        if _closes(lines[n], mark[2]):
            if not quote:
                valid = first is None or _is_python(_content(lines, start, n, mark))
                return n if valid else first
            first = n if first is None else first
        size += len(lines[n]) + 1
        if first is not None and size > MAX_FENCE_CHARS:
            break
        quote = _quote_after(lines[n], quote)
    return first


def _closes(line: str, fence: str) -> bool:
    mark = match_fence(line)
    return mark is not None and mark[2].startswith(fence) and not mark[3].strip()


def _quote_after(line: str, quote: str) -> str:
    """Return the triple quote of the Python string that is open after a line, or "".

    Args:
        line: A line of the code.
        quote: The triple quote that is open before it, or "".
    """
    if not quote and '"""' not in line and "'''" not in line:
        return ""
    at = 0
    while at < len(line):
        if quote:
            closed = re.compile(rf"(?:[^\\]|\\.)*?{quote}").match(line, at)
            if closed is None:
                return quote
            at, quote = closed.end(), ""
        else:
            found = _QUOTE.search(line, at)
            if found is None:
                return ""
            at = found.end()
            quote = found[0] if found[0] in ('"""', "'''") else ""
    return quote


def _is_python(content: Sequence[str]) -> bool:
    return try_parse_module(mend_spaces("\n".join(content))) is not None
