"""Rows of a query on stdout, one writer per format.

Decisions
- Every writer but the table streams. The table is for reading and ends after 1,000 rows.
- CSV is opened by spreadsheets, and printed: a text that begins like a formula gets a leading
  apostrophe, and control characters are replaced. JSON Lines keep the exact text.
- JSON has no infinities and no bytes: null, and hexadecimal digits. Repeated column names get a
  number.
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

from ._screen import cell
from ._shared import print_table, warn
from ._text import safe, safe_json

MAX_TABLE_ROWS = 1_000
_FORMULA = re.compile(
    r"(?!\s*[-+]?\d+(\.\d+)?\Z)\s*[=+\-@|%\uff1d\uff0b\uff0d\uff20]"
)  # numbers are none
Rows = Iterator[tuple[Any, ...]]


def write_table(columns: Sequence[str], rows: Rows) -> None:
    """Print at most `MAX_TABLE_ROWS` rows as an aligned table."""
    print_table(columns, itertools.islice(rows, MAX_TABLE_ROWS))
    if next(rows, None) is not None:
        warn(f"only the first {MAX_TABLE_ROWS:,} rows are shown; all of them: --format jsonl")


def write_jsonl(columns: Sequence[str], rows: Rows) -> None:
    """Print one JSON object per line."""
    names = distinct(columns)
    for row in rows:
        sys.stdout.write(f"{as_json(names, row)}\n")


def write_json(columns: Sequence[str], rows: Rows) -> None:
    """Print one JSON array with an object per row."""
    names = distinct(columns)
    prefix = "["
    for row in rows:
        sys.stdout.write(f"{prefix}{as_json(names, row)}")
        prefix = ",\n"
    click.echo("[]" if prefix == "[" else "]")


def write_csv(columns: Sequence[str], rows: Rows) -> None:
    """Print comma-separated values with a header; null is an empty cell."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(map(_inert, columns))
    writer.writerows(map(_inert, row) for row in rows)


def _inert(value: Any) -> Any:
    """Return a cell that neither a spreadsheet nor a terminal interprets."""
    if not isinstance(value, str):
        return _hex(value)
    return safe(f"'{value}" if _FORMULA.match(value) else value)


def write_markdown(columns: Sequence[str], rows: Rows) -> None:
    """Print a table in GitHub's Markdown."""
    click.echo(_markdown(columns))
    click.echo("|" + " --- |" * len(columns))
    for row in rows:
        sys.stdout.write(f"{_markdown(row)}\n")


def _markdown(row: Sequence[Any]) -> str:
    cells = (cell(v).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;") for v in row)
    return "| " + " | ".join(cells) + " |"


def as_json(names: Sequence[str], row: Sequence[Any]) -> str:
    """Return a row as one JSON object on one line."""
    values = dict(zip(names, map(_jsonable, row), strict=True))
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, default=str)
    return safe_json(text.encode("utf-8", "replace").decode())


def _jsonable(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return _hex(value)


def _hex(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def distinct(columns: Sequence[str]) -> list[str]:
    """Return the names of columns; a repeated name gets a numeric suffix."""
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
