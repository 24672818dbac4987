"""Files of raw code, in the formats that people keep them in, as a stream of rows.

`read` gives one Raw per row or code file, and a Bad for each that cannot be one.

Decisions
- The name's ending tells the format: JSON lines, JSON (an array, one object, or many), CSV, TSV,
  Parquet, each plain or inside gz, zst, bz2, xz; any other file is one source by itself.
- A folder is walked in order of names. Hidden and cache folders and symbolic links are left out:
  a downloaded repository may not point at files of this machine.
- Text is UTF-8. A wrong byte refuses its row and never turns into something else.
- No line and no JSON value above 64 MB is read; JSON and CSV go by chunks, Parquet by batches.
"""

from __future__ import annotations

import bz2
import csv
import fnmatch
import gzip
import io
import json
import lzma
import os
import re
import shutil
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from annoy_store.errors import UsageError

MAX_VALUE = 64 * 1024 * 1024
CHUNK = 1024 * 1024
PARQUET_ROWS = 256
PATIENCE = 1_000  # rows without the wanted column before the file is given up
DEFAULT_GLOB = "*.py"
STDIN = Path("-")
SKIPPED_FOLDERS = {"__pycache__", "node_modules"}
ABOUT = {
    "path": ("path", "file_path", "filepath", "filename", "max_stars_repo_path"),
    "repo": ("repo", "repo_name", "repository", "repository_name", "max_stars_repo_name"),
    "licence": ("licence", "license", "licenses", "detected_licenses", "max_stars_repo_licenses"),
    "language": ("language", "lang", "programming_language"),
}
_BETWEEN = re.compile(r"[\s,\ufeff]*")
_WRONG_BYTE = re.compile("[\udc80-\udcff]")
_TRUNCATED = (EOFError, OSError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True)
class Place:
    """Where a row stands; `line` counts from 1 (the row's number in Parquet), 0 is the file."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file} line {self.line}" if self.line else self.file


@dataclass(frozen=True)
class Bad:
    """A row that is refused: a word to count by, and a sentence. `fatal` ends its file."""

    reason: str
    place: Place
    detail: str
    fatal: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.detail}"


@dataclass(frozen=True)
class Raw:
    """One row: its content, what it says about itself under our names, and the rest."""

    content: Any
    place: Place
    about: Mapping[str, Any] = field(default_factory=dict)
    rest: Mapping[str, Any] = field(default_factory=dict)

    def told(self, key: str) -> str:
        """What the row says about `key`, or nothing."""
        value = self.about.get(key)
        if isinstance(value, list):
            return ", ".join(str(v) for v in value)
        return "" if value is None else str(value)


Item = tuple[Place, Any] | Bad


def read(
    path: Path, column: str = "content", globs: tuple[str, ...] = (), largest: int = MAX_VALUE
) -> Iterator[Raw | Bad]:
    """Yield every row of a file, or of the files of a folder whose names match a glob.

    `largest` is the size in bytes above which a code file is refused without reading it.
    Raises UsageError when there is nothing at `path`.
    """
    if path == STDIN:
        return _rows(_json_lines(sys.stdin.buffer, "stdin"), column, "stdin")
    if not path.exists():
        raise UsageError(f"{path}: there is no such file or folder")
    if path.is_dir():
        return _read_folder(path, column, globs or (DEFAULT_GLOB,), largest)
    return _read_file(path, path.name, column, largest)


# Folders and files ---------------------------------------------------------------------------


def _read_folder(
    folder: Path, column: str, globs: tuple[str, ...], largest: int
) -> Iterator[Raw | Bad]:
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
        yield Bad("no_match", Place(str(folder)), detail, fatal=True)


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


def _read_file(path: Path, name: str, column: str, largest: int) -> Iterator[Raw | Bad]:
    packing, kind = _kind(name)
    try:
        with _open(path, packing) as stream:
            if kind in FORMATS:
                yield from _rows(FORMATS[kind](stream, name), column, name)
            else:
                yield _code(stream, name, largest)
    except _TRUNCATED as error:
        detail = f"cannot be read to its end: {error or type(error).__name__}"
        yield Bad("broken_file", Place(name), detail, fatal=True)


def _kind(name: str) -> tuple[str, str]:
    """(packing, format) by the endings of a name, each empty when it is none of ours."""
    parts = name.lower().rsplit("/", 1)[-1].split(".")
    packing = parts.pop() if parts[-1] in PACKINGS else ""
    return packing, parts[-1] if len(parts) > 1 else ""


def _open_zst(path: Path) -> IO[bytes]:
    import pyarrow  # type: ignore[import-untyped]

    return io.BufferedReader(
        pyarrow.CompressedInputStream(pyarrow.OSFile(str(path)), "zstd"), CHUNK
    )


PACKINGS: dict[str, Callable[[Path], Any]] = {
    "gz": gzip.open, "bz2": bz2.open, "xz": lzma.open, "zst": _open_zst,
}  # fmt: skip


def _open(path: Path, packing: str) -> IO[bytes]:
    opened: IO[bytes] = PACKINGS[packing](path) if packing else path.open("rb")
    return opened


def _code(stream: IO[bytes], name: str, largest: int) -> Raw | Bad:
    """A whole file as one source; a BOM belongs to the encoding and not to the code."""
    place = Place(name)
    data = stream.read(largest + 4)
    if len(data) > largest + 3:
        return Bad("too_large", place, f"more than max_source_bytes ({largest:,})")
    if b"\0" in data:
        return Bad("binary", place, "it is binary, not text")
    try:
        return Raw(data.decode("utf-8-sig"), place, {"path": name})
    except UnicodeDecodeError as error:
        return Bad("not_utf8", place, f"not UTF-8 at byte {error.start}")


# Rows ----------------------------------------------------------------------------------------


def _rows(items: Iterable[Item], column: str, name: str) -> Iterator[Raw | Bad]:
    """Rows as Raw; a file in which no row has the wanted column is given up with what it has."""
    held: list[Bad] = []  # rows without the column, until one with it shows that they are odd
    found, empty = False, True
    for item in items:
        row = item if isinstance(item, Bad) else _raw(*item, column)
        empty = False
        if isinstance(row, Raw):
            found = True
            yield from held
            held.clear()
        elif row.reason == "no_column" and not found:
            held.append(row)
            if len(held) == PATIENCE:
                break
            continue
        yield row
    if held:
        yield replace(held[0], place=Place(name), fatal=True)
    elif empty:
        yield Bad("empty", Place(name), "there is nothing in it")


def _raw(place: Place, row: Any, column: str) -> Raw | Bad:
    if not isinstance(row, dict):
        return Bad("not_object", place, f"a row is a JSON object, this is {type(row).__name__}")
    if column not in row:
        there = ", ".join(map(str, row)) or "none"
        detail = f"there is no column {column!r}; choose one with --column: {there}"
        return Bad("no_column", place, detail)
    told, rest = _told_by(tuple(row), column)
    content = row[column]
    if isinstance(content, bytes):
        try:
            content = content.decode()
        except UnicodeDecodeError as error:
            return Bad("not_utf8", place, f"not UTF-8 at byte {error.start}")
    about = {key: row[name] for key, name in told}
    return Raw(content, place, about, {name: row[name] for name in rest})


@lru_cache(maxsize=64)
def _told_by(
    names: tuple[str, ...], column: str
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Which columns of a row say what about it, and which are the rest; rows repeat their keys."""
    told = {
        key: next((n for n in known if n in names and n != column), "")
        for key, known in ABOUT.items()
    }
    rest = (name for name in names if name != column and name not in told.values())
    return tuple((key, name) for key, name in told.items() if name), tuple(rest)


