"""Finds calls with their results in running text: doctests, code in fences, `f(5) returns 7`.

Decision: the result of a call in prose is looked for in what stands around it: the rest of its line
up to the next call, what precedes it on the line, and the next line where its own ends with it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from annoy_store.parsing.python_code import parse_expression, parse_module
from annoy_store.parsing.shown_calls import CallFinder, ShownCall, read_call, read_comments

MAX_CALLS = 500  # examined in one text
_MAX_CALL_CHARS = 4_000
_UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
_CALL = re.compile(r"(?<![\w.])(?:[A-Za-z_]\w*\.)*(?P<name>[A-Za-z_]\w*)\(")
_PROMPT = re.compile(r"[ \t]*(?:>>>|In \[\d+\]:)[ \t]?(?P<code>.*)")
_CONTINUED = re.compile(r"[ \t]*\.\.\.[ \t]?(?P<code>.*)")
_OUT = re.compile(r"^[ \t]*Out\[\d+\]:")
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n`]*\n(?P<code>.*?)^[ \t]*\1", re.M | re.S)
_OPEN, _CLOSE = "([{", ")]}"
_UNFINISHED = re.compile(r"(?:[:=>]|→)[\s`*]*$")
_EMPTY_LINE = re.compile(r"[\s`~>|*\-]*(?:[`~]{3}\w*\s*)?$")


@dataclass(frozen=True)
class ShownExamples:
    """What a question shows.

    Attributes:
        calls: The calls with known arguments.
        texts: Its prose: descriptions, docstrings, other strings of the code, comments.
    """

    calls: tuple[ShownCall, ...]
    texts: tuple[str, ...]


def find_examples(code: str, tree: ast.Module | None, *prose: str) -> ShownExamples:
    """Return the examples that stand in a question.

    Args:
        code: Its code.
        tree: The syntax tree of the code; None if it is not Python: then it is read as prose.
        *prose: Its descriptions.
    """
    finder, texts = CallFinder(), list(prose)
    if tree is None:
        texts.append(code)
    else:
        comments = read_comments(code)
        finder.read(tree, comments)
        texts += [*_strings(tree), *_comment_blocks(comments)]
    texts = list(dict.fromkeys(text for text in texts if text.strip()))
    calls = [*finder.found, *(call for text in texts for call in calls_in_text(text))]
    return ShownExamples(tuple(calls), tuple(texts))


def _strings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _comment_blocks(comments: dict[int, str]) -> Iterator[str]:
    """The comments of successive lines, together."""
    block: list[str] = []
    last = 0
    for line in sorted(comments):
        if block and line != last + 1:
            yield "\n".join(block)
            block = []
        block.append(comments[line])
        last = line
    yield "\n".join(block)


def calls_in_text(text: str) -> Iterator[ShownCall]:
    """Yield the calls that are written out in a text."""
    if "(" not in text:
        return
    yield from _session(text)
    for fence in _FENCE.finditer(text):
        finder = CallFinder()
        _read(finder, fence["code"])
        yield from finder.found
    yield from _prose_calls(text)


# Doctests ------------------------------------------------------------------------------------


def _session(text: str) -> Iterator[ShownCall]:
    """The calls of the interactive sessions in a text."""
    finder = CallFinder()
    for source, printed in _doctests(text.split("\n")):
        _read(finder, source, printed)
    yield from finder.found


def _read(finder: CallFinder, source: str, printed: str = "") -> None:
    try:
        tree = parse_module(source)
    except _UNREADABLE:
        return
    finder.read(tree, read_comments(source), printed)


def _doctests(lines: list[str]) -> Iterator[tuple[str, str]]:
    """The inputs of interactive sessions, each with what it printed."""
    source: list[str] = []
    printed: list[str] = []
    for line in [*lines, ""]:
        start, more = _PROMPT.match(line), _CONTINUED.match(line)
        if source and more and not printed:
            source.append(more["code"])
        elif start or not line.strip():
            if source:
                yield "\n".join(source), "\n".join(printed)
            source, printed = ([start["code"]] if start else []), []
        elif source:
            printed.append(_OUT.sub("", line).strip())


# Prose ---------------------------------------------------------------------------------------


def _prose_calls(text: str) -> Iterator[ShownCall]:
    starts = [found for found, _ in zip(_CALL.finditer(text), range(MAX_CALLS), strict=False)]
    previous = 0
    for found in starts:
        end = closing_bracket(text, found.end() - 1)
        if end is None:
            continue
        try:
            call = read_call(parse_expression(text[found.start() : end]), {})
        except _UNREADABLE:
            continue
        if call is not None:
            beside = text_beside(text, previous, found.start(), end)
            yield replace(call, text=beside, is_prose=True)
            previous = end


def closing_bracket(text: str, start: int) -> int | None:
    """Return the index after the bracket that closes the one at `start`; None if none does."""
    opened: list[str] = []
    at, limit = start, min(len(text), start + _MAX_CALL_CHARS)
    while at < limit:
        char = text[at]
        if char in "\"'":
            at = _string_end(text, at, limit)
        elif char in _OPEN:
            opened.append(_CLOSE[_OPEN.index(char)])
        elif char in _CLOSE and (not opened or opened.pop() != char):
            return None
        at += 1
        if not opened:
            return at
    return None


def _string_end(text: str, start: int, limit: int) -> int:
    """The index of the quote that closes the one at `start`; `start` for an apostrophe."""
    at = start + 1
    while at < limit and text[at] not in (text[start], "\n"):
        at += 2 if text[at] == "\\" else 1
    return at if at < limit and text[at] == text[start] else start


def text_beside(text: str, previous: int, start: int, end: int) -> str:
    """Return the text around a span in which the result of what stands there may be told.

    Args:
        text: The whole text.
        previous: Where the span before ends.
        start: Where the span begins.
        end: Where it ends.
    """
    before = text[max(previous, text.rfind("\n", 0, start) + 1) : start]
    stop = text.find("\n", end)
    stop = len(text) if stop < 0 else stop
    after = text[end:stop]
    if following := _CALL.search(after):
        after = after[: following.start()]
    elif not re.search(r"\w", after) or _UNFINISHED.search(after):
        after = "\n".join([after, *next_lines(text[stop:])])
    return f"{before}\n{after}"


def next_lines(rest: str) -> list[str]:
    """Return the next line with text in `rest`, after those that only announce it (`Output:`)."""
    found: list[str] = []
    for line in rest[:2_000].split("\n")[1:8]:
        if _EMPTY_LINE.match(line):
            continue
        found.append(line)
        if not _UNFINISHED.search(line):
            break
    return found
