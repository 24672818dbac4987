"""Signatures of error messages: equal for messages that differ only in their details.

Decisions
- Numbers, addresses, paths, URLs, dates and quoted words are replaced by placeholders. Quoted names
  of types stay, because they are part of the error.
- Only the most significant line counts: the last of a traceback, else the first.
- The signature of a signature is itself.
"""

from __future__ import annotations

import re

MAX_CHARS = 160  # characters of a signature
_READ_CHARS = 2_000  # characters of a message that are read
_TYPE_NAMES = {
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
    """Return the signature of an error message: one line without digits; '' for no message.

    Args:
        message: The message, or a whole traceback.

    Returns:
        At most `MAX_CHARS` characters.
    """
    line, before = _significant_line(message or ""), None
    while line != before:  # a replacement may leave another quote; each round is shorter
        before, line = line, _normalised(line)
    return line


def _normalised(line: str) -> str:
    line = _QUOTED.sub(_replace_quoted, line)
    for pattern, mark in _RULES:
        line = pattern.sub(mark, line)
    line = " ".join(line.split())
    return line if len(line) <= MAX_CHARS else line[: MAX_CHARS - 1].rstrip() + "…"


def _significant_line(message: str) -> str:
    """Return the last line of a traceback, else the first line."""
    lines = [line.strip() for line in message[-_READ_CHARS:].split("\n") if line.strip()]
    if _TRACE in message and lines:
        return lines[-1]
    whole = [line.strip() for line in message[:_READ_CHARS].split("\n") if line.strip()]
    return whole[0] if whole else ""


def _replace_quoted(found: re.Match[str]) -> str:
    inner = next((group for group in found.groups() if group is not None), "")
    if inner.casefold() in _TYPE_NAMES:
        return f"'{inner}'"
    return "''" if not inner else "<text>"
