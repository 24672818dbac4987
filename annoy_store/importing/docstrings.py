"""Docstrings without the examples of doctest, which show answers."""

from __future__ import annotations

import ast
import re

from annoy_store import literals

_EXAMPLE = re.compile(r"(?m)^[ \t]*>>>.*(?:\n(?![ \t]*$).*)*")  # up to a blank line
_HEADING = re.compile(
    r"(?im)^[ \t]*(?:examples?|doctests?|tests?):{0,2}[ \t]*(?:\n[ \t]*[-=~]{3,}[ \t]*)?$"
)
_MANY_BLANKS = re.compile(r"\n(?:[ \t]*\n){2,}")


def prose(docstring: str) -> str:
    """Return a docstring without its examples and the headings above them."""
    if not _EXAMPLE.search(docstring):
        return docstring
    words = _HEADING.sub("", _EXAMPLE.sub("", docstring))
    words = _MANY_BLANKS.sub("\n\n", words).rstrip()
    end = re.search(r"\n[ \t]*\Z", docstring)
    return words + end[0] if words and end else words


def written(value: str) -> str:
    """Return the literal of `value`, as docstrings are written if it can be."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    raw = f'r"""{value}"""' if "\\" in value else f'"""{value}"""'
    for literal in (raw, f'"""{escaped}"""'):
        try:
            if ast.literal_eval(literals.tree(literal, "eval")) == value:
                return literal
        except (SyntaxError, ValueError):
            continue
    return repr(value)
