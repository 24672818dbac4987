"""Files of raw code, in the formats that people keep them in, as a stream of rows.

`read` gives one Raw per row or code file, and a Bad for each that cannot be one.

Decisions
- The name's ending tells whether it is a data file (record_files.py), packed or not; any other file
  is one source by itself.
- A folder is walked in order of names. Hidden and cache folders and symbolic links are left out:
  a downloaded repository may not point at files of this machine.
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

MAX_ROWS_WITHOUT_COLUMN = 1_000  # rows without the wanted column before the file is given up
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
    """One row: its content, what it says about itself under our names, and the rest."""

    content: Any
    location: Location
    attributes: Mapping[str, Any] = MappingProxyType({})
    other_fields: Mapping[str, Any] = MappingProxyType({})

    def attribute(self, key: str) -> str:
        """What the row says about `key`, or nothing."""
        value = self.attributes.get(key)
        if isinstance(value, list):
            return ", ".join(str(v) for v in value)
        return "" if value is None else str(value)


def read_raw(
    path: Path, column: str = "content", globs: tuple[str, ...] = (), largest: int = MAX_VALUE_BYTES
) -> Iterator[RawRow | Refusal]:
    """Yield every row of a file, or of the files of a folder whose names match a glob.

    `largest` is the size in bytes above which a code file is refused without reading it.
    Raises UsageError when there is nothing at `path`.
    """
    if path == STDIN:
        return _rows(json_lines(sys.stdin.buffer, "stdin"), column, "stdin")
    if not path.exists():
        raise UsageError(f"{path}: there is no such file or folder")
    if path.is_dir():
        return _read_folder(path, column, globs or (DEFAULT_GLOB,), largest)
    return _read_file(path, path.name, column, largest)


# Folders and files ---------------------------------------------------------------------------


def _read_folder(
    folder: Path, column: str, globs: tuple[str, ...], largest: int
) -> Iterator[RawRow | Refusal]:
    others: Counter[str] = Counter()
    matched = False
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        if any(fnmatch.fnmatchcase(name, glob) for glob in globs):
            matched = True
            yield from _read_file(path, name, column, largest)
        else:
            others[path.suffix or path.name] += 1
    if not matched:
        there = ", ".join(f"{n} {suffix}" for suffix, n in others.most_common(5)) or "nothing"
        wanted = " or ".join(globs)
        detail = f"no file matches {wanted} (there is {there}); choose with --glob"
        yield Refusal("no_match", Location(str(folder)), detail, fatal=True)


def _walk(folder: Path) -> Iterator[Path]:
    """Every ordinary file below `folder`, in order of names."""
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(
            f for f in folders if not f.startswith(".") and f not in SKIPPED_FOLDERS
        )
        for name in sorted(files):
            path = Path(here, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _read_file(path: Path, name: str, column: str, largest: int) -> Iterator[RawRow | Refusal]:
    packing, kind = _kind(name)
    try:
        with _open(path, packing) as stream:
            if kind in FORMATS:
                yield from _rows(FORMATS[kind](stream, name), column, name)
            else:
                yield _code(stream, name, largest)
    except READ_ERRORS as error:
        detail = f"cannot be read to its end: {error or type(error).__name__}"
        yield Refusal("broken_file", Location(name), detail, fatal=True)


def _kind(name: str) -> tuple[str, str]:
    """(packing, format) by the endings of a name, each empty when it is none of ours."""
    parts = name.lower().rsplit("/", 1)[-1].split(".")
    packing = parts.pop() if parts[-1] in COMPRESSIONS else ""
    return packing, parts[-1] if len(parts) > 1 else ""


def _open(path: Path, packing: str) -> IO[bytes]:
    opened: IO[bytes] = COMPRESSIONS[packing](path) if packing else path.open("rb")
    return opened


def _code(stream: IO[bytes], name: str, largest: int) -> RawRow | Refusal:
    """A whole file as one source; a BOM belongs to the encoding and not to the code."""
    place = Location(name)
    data = stream.read(largest + 4)
    if len(data) > largest + 3:
        return Refusal("too_large", place, f"more than max_source_bytes ({largest:,})")
    if b"\0" in data:
        return Refusal("binary", place, "it is binary, not text")
    try:
        return RawRow(data.decode("utf-8-sig"), place, {"path": name})
    except UnicodeDecodeError as error:
        return Refusal("not_utf8", place, f"not UTF-8 at byte {error.start}")


# Rows ----------------------------------------------------------------------------------------


def _rows(items: Iterable[RecordOrRefusal], column: str, name: str) -> Iterator[RawRow | Refusal]:
    """Rows as Raw; a file in which no row has the wanted column is given up with what it has."""
    held: list[Refusal] = []  # rows without the column, until one with it shows that they are odd
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


def raw_row(place: Location, row: Any, column: str) -> RawRow | Refusal:
    """What a row holds and says about itself, or why it is no raw code."""
    if not isinstance(row, dict):
        return Refusal("not_object", place, f"a row is a JSON object, this is {type(row).__name__}")
    if column not in row:
        there = ", ".join(map(str, row)) or "none"
        detail = f"there is no column {column!r}; choose one with --column: {there}"
        return Refusal("no_column", place, detail)
    told, rest = _told_by(tuple(row), column)
    content = row[column]
    if isinstance(content, bytes):
        try:
            content = content.decode()
        except UnicodeDecodeError as error:
            return Refusal("not_utf8", place, f"not UTF-8 at byte {error.start}")
    about = {key: row[name] for key, name in told}
    return RawRow(content, place, about, {name: row[name] for name in rest})


@lru_cache(maxsize=64)
def _told_by(
    names: tuple[str, ...], column: str
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Which columns of a row say what about it, and which are the rest; rows repeat their keys."""
    told = {
        key: next((n for n in known if n in names and n != column), "")
        for key, known in ATTRIBUTE_FIELDS.items()
    }
    rest = (name for name in names if name != column and name not in told.values())
    return tuple((key, name) for key, name in told.items() if name), tuple(rest)
