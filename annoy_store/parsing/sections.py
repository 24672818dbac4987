"""Extracts the four sections from the answer to a transform prompt.

Decisions. The parser is tolerant of form and strict about content; it executes nothing and never
raises. Each failure has its own reason, so that failures can be counted. Code is checked by
`ast.parse` of the running Python, so whether it is valid may depend on that version.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from annoy_store.hashing import clean_text
from annoy_store.parsing.python_code import parse_module

VERSION = 1  # part of the variants of `parse` and of the tasks: raise it when results change

MAX_CODE_CHARS = 131_072

SECTIONS = ("main_function", "input_output_description", "input_generator", "problem_statement")
_HEADINGS = {
    "main function": "main_function",
    "main functions": "main_function",
    "input output description": "input_output_description",
    "input output descriptions": "input_output_description",
    "input generator": "input_generator",
    "input generator function": "input_generator",
    "problem statement": "problem_statement",
    "problem description": "problem_statement",
}
_DECORATION = " \t\r#*_:.)(0123456789"
_FENCE = re.compile(r"([ \t]*+)(`{3,}+|~{3,}+)[ \t]*+([^`\n]*+)$")
_NO_FUNCTION = re.compile(r"^[^\w\n]{0,8}no suitable function\b", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class ParsedSample:
    """The four sections; both pieces of code are valid Python and define the required names."""

    refcode: str
    io_requirements: str
    input_generator: str
    problem_statement: str


@dataclass(frozen=True)
class ParseFailure:
    """Why a text holds no sample: a countable reason, and maybe more detail."""

    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason} {self.detail}".rstrip()


# Sections ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Heading:
    line: int
    level: int
    name: str | None


def parse_sections(text: str) -> ParsedSample | ParseFailure:
    """Return the sample that a transform answer describes, or the first failure found.

    Args:
        text: The answer of a teacher.

    Returns:
        The sample, or a failure with one of the reasons `empty`, `no_function` (the teacher says
        that no function is suitable), `section_missing:SECTION`, `no_fence:SECTION`,
        `too_long:SECTION`, `syntax_error:SECTION` and `name_missing:FUNCTION`.
    """
    if not text.strip():
        return ParseFailure("empty")
    lines = clean_text(text).replace("\r\n", "\n").split("\n")
    bodies = _bodies(lines)
    main = _code(bodies, "main_function", "main_solution")
    if isinstance(main, ParseFailure) and main.reason.startswith(("section_missing", "no_fence")):
        return ParseFailure("no_function") if _NO_FUNCTION.search("\n".join(lines)) else main
    io = _prose(bodies, "input_output_description")
    generator = _code(bodies, "input_generator", "input_generator")
    problem = _prose(bodies, "problem_statement")
    for part in (main, io, generator, problem):
        if isinstance(part, ParseFailure):
            return part
    return ParsedSample(str(main), str(io), str(generator), str(problem))


def _bodies(lines: Sequence[str]) -> dict[str, list[list[str]]]:
    """Return the bodies under each known heading, last one first.

    A heading inside a fence is usually a comment. Only if a section is missing otherwise, a fence
    was left open or the whole answer is fenced: then `##` headings count wherever they are.
    """
    strict = list(_headings(lines))
    if {heading.name for heading in strict} >= set(SECTIONS):
        return _cut(lines, strict)
    lenient = [
        _Heading(n, 2, _section_name(line)) for n, line in enumerate(lines) if "##" in line[:6]
    ]
    lenient = [heading for heading in lenient if heading.name]
    known = [len({h.name for h in found if h.name}) for found in (strict, lenient)]
    return _cut(lines, lenient if known[1] > known[0] else strict)


def _headings(lines: Sequence[str]) -> Iterator[_Heading]:
    """Yield the headings outside of fences."""
    fence = ""
    for number, line in enumerate(lines):
        mark = _FENCE.match(line)
        if fence:
            fence = "" if _closes(mark, fence) else fence
        elif mark:
            fence = mark[2]
        else:
            name, level = _section_name(line), len(line) - len(line.lstrip("#"))
            if name or 0 < level <= 6:
                yield _Heading(number, level, name)


def _section_name(line: str) -> str | None:
    """Return the section that a line is the heading of; markup and numbering are ignored."""
    if len(line) > 80:
        return None
    words = re.sub(r"[/&-]|\band\b", " ", line.strip(_DECORATION).lower())
    return _HEADINGS.get(" ".join(words.split()))


def _closes(mark: re.Match[str] | None, fence: str) -> bool:
    return mark is not None and mark[2].startswith(fence) and not mark[3].strip()


def _cut(lines: Sequence[str], headings: Sequence[_Heading]) -> dict[str, list[list[str]]]:
    """Return the lines under each known heading, up to the next of the same or a higher level."""
    bodies: dict[str, list[list[str]]] = {}
    end, ends = len(lines), dict[int, int]()  # level -> line of its next heading
    for heading in reversed(headings):
        if heading.name:
            body = lines[heading.line + 1 : min([end, *_lines_up_to(ends, heading.level)])]
            bodies.setdefault(heading.name, []).append(list(body))
            end, ends = heading.line, {}
        elif heading.level:
            ends[heading.level] = heading.line
    return bodies


def _lines_up_to(ends: dict[int, int], level: int) -> list[int]:
    return [line for rank, line in ends.items() if rank <= level]


def _prose(bodies: dict[str, list[list[str]]], name: str) -> str | ParseFailure:
    """Return the last non-blank text under a heading."""
    for body in bodies.get(name, ()):
        text = "\n".join(_unfenced(body)).strip()
        if text:
            return text
    return ParseFailure(f"section_missing:{name}")


def _unfenced(body: list[str]) -> list[str]:
    """Remove a fence around the whole body, and one that closes what was opened before it."""
    kept = [n for n, line in enumerate(body) if line.strip()]
    if not kept:
        return []
    marks = [n for n in kept if _FENCE.match(body[n])]
    if len(marks) == 2 and marks == [kept[0], kept[-1]]:
        return body[marks[0] + 1 : marks[1]]
    return body[: marks[-1]] if len(marks) % 2 and marks[-1] == kept[-1] else body


def _code(bodies: dict[str, list[list[str]]], name: str, function: str) -> str | ParseFailure:
    """Return the fenced code under a heading, which must be Python and define `function`."""
    if name not in bodies:
        return ParseFailure(f"section_missing:{name}")
    blocks = [block for body in bodies[name] for block in _blocks(body) if block.strip()]
    if not blocks:
        return ParseFailure(f"no_fence:{name}")
    code = next((block for block in blocks if f"def {function}" in block), blocks[0])
    return _code_failure(name, code, function) or code


def _blocks(body: Sequence[str]) -> Iterator[str]:
    """Yield the content of each fence; the last one may be left open."""
    opened: re.Match[str] | None = None
    held: list[str] = []
    for line in body:
        mark = _FENCE.match(line)
        if opened is None:
            opened, held = mark, []
        elif _closes(mark, opened[2]):
            yield "\n".join(held).strip("\n")
            opened = None
        else:
            indent = opened[1]
            held.append(line[len(indent) :] if indent and line.startswith(indent) else line)
    if opened is not None:
        yield "\n".join(held).strip("\n")


def _code_failure(name: str, code: str, function: str) -> ParseFailure | None:
    if len(code) > MAX_CODE_CHARS:
        return ParseFailure(f"too_long:{name}", f"{len(code)} characters")
    try:
        tree = parse_module(code)
    except SyntaxError as error:
        return ParseFailure(f"syntax_error:{name}", f"{error.msg} (line {error.lineno})"[:200])
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return ParseFailure(f"syntax_error:{name}", f"{type(error).__name__}: {error}"[:200])
    return None if _defines(tree, function) else ParseFailure(f"name_missing:{function}")


def _defines(tree: ast.AST, function: str) -> bool:
    """Return whether a module defines `function` at its top level, or assigns it there."""
    for node in getattr(tree, "body", ()):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return True
        if isinstance(node, ast.Assign) and function in {
            target.id for target in node.targets if isinstance(target, ast.Name)
        }:
            return True
    return False
