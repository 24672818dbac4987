"""Error messages as signatures: what stays the same when the same thing goes wrong elsewhere.

Decisions
- Numbers, addresses, paths, links, dates and quoted words give way to marks; what is left is the
  kind of trouble. Quoted words that name a type stay, for they are the kind of trouble.
- Only the line that says it counts: the last of a traceback, else the first.
- A signature is its own signature, so it may be normalised twice.
"""

from __future__ import annotations

import re

LONGEST = 160  # characters of a signature
_READ = 2_000  # characters of a message that are looked at
_KEPT = {
    "bool",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "function",
    "generator",
    "int",
    "list",
    "module",
    "nonetype",
    "object",
    "range",
    "set",
    "str",
    "tuple",
    "type",
}
_RULES = (
    (re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE), "<url>"),
    (re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.-]+"), "<email>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "<address>"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b(?=\w{0,40}\d)(?=\w{0,40}[A-Za-z])\w{16,}\b"), "<id>"),
    (re.compile(r"\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?(?:\.\d+)?Z?)?\b"), "<time>"),
    (re.compile(r"(?<![\w<])(?:[A-Za-z]:)?(?:[\w.~@+-]*[/\\])+[\w.~@+-]+"), "<path>"),
    (
        re.compile(
            r"\b[\w-]+\.(?:txt|csv|tsv|jsonl?|ya?ml|toml|xml|html?|py|log|dat|md|png|jpe?g|db)\b",
            re.IGNORECASE,
        ),
        "<path>",
    ),
    (re.compile(r"(?<![\w.])[-+]?\d[\d_,]*(?:\.\d+)?(?:e[-+]?\d+)?", re.IGNORECASE), "<n>"),
    (re.compile(r"\d+"), "<n>"),
    (re.compile(r"<n>(?:[\s,.:;+*/-]*<n>)+"), "<n>"),
)
_QUOTED = re.compile(
    r"(?<!\w)'((?:[^'\\\n]|\\.){0,400}?)'(?!\w)|\"((?:[^\"\\\n]|\\.){0,400}?)\"|`([^`\n]{0,400}?)`"
)
_TRACE = "Traceback (most recent call last)"


def signature(message: str | None) -> str:
    """Return what a message has in common with others of its kind; empty for none.

    At most `LONGEST` characters on one line, without digits. Never raises.
    """
    line, before = _telling(message or ""), None
    while line != before:  # what a mark leaves behind may be another quote; every round is shorter
        before, line = line, _normalised(line)
    return line


def _normalised(line: str) -> str:
    line = _QUOTED.sub(_word, line)
    for pattern, mark in _RULES:
        line = pattern.sub(mark, line)
    line = " ".join(line.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1].rstrip() + "…"


def _telling(message: str) -> str:
    """The line that says what happened."""
    lines = [line.strip() for line in message[-_READ:].split("\n") if line.strip()]
    if _TRACE in message and lines:
        return lines[-1]
    whole = [line.strip() for line in message[:_READ].split("\n") if line.strip()]
    return whole[0] if whole else ""


def _word(found: re.Match[str]) -> str:
    inner = next((group for group in found.groups() if group is not None), "")
    if inner.casefold() in _KEPT:
        return f"'{inner}'"
    return "''" if not inner else "<text>"
