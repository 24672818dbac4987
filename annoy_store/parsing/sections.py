"""Extracts the four sections from the answer to a transform prompt.

Decisions. The parser is tolerant of form and strict about content; it executes nothing and never
raises. Each failure has its own reason, so that failures can be counted. Code is checked by
`ast.parse` of the running Python, so whether it is valid may depend on that version.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from annoy_store.hashing import clean_text
from annoy_store.parsing.fences import find_fences, match_fence
from annoy_store.parsing.headings import (
    DESCRIPTION,
    GENERATOR,
    MAIN,
    PROBLEM,
    Bodies,
    find_sections,
    unquote,
)
from annoy_store.parsing.program import join_blocks
from annoy_store.parsing.python_code import UNPARSABLE, bindings, parse_module, try_parse_module

VERSION = 3  # part of the variants of `parse` and of the tasks: raise it when results change

MAX_CODE_CHARS = 131_072

MAX_DETAIL = 200  # characters of what the teacher says about it
_NO_FUNCTION = re.compile(r"^[^\w\n]{0,8}no suitable function\b", re.IGNORECASE | re.MULTILINE)
_WRAPPED = re.compile(  # a section in a tag of its own, which is no part of the text
    r"<(?P<tag>(?:[a-z]+_)*(?:description|problem|statement|requirements?|io|text|section))>"
    r"(?P<inside>(?:(?!</?(?P=tag)>).)*)</(?P=tag)>",
    re.IGNORECASE | re.DOTALL,
)


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


def parse_sections(text: str) -> ParsedSample | ParseFailure:
    """Return the sample that a transform answer describes, or the first failure found.

    Args:
        text: The answer of a teacher.

    Returns:
        The sample, or a failure with one of the reasons `empty`, `no_function` (the teacher says
        that no function is suitable), `section_missing:SECTION`, `no_fence:SECTION`,
        `too_long:SECTION`, `syntax_error:SECTION`, `name_missing:FUNCTION` and `async:FUNCTION`.
    """
    if not text.strip():
        return ParseFailure("empty")
    lines = unquote(clean_text(text).replace("\r\n", "\n").split("\n"))
    bodies = find_sections(lines)
    main = _code(bodies, MAIN, "main_solution")
    if isinstance(main, ParseFailure) and main.reason.startswith(("section_missing", "no_fence")):
        said = _NO_FUNCTION.search(text := "\n".join(lines))
        if said is None:
            return main
        return ParseFailure("no_function", " ".join(text[said.start() :].split())[:MAX_DETAIL])
    io = _prose(bodies, DESCRIPTION)
    generator = _code(bodies, GENERATOR, "input_generator")
    problem = _prose(bodies, PROBLEM)
    for part in (main, io, generator, problem):
        if isinstance(part, ParseFailure):
            return part
    return ParsedSample(str(main), str(io), str(generator), str(problem))


def _prose(bodies: Bodies, name: str) -> str | ParseFailure:
    """Return the last non-blank text under a heading."""
    for body in bodies.get(name, ()):
        text = "\n".join(_unfenced(body)).strip()
        if wrapped := _WRAPPED.fullmatch(text):
            text = wrapped["inside"].strip()
        if text:
            return text
    return ParseFailure(f"section_missing:{name}")


def _unfenced(body: list[str]) -> list[str]:
    """Remove a fence around the whole body, and one that closes what was opened before it."""
    kept = [n for n, line in enumerate(body) if line.strip()]
    if not kept:
        return []
    marks = [n for n in kept if match_fence(body[n])]
    if len(marks) == 2 and marks == [kept[0], kept[-1]]:
        return body[marks[0] + 1 : marks[1]]
    return body[: marks[-1]] if len(marks) % 2 and marks[-1] == kept[-1] else body


def _code(bodies: Bodies, name: str, function: str) -> str | ParseFailure:
    """Return the fenced code under a heading, which must be Python and define `function`.

    Of several versions under such headings the last one counts that defines the function, together
    with what it lacks of the earlier ones.
    """
    if name not in bodies:
        return ParseFailure(f"section_missing:{name}")
    fences = [list(find_fences(body)) for body in bodies[name]]
    codes = {n: code for n, part in enumerate(fences) if (code := join_blocks(part, function))}
    if not codes:
        return ParseFailure(f"no_fence:{name}")
    last = next((n for n, code in codes.items() if _seems_to_define(code, function)), min(codes))
    failure = _code_failure(name, codes[last], function)
    if failure or last == max(codes):
        return failure or codes[last]
    code = join_blocks([fence for part in reversed(fences[last:]) for fence in part], function)
    return _code_failure(name, str(code), function) or str(code)


def _seems_to_define(code: str, function: str) -> bool:
    if f"def {function}" in code:
        return True
    tree = try_parse_module(code) if function in code else None
    return tree is not None and function in dict(bindings(tree))


def _code_failure(name: str, code: str, function: str) -> ParseFailure | None:
    if len(code) > MAX_CODE_CHARS:
        return ParseFailure(f"too_long:{name}", f"{len(code)} characters")
    try:
        tree = parse_module(code)
    except SyntaxError as error:
        return ParseFailure(f"syntax_error:{name}", f"{error.msg} (line {error.lineno})"[:200])
    except UNPARSABLE as error:
        return ParseFailure(f"syntax_error:{name}", f"{type(error).__name__}: {error}"[:200])
    definition = dict(bindings(tree)).get(function)
    if isinstance(definition, ast.AsyncFunctionDef):
        return ParseFailure(f"async:{function}")
    return None if definition else ParseFailure(f"name_missing:{function}")
