"""Read raw code from files and folders in common formats as a stream of rows.

`read_raw` yields one RawRow per row or code file, and a Refusal for each that is invalid.

Decisions
- The file name's ending tells whether it is a data file (record_files.py), compressed or not; any
  other file is one source by itself.
- A folder is walked in order of names. Hidden and cache folders and symbolic links are skipped: a
  downloaded repository must not point at files of this machine.
"""

from __future__ import annotations

import fnmatch
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, NamedTuple

from annoy_store.errors import UsageError
from annoy_store.ingest.record_files import (
    COMPRESSIONS,
    FORMATS,
    MAX_VALUE_BYTES,
    READ_ERRORS,
    Location,
    RecordOrRefusal,
    Refusal,
    json_lines,
)

MAX_ROWS_WITHOUT_COLUMN = 1_000  # rows without the content column until a file is given up
DEFAULT_GLOB = "*.py"
STDIN = Path("-")
SKIPPED_FOLDERS = {"__pycache__", "node_modules"}
ATTRIBUTE_FIELDS = {
    "path": ("path", "file_path", "filepath", "filename", "max_stars_repo_path"),
    "repo": ("repo", "repo_name", "repository", "repository_name", "max_stars_repo_name"),
    "licence": ("licence", "license", "licenses", "detected_licenses", "max_stars_repo_licenses"),
    "language": ("language", "lang", "programming_language"),
}


class RawRow(NamedTuple):
    """One row of raw code.

    Attributes:
        content: The value of the content column; text unless the row is invalid.
        location: File and line it was read from.
        attributes: What the row says about itself: `path`, `repo`, `licence`, `language`.
        other_fields: All other fields of the row.
    """

    content: Any
    location: Location
    attributes: Mapping[str, Any] = MappingProxyType({})
    other_fields: Mapping[str, Any] = MappingProxyType({})

    def attribute(self, key: str) -> str:
        """Return an attribute as text; lists are joined by commas, a missing one is empty."""
        value = self.attributes.get(key)
        if isinstance(value, list):
            return ", ".join(str(v) for v in value)
        return "" if value is None else str(value)


def read_raw(
    path: Path,
    column: str = "content",
    globs: tuple[str, ...] = (),
    max_bytes: int = MAX_VALUE_BYTES,
) -> Iterator[RawRow | Refusal]:
    """Yield every row of a file, or of the files of a folder whose names match a glob.

    Args:
        path: A file, a folder, or `-` for JSON lines on standard input.
        column: Field of a row that holds the code.
        globs: Patterns of file names to read from a folder; empty means `*.py`.
        max_bytes: Code files above this size, in bytes, are refused without reading them.

    Yields:
        Rows and refusals, in the order of the files.

    Raises:
        UsageError: There is nothing at `path`.
    """
    if path == STDIN:
        return _rows(json_lines(sys.stdin.buffer, "stdin"), column, "stdin")
    if not path.exists():
        raise UsageError(f"{path}: there is no such file or folder")
    if path.is_dir():
        return _read_folder(path, column, globs or (DEFAULT_GLOB,), max_bytes)
    return _read_file(path, path.name, column, max_bytes)


# Folders and files ---------------------------------------------------------------------------


