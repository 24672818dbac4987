"""Rows of a question on their way to stdout, one writer per format.

Decisions
- Every writer but the table streams. The table is for eyes and ends after 1,000 rows.
- A CSV file is opened by spreadsheets, and printed: a text that begins like a formula gets an
  apostrophe in front, and signs that a terminal obeys are shown. To the letter: jsonl.
- JSON has no infinities and no bytes: null, and hexadecimal digits. A second column of the same
  name gets a number.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from ._shared import cell, print_table, warn
from ._text import safe, safe_json

MAX_TABLE_ROWS = 1_000
_FORMULA = re.compile(
    r"(?!\s*[-+]?\d+(\.\d+)?\Z)\s*[=+\-@|%\uff1d\uff0b\uff0d\uff20]"
)  # numbers are none
Rows = Iterator[tuple[Any, ...]]


def write_table(columns: Sequence[str], rows: Rows) -> None:
    """An aligned table, drawn on a terminal."""
    print_table(columns, itertools.islice(rows, MAX_TABLE_ROWS))
    if next(rows, None) is not None:
        warn(f"only the first {MAX_TABLE_ROWS:,} rows are shown; all of them: --format jsonl")


def write_jsonl(columns: Sequence[str], rows: Rows) -> None:
    """One JSON object per line."""
    names = distinct(columns)
    for row in rows:
        sys.stdout.write(f"{as_json(names, row)}\n")


def write_json(columns: Sequence[str], rows: Rows) -> None:
    """One JSON array with an object per row."""
    names = distinct(columns)
    lead = "["
    for row in rows:
        sys.stdout.write(f"{lead}{as_json(names, row)}")
        lead = ",\n"
    click.echo("[]" if lead == "[" else "]")


def write_csv(columns: Sequence[str], rows: Rows) -> None:
    """Comma-separated values with a header; null is an empty cell."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(map(_inert, columns))
    writer.writerows(map(_inert, row) for row in rows)


def _inert(value: Any) -> Any:
    """A cell that neither a spreadsheet nor a terminal takes for a command."""
    if not isinstance(value, str):
        return _hexed(value)
    return safe(f"'{value}" if _FORMULA.match(value) else value)


def write_markdown(columns: Sequence[str], rows: Rows) -> None:
    """A table as GitHub shows it."""
    click.echo(_markdown(columns))
    click.echo("|" + " --- |" * len(columns))
    for row in rows:
        sys.stdout.write(f"{_markdown(row)}\n")


def _markdown(row: Sequence[Any]) -> str:
    cells = (cell(v).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;") for v in row)
    return "| " + " | ".join(cells) + " |"


def as_json(names: Sequence[str], row: Sequence[Any]) -> str:
    """A row as one JSON object on one line."""
    values = dict(zip(names, map(_jsonable, row), strict=True))
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, default=str)
    return safe_json(text.encode("utf-8", "replace").decode())


def _jsonable(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return _hexed(value)


def _hexed(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def distinct(columns: Sequence[str]) -> list[str]:
    """The names of columns, a repeated one with its number behind it."""
    seen: Counter[str] = Counter()
    names = []
    for name in columns:
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return names


WRITERS: dict[str, Callable[[Sequence[str], Rows], None]] = {
    "table": write_table,
    "json": write_json,
    "jsonl": write_jsonl,
    "csv": write_csv,
    "markdown": write_markdown,
}
