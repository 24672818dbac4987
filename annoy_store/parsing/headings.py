"""Finds the sections of a transform answer by their headings.

Decisions
- The four names that the prompt asks for count with or without markup, also that of HTML or LaTeX. Similar names (`## Problem`,
  `## Main Solution`) count in headings only, and only for a section that is missing otherwise; of
  several the highest level counts.
- A section ends at the next heading of its level or a higher one, but not at headings that belong
  inside it, such as `## Input` and `## Output` in the description of both.
- Without a description of both, these two headings are it.
- A heading inside a fence is usually a comment. Only if a section is missing otherwise, a fence was
  left open or the whole answer is fenced: then `##` headings count wherever they are.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from annoy_store.parsing.fences import find_fences, match_fence
from annoy_store.parsing.invisible import without_invisible

MAIN, DESCRIPTION, GENERATOR, PROBLEM = SECTIONS = (
    "main_function",
    "input_output_description",
    "input_generator",
    "problem_statement",
)
MAX_HEADING_CHARS = 80

_FULL = {
    "main function": MAIN,
    "input output description": DESCRIPTION,
    "input generator": GENERATOR,
    "input generator function": GENERATOR,
    "problem statement": PROBLEM,
    "problem description": PROBLEM,
}
_ALONE = ("input", "output")  # headings that are part of the description
_SIMILAR = {
    MAIN: r"main|implementation|reference|(main |reference )?(function|solution)( function)?( main solution)?",
    DESCRIPTION: r"input|output|(description )?input output( \w+)?|description( input output)?",
    GENERATOR: (
        r"(random |test )?(case |input )?(data )?(generator|generation)( function| input)?"
        r"( input generator)?"
    ),
    PROBLEM: (
        r"(word )?problem|task|challenge|query|(problem |task )?(statement|question|definition|"
        r"description|formulation)"
    ),
}
_INSIDE = {
    DESCRIPTION: {
        *("input", "output", "format", "description", "argument", "parameter", "return", "value"),
        *("type", "constraint", "specification", "requirement", "range"),
    },
    PROBLEM: {
        *("background", "context", "scenario", "question", "task", "goal", "objective", "rule"),
        *("constraint", "definition", "setting", "input", "output", "format", "detail"),
    },
}
_FILLERS = {"the", "a", "of", "for", "and", "python", "section", "step", "part", "code"} | {
    *("continued", "ii", "iii", "iv", "final", "updated", "revised", "corrected", "rewritten"),
    *("refactored", "complete", "natural", "language"),
}
_DECORATION = " \t\r#*_:.)(0123456789`>[]【】"
_HTML_HEADING = re.compile(
    r"<h(?P<level>[1-6])(?:\s[^<>]*)?>(?P<text>.+?)(?:</h[1-6]>)?$", re.IGNORECASE
)
_HTML_BOLD = re.compile(r"</?(?:b|strong|summary|dt)(?:\s[^<>]*)?>", re.IGNORECASE)
_HTML_OTHER = re.compile(r"</?(?:details|a|p|div|u|em|i|span)(?:\s[^<>]*)?>", re.IGNORECASE)
_LATEX = re.compile(r"\\(?P<kind>(?:sub)*section|paragraph|textbf)\*?\{(?P<text>[^{}]*)\}:?$")
_RULED = re.compile(r"={2,}[ \t]*(?P<text>[^=]+?)[ \t]*={2,}$")
_LINK = re.compile(r"\[([^\[\]]+)\]\([^()]*\)")
_BULLET = re.compile(r"[-*+•][ \t]+(?=\*\*|__)")
_QUOTED = re.compile(r" {0,3}>[ \t]?")
_BOLD = re.compile(r"[\d.) \t]*(\*\*|__)[^*]+?\1[\s:.]*(?:\([^()]*\)[\s:.]*)?$")
_UNDERLINE = re.compile(r"[ \t]*(-{3,}|={3,})[ \t]*")
_ASIDE = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|<[^<>]*>")


@dataclass(frozen=True)
class _Heading:
    line: int
    level: int
    words: str  # normalised, as in _FULL
    marked: bool  # as a heading, or in bold

    @property
    def full(self) -> str | None:
        return _FULL.get(self.words)

    @property
    def similar(self) -> str | None:
        if not (self.level > 0 if self.words in _ALONE else self.marked):
            return None
        return next((n for n, form in _SIMILAR.items() if re.fullmatch(form, self.words)), None)


Bodies = dict[str, list[list[str]]]


def find_sections(lines: Sequence[str]) -> Bodies:
    """Return the bodies under each known heading, last one first.

    Args:
        lines: The lines of an answer, see `unquote`.
    """
    strict = _resolved(list(_headings(lines)))
    if {name for _, name in strict} >= set(SECTIONS):
        return _cut(lines, strict)
    candidates = (_heading(n, line) for n, line in enumerate(lines) if "##" in line[:6])
    lenient = _resolved([heading for heading in candidates if heading and heading.full])
    known = [len({name for _, name in found if name}) for found in (strict, lenient)]
    return _cut(lines, lenient if known[1] > known[0] else strict)


def unquote(lines: Sequence[str], levels: int = 3) -> list[str]:
    """Remove `>` from quoted passages that hold a heading of a section or a fence.

    Args:
        lines: The lines of an answer.
        levels: How many levels of quoting are removed at most.
    """
    if not levels:
        return list(lines)
    found: list[str] = []
    at = 0
    while at < len(lines):
        end = at
        while end < len(lines) and (_QUOTED.match(lines[end]) or not lines[end].strip()):
            end += 1
        plain = [_QUOTED.sub("", line, count=1) for line in lines[at:end]]
        quotes = any(match_fence(line) or _is_known(line) for line in plain)
        found += unquote(plain, levels - 1) if quotes else lines[at:end]
        found += lines[end : end + 1]
        at = end + 1
    return found


def _is_known(line: str) -> bool:
    heading = _heading(0, line)
    return heading is not None and bool(heading.full or heading.similar)


def _headings(lines: Sequence[str]) -> Iterator[_Heading]:
    """Yield the headings outside of fences."""
    at = 0
    for start, end in [*((f.start, f.end) for f in find_fences(lines)), (len(lines), None)]:
        for number in range(at, start):
            heading = _heading(number, lines[number])
            if heading and (heading.full or heading.similar or 0 < heading.level <= 6):
                yield heading
        at = len(lines) if end is None else end + 1


def _heading(number: int, line: str) -> _Heading | None:
    """Read a line as a heading; markup, numbering, additions in brackets and fillers are ignored."""
    if len(line) > MAX_HEADING_CHARS:
        return None
    text = _as_markdown(without_invisible(line).strip())
    level = len(text) - len(text.lstrip("#"))
    if level == 0 and not text.startswith(("*", "_")) and text.count(" ") > 6:
        return None
    marked = level > 0 or bool(_BOLD.fullmatch(text))
    return _Heading(number, level, _words(text, marked), marked)


def _as_markdown(text: str) -> str:
    """Return a line whose heading or bold text is marked in another language as Markdown has it."""
    if "<" in text:
        text = _HTML_BOLD.sub("**", _HTML_OTHER.sub("", text)).replace("****", "**").strip()
        if found := _HTML_HEADING.fullmatch(text):
            text = f"{'#' * int(found['level'])} {found['text']}"
    elif text.startswith("\\") and (found := _LATEX.match(text)):
        text = f"**{found['text']}**" if found["kind"] == "textbf" else f"## {found['text']}"
    elif found := _RULED.match(text):
        text = f"## {found['text']}"
    return _BULLET.sub("", _LINK.sub(r"\1", text) if "](" in text else text, count=1)


def _words(text: str, marked: bool) -> str:
    """Return the words of a heading in lower case, singular, parted by one space."""
    text = unicodedata.normalize("NFKC", text).lower().replace("i/o", "input output")
    if not marked:  # as the prompt names it, and no other words
        words = re.sub(r"[/&-]|\band\b", " ", text.strip(_DECORATION)).split()
        return " ".join(map(_singular, words))
    words = re.findall(r"[^\W\d_]+", _ASIDE.sub(" ", text))
    return " ".join(_singular(w) for w in words if len(w) > 1 and w not in _FILLERS)


def _singular(word: str) -> str:
    return word.removesuffix("s")


def _resolved(headings: Sequence[_Heading]) -> list[tuple[_Heading, str | None]]:
    """Return the headings with the sections that they begin, without those inside a section."""
    full = {heading.full for heading in headings}
    top: dict[str, int] = {}  # section that has no full name -> highest level of a similar one
    for heading in headings:
        if heading.similar and heading.similar not in full:
            level = heading.level or 7
            top[heading.similar] = min(level, top.get(heading.similar, level))
    found: list[tuple[_Heading, str | None]] = []
    current, depth = "", 0
    for heading in headings:
        level, similar = heading.level, heading.similar
        missing = similar if similar and (level or 7) == top.get(similar) else None
        inside = set(heading.words.split()) <= _INSIDE.get(current, set())
        repeated = heading.full == current and level > depth > 0
        if repeated or (inside and not heading.full and missing in (None, current)):
            continue
        name = heading.full or missing
        if name:
            current, depth = name, level
        elif 0 < level <= depth:
            current = ""
        found.append((heading, name))
    return found


def _cut(lines: Sequence[str], headings: Sequence[tuple[_Heading, str | None]]) -> Bodies:
    """Return the lines under each known heading, up to the next of the same or a higher level."""
    bodies: Bodies = {}
    end, ends = len(lines), dict[int, int]()  # level -> line of its next heading
    for heading, name in reversed(headings):
        if name:
            start = heading.line + (heading.words not in _ALONE)
            start += bool(_UNDERLINE.fullmatch("".join(lines[start : start + 1])))
            stop = min([end, *(line for level, line in ends.items() if level <= heading.level)])
            bodies.setdefault(name, []).append(list(lines[start:stop]))
            end, ends = heading.line, {}
        elif heading.level:
            ends[heading.level] = heading.line
    return bodies
