"""Read raw code from files and folders in common formats as a stream of rows.

`read_raw` yields one RawRow per row or code file, and a Refusal for each that is invalid.

Decisions
- What a file is tell its first bytes and its name (file_formats.py): a data file, an archive, a
  notebook, else one source by itself. What is none of these is refused by its true name.
- An archive is read like a folder, and so is a dataset saved to disk by its own list of files.
- A value that cannot be converted refuses its row where it is the code or an attribute; in other
  columns, which nobody asked for, it is left out.
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
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import IO, Any, NamedTuple

from annoy_store.errors import UsageError
from annoy_store.ingest.archives import (
    ARCHIVE_ERRORS,
    MEMBER_ERRORS,
    archive_members,
    is_skipped_folder,
)
from annoy_store.ingest.arrow_files import saved_dataset_files
from annoy_store.ingest.file_formats import ARCHIVES, FORMATS, open_file
from annoy_store.ingest.read_position import ReadPosition
from annoy_store.ingest.record_files import (
    MAX_VALUE_BYTES,
    READ_ERRORS,
    Location,
    RecordOrRefusal,
    Refusal,
    Unreadable,
    json_lines,
)
from annoy_store.ingest.source_text import NotText, decode_source, notebook_source

MAX_ROWS_WITHOUT_COLUMN = 1_000  # rows without the content column until a file is given up
DEFAULT_GLOB = "*.py"
STDIN = Path("-")
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
    position: ReadPosition | None = None,
) -> Iterator[RawRow | Refusal]:
    """Yield every row of a file, or of the files of a folder whose names match a glob.

    Args:
        path: A file, a folder, or `-` for JSON lines on standard input.
        column: Field of a row that holds the code.
        globs: Patterns of file names to read from a folder; empty means `*.py`.
        max_bytes: Code files above this size, in bytes, are refused without reading them.
        position: Gets to know how far the files are read.

    Yields:
        Rows and refusals, in the order of the files.

    Raises:
        UsageError: There is nothing at `path`.
    """
    if path == STDIN:
        return _rows(json_lines(sys.stdin.buffer, "stdin"), column, "stdin")
    if not path.exists():
        raise UsageError(f"{path}: there is no such file or folder")
    chosen = globs or (DEFAULT_GLOB,)
    if not path.is_dir():
        return _read_file(path, path.name, _Wanted(column, chosen, max_bytes, position))
    saved = None if globs else saved_dataset_files(path)
    wanted = _Wanted(column, chosen, max_bytes, position)
    if saved is None:
        return _read_files(str(path), _folder_files(path), wanted)
    return (
        item
        for file in saved
        for item in _read_file(file, file.relative_to(path).as_posix(), wanted)
    )


def n_bytes_to_read(paths: Iterable[Path], globs: tuple[str, ...] = ()) -> int | None:
    """Return how many bytes `read_raw` reads for these paths; None with standard input."""
    total = 0
    for path in paths:
        if path == STDIN:
            return None
        saved = saved_dataset_files(path) if path.is_dir() and not globs else None
        if path.is_dir() and saved is None:
            total += _folder_bytes(path, globs or (DEFAULT_GLOB,))
        else:
            total += sum(file.stat().st_size for file in saved or [path])
    return total


def _folder_bytes(folder: Path, globs: tuple[str, ...]) -> int:
    total, start = 0, len(str(folder)) + 1
    for here, name in _walk(folder):
        path = os.path.join(here, name)  # a Path for each file would take longer than its size
        if any(fnmatch.fnmatchcase(path[start:], glob) for glob in globs):
            total += os.lstat(path).st_size
    return total


# Folders and files ---------------------------------------------------------------------------


class _Wanted(NamedTuple):
    column: str
    globs: tuple[str, ...]
    max_bytes: int
    position: ReadPosition | None

    def matches(self, name: str) -> bool:
        return any(fnmatch.fnmatchcase(name, glob) for glob in self.globs)


def _folder_files(folder: Path) -> Iterator[tuple[str, Path]]:
    return ((path.relative_to(folder).as_posix(), path) for path in walk_files(folder))


def _read_files(
    where: str, files: Iterable[tuple[str, Path | IO[bytes]]], wanted: _Wanted
) -> Iterator[RawRow | Refusal]:
    """Yield the rows of the files of a folder or archive whose names match a glob."""
    others: Counter[str] = Counter()
    matched = False
    for name, source in files:
        if wanted.matches(name):
            matched = True
            yield from _read_file(source, name, wanted)
        else:
            path = PurePosixPath(name)
            others[path.suffix or path.name] += 1
    if not matched:
        there = ", ".join(f"{n} {suffix}" for suffix, n in others.most_common(5)) or "nothing"
        choice = " or ".join(wanted.globs)
        detail = f"no file matches {choice} (there is {there}); choose with --glob"
        yield Refusal("no_match", Location(where), detail, fatal=True)


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield every regular file below `folder` in order of names, without hidden and cache folders."""
    for here, name in _walk(folder):
        path = Path(here, name)
        if path.is_file() and not path.is_symlink():
            yield path


def _walk(folder: Path) -> Iterator[tuple[str, str]]:
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not is_skipped_folder(f))
        for name in sorted(files):
            yield here, name


def _read_file(source: Path | IO[bytes], name: str, wanted: _Wanted) -> Iterator[RawRow | Refusal]:
    try:
        with open_file(source, name, wanted.position) as (stream, kind, other):
            if other:
                word, its_name = other
                yield Refusal(f"binary:{word}", Location(name), f"it is {its_name}")
            elif kind in FORMATS:
                yield from _rows(FORMATS[kind](stream, name), wanted.column, name)
            elif kind in ARCHIVES:
                yield from _read_files(name, archive_members(stream, kind), wanted)
            else:
                yield _code(stream, name, kind, wanted.max_bytes)
    except (*READ_ERRORS, *ARCHIVE_ERRORS, *MEMBER_ERRORS, UnicodeError) as error:
        detail = f"cannot be read to its end: {error or type(error).__name__}"
        yield Refusal("broken_file", Location(name), detail, fatal=True)


def _code(stream: IO[bytes], name: str, kind: str, max_bytes: int) -> RawRow | Refusal:
    """Read a whole file as one source; a byte order mark is part of the encoding and dropped."""
    location = Location(name)
    is_notebook = kind == "ipynb"
    most = (
        MAX_VALUE_BYTES if is_notebook else 4 * max_bytes + 4
    )  # UTF-32; its text is checked later
    data = stream.read(most + 1)
    try:
        text, language = ("", "")
        if len(data) <= most:
            text, language = notebook_source(data) if is_notebook else (decode_source(data), "")
    except NotText as error:
        return Refusal(error.args[0], location, error.args[1])
    if len(data) > most or len(text.encode("utf-8", "surrogatepass")) > max_bytes:
        return Refusal("too_large", location, f"more than max_source_bytes ({max_bytes:,})")
    return RawRow(text, location, {"path": name, **({"language": language} if language else {})})


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
    for name in (column, *(name for _, name in columns)):
        if isinstance(value := row[name], Unreadable):
            return Refusal(value.reason, location, f"column {name!r}: {value.detail}")
    content = row[column]
    if isinstance(content, bytes):
        try:
            content = content.decode()
        except UnicodeDecodeError as error:
            return Refusal("not_utf8", location, f"not UTF-8 at byte {error.start}")
    about = {key: row[name] for key, name in columns}
    return RawRow(
        content, location, about, {n: row[n] for n in rest if not isinstance(row[n], Unreadable)}
    )


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