def _read_folder(
    folder: Path, column: str, globs: tuple[str, ...], max_bytes: int
) -> Iterator[RawRow | Refusal]:
    others: Counter[str] = Counter()
    matched = False
    for path in walk_files(folder):
        name = path.relative_to(folder).as_posix()
        if any(fnmatch.fnmatchcase(name, glob) for glob in globs):
            matched = True
            yield from _read_file(path, name, column, max_bytes)
        else:
            others[path.suffix or path.name] += 1
    if not matched:
        there = ", ".join(f"{n} {suffix}" for suffix, n in others.most_common(5)) or "nothing"
        wanted = " or ".join(globs)
        detail = f"no file matches {wanted} (there is {there}); choose with --glob"
        yield Refusal("no_match", Location(str(folder)), detail, fatal=True)


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield every regular file below `folder` in order of names, without hidden and cache folders."""
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(
            f for f in folders if not f.startswith(".") and f not in SKIPPED_FOLDERS
        )
        for name in sorted(files):
            path = Path(here, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _read_file(path: Path, name: str, column: str, max_bytes: int) -> Iterator[RawRow | Refusal]:
    compression, kind = split_name(name)
    try:
        with _open(path, compression) as stream:
            if kind in FORMATS:
                yield from _rows(FORMATS[kind](stream, name), column, name)
            else:
                yield _code(stream, name, max_bytes)
    except READ_ERRORS as error:
        detail = f"cannot be read to its end: {error or type(error).__name__}"
        yield Refusal("broken_file", Location(name), detail, fatal=True)


def split_name(name: str) -> tuple[str, str]:
    """Return (compression, format) by the endings of a file name, each empty when it is unknown."""
    parts = name.lower().rsplit("/", 1)[-1].split(".")
    packing = parts.pop() if parts[-1] in COMPRESSIONS else ""
    return packing, parts[-1] if len(parts) > 1 else ""


def _open(path: Path, compression: str) -> IO[bytes]:
    opened: IO[bytes] = COMPRESSIONS[compression](path) if compression else path.open("rb")
    return opened


def _code(stream: IO[bytes], name: str, max_bytes: int) -> RawRow | Refusal:
    """Read a whole file as one source; a byte order mark is part of the encoding and dropped."""
    location = Location(name)
    data = stream.read(max_bytes + 4)
    if len(data) > max_bytes + 3:
        return Refusal("too_large", location, f"more than max_source_bytes ({max_bytes:,})")
    if b"\0" in data:
        return Refusal("binary", location, "it is binary, not text")
    try:
        return RawRow(data.decode("utf-8-sig"), location, {"path": name})
    except UnicodeDecodeError as error:
        return Refusal("not_utf8", location, f"not UTF-8 at byte {error.start}")


# Rows ----------------------------------------------------------------------------------------


def _rows(items: Iterable[RecordOrRefusal], column: str, name: str) -> Iterator[RawRow | Refusal]:
    """Yield rows as RawRow; a file in which no row has the content column is given up."""
    held: list[Refusal] = []  # rows without the column, until one with it comes
    found, empty = False, True
    for item in items:
        row = item if isinstance(item, Refusal) else raw_row(*item, column)
        empty = False
        if isinstance(row, RawRow):
            found = True
            yield from held
            held.clear()
        elif row.reason == "no_column" and not found:
            held.append(row)
            if len(held) == MAX_ROWS_WITHOUT_COLUMN:
                break
            continue
        yield row
    if held:
        yield replace(held[0], location=Location(name), fatal=True)
    elif empty:
        yield Refusal("empty", Location(name), "there is nothing in it")


def raw_row(location: Location, row: Any, column: str) -> RawRow | Refusal:
    """Return a decoded row as RawRow, or why it holds no raw code.

    Args:
        location: File and line of the row.
        row: The decoded row.
        column: Field that holds the code.
    """
    if not isinstance(row, dict):
        return Refusal(
            "not_object", location, f"a row is a JSON object, this is {type(row).__name__}"
        )
    if column not in row:
        there = ", ".join(map(str, row)) or "none"
        detail = f"there is no column {column!r}; choose one with --column: {there}"
        return Refusal("no_column", location, detail)
    columns, rest = _attribute_columns(tuple(row), column)
    content = row[column]
    if isinstance(content, bytes):
        try:
            content = content.decode()
        except UnicodeDecodeError as error:
            return Refusal("not_utf8", location, f"not UTF-8 at byte {error.start}")
    about = {key: row[name] for key, name in columns}
    return RawRow(content, location, about, {name: row[name] for name in rest})


@lru_cache(maxsize=64)
def _attribute_columns(
    names: tuple[str, ...], column: str
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Return the columns that hold attributes, and the others; cached, as rows repeat their keys."""
    columns = {
        key: next((n for n in known if n in names and n != column), "")
        for key, known in ATTRIBUTE_FIELDS.items()
    }
    rest = (name for name in names if name != column and name not in columns.values())
    return tuple((key, name) for key, name in columns.items() if name), tuple(rest)