def _json_lines(stream: IO[bytes], name: str) -> Iterator[Item]:
    number = 0
    while line := stream.readline(MAX_VALUE):
        number += 1
        place = Place(name, number)
        if len(line) == MAX_VALUE and not line.endswith(b"\n"):
            yield Bad("line_too_long", place, f"the line is longer than {MAX_VALUE:,} bytes")
            _skip_line(stream)
        elif line.strip():
            yield _json_line(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, place)


def _skip_line(stream: IO[bytes]) -> None:
    while (piece := stream.readline(CHUNK)) and not piece.endswith(b"\n"):
        pass


def _json_line(line: bytes, place: Place) -> Item:
    try:
        return place, json.loads(line.decode())
    except UnicodeDecodeError as error:
        return Bad("not_utf8", place, f"not UTF-8 at byte {error.start}")
    except (ValueError, RecursionError) as error:
        return Bad("broken_json", place, f"broken JSON: {error}")


@contextmanager
def _text(stream: IO[bytes], encoding: str, newline: str | None = None) -> Iterator[IO[str]]:
    """The stream as text, a wrong byte as a lone surrogate; the stream stays its owner's."""
    text = io.TextIOWrapper(stream, encoding, errors="surrogateescape", newline=newline)
    try:
        yield text
    finally:
        text.detach()


