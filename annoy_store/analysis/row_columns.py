"""Which columns of a row are texts, which are hidden, and which summarise it in one line.

`annoy show` and the web pages present rows by the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TEXT_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "source": ("content",),
    "response": ("reasoning", "text"),
    "teacher": (),
    "sample": ("problem_statement", "io_requirements", "refcode", "input_generator"),
    "io_pair": ("input", "output"),
    "verdict": ("predicted", "got", "feedback"),
    "execution": ("error_message",),
    "prompt": ("messages",),
}
"""Columns that are shown as blocks of text, by kind of row."""

PROSE_COLUMNS = {"text", "feedback", "problem_statement", "io_requirements", "reasoning"}
HIDDEN_COLUMNS = {"id", "template_digest"}
SUMMARY_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "origin": ("repo", "path"),
    "source": ("language", "n_chars"),
    "turn": ("kind", "number"),
    "prompt": ("template", "n_chars"),
    "teacher": ("backend", "model"),
    "call": ("sample_no",),
    "response": ("finish_reason", "n_chars"),
    "sample": ("funcname",),
    "execution": ("purpose", "outcome", "error_type"),
    "io_pair": ("position", "input", "output"),
    "pair_check": ("status",),
    "verdict": ("status", "mismatch"),
    "export": ("format",),
    "export_row": ("export_id", "split"),
}
"""Columns that summarise a row in one line, by kind of row."""

_LANGUAGES = {
    "refcode": "python",
    "input_generator": "python",
    "input": "json",
    "output": "json",
    "predicted": "json",
    "got": "json",
}


def visible_facts(kind: str, row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the short columns of a row that have a value, as (name, value).

    Args:
        kind: Kind of the row, as in `lineage_edges.KINDS`.
        row: Values by column name.
    """
    excluded = HIDDEN_COLUMNS.union(TEXT_COLUMNS.get(kind, ()))
    return [
        (name, value)
        for name, value in row.items()
        if name not in excluded and value not in (None, "", "{}")
    ]


def language_of(column: str, row: Mapping[str, Any]) -> str:
    """Return the language of a text column, as Pygments and Markdown name it; '' if unknown."""
    return _LANGUAGES.get(column) or str(row.get("language", ""))