def _json(stream: IO[bytes], name: str) -> Iterator[Item]:
    """The elements of an array, or JSON values one after another, in memory one at a time."""
    with _text(stream, "utf-8") as reader:
        text, line, at = reader.read(CHUNK), 1, 0
        is_array: bool | None = None
        while True:
            start = _after_gap(text, at)
            line += text.count("\n", at, start)
            at = start
            if is_array is None and at < len(text):
                is_array = text[at] == "["
                at += is_array
                continue
            if is_array and text[at : at + 1] == "]":
                return
            value, end = _decoded(text, at)
            if end is None or end == len(text):  # it may go on in what was not read yet
                more = reader.read(max(CHUNK, len(text) - at)) if len(text) - at < MAX_VALUE else ""
                if more:
                    text, at = text[at:] + more, 0
                    continue
            if end is None:
                if at < len(text) or is_array:
                    detail = "broken JSON: a value is not complete or not closed"
                    yield Bad("broken_file", Place(name, line), detail, fatal=True)
                return
            place = Place(name, line)
            wrong = _WRONG_BYTE.search(text, at, end)
            yield Bad("not_utf8", place, "not UTF-8") if wrong else (place, value)
            line += text.count("\n", at, end)
            at = end


def _after_gap(text: str, at: int) -> int:
    found = _BETWEEN.match(text, at)
    return found.end() if found else at


def _decoded(text: str, at: int) -> tuple[Any, int | None]:
    try:
        return json.JSONDecoder().raw_decode(text, at)
    except (ValueError, RecursionError):
        return None, None


def _csv(stream: IO[bytes], name: str, delimiter: str = ",") -> Iterator[Item]:
    csv.field_size_limit(MAX_VALUE)
    with _text(stream, "utf-8-sig", newline="") as text:
        reader = csv.DictReader(text, delimiter=delimiter)
        try:
            for row in reader:
                place = Place(name, reader.line_num)
                row.pop(None, None)
                wrong = any(v and _WRONG_BYTE.search(v) for v in row.values())
                yield Bad("not_utf8", place, "not UTF-8") if wrong else (place, row)
        except csv.Error as error:
            place = Place(name, reader.line_num)
            yield Bad("broken_file", place, f"broken CSV: {error}", fatal=True)


def _tsv(stream: IO[bytes], name: str) -> Iterator[Item]:
    return _csv(stream, name, "\t")


def _parquet(stream: IO[bytes], name: str) -> Iterator[Item]:
    import pyarrow
    from pyarrow.parquet import ParquetFile  # type: ignore[import-untyped]

    number = 0
    try:
        with _seekable(stream) as whole, ParquetFile(whole) as file:
            for batch in file.iter_batches(PARQUET_ROWS):
                for i in range(batch.num_rows):
                    number += 1
                    yield _parquet_row(batch.slice(i, 1), Place(name, number))
    except pyarrow.ArrowException as error:
        detail = f"broken Parquet: {error}"
        yield Bad("broken_file", Place(name, number), detail, fatal=True)


def _parquet_row(row: Any, place: Place) -> Item:
    try:
        return place, row.to_pylist()[0]
    except UnicodeDecodeError as error:
        return Bad("not_utf8", place, f"not UTF-8 at byte {error.start}")


@contextmanager
def _seekable(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    """Parquet is read from its end: what is packed is unpacked into a file without a name."""
    if isinstance(stream, io.BufferedReader) and isinstance(stream.raw, io.FileIO):
        yield stream
        return
    with tempfile.TemporaryFile() as whole:
        shutil.copyfileobj(stream, whole, CHUNK)
        whole.seek(0)
        yield whole


FORMATS: dict[str, Callable[[IO[bytes], str], Iterator[Item]]] = {
    "jsonl": _json_lines, "ndjson": _json_lines, "jsonlines": _json_lines, "json": _json,
    "csv": _csv, "tsv": _tsv, "parquet": _parquet, "pq": _parquet,
}  # fmt: skip
