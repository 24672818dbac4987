"""Read records from data files of text: JSON lines, JSON (array, one or many values), CSV, TSV.

Decisions
- A file of JSON lines that begins an array or an object over several lines is read as JSON.
- An object in which a key is repeated is refused by that key, at any depth: parsers keep the last
  value, others the first, and what the writer meant is not known. So is a table in which two columns
  have one name.
- Text is UTF-8. An invalid byte refuses its row and is never replaced.
- No line and no JSON value above 64 MB is read; JSON and CSV are read in chunks.
"""

from __future__ import annotations

import csv
import io
import json
import lzma
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple

import orjson

from annoy_store.hashing import LossyJson, clean_text, unique_keys

MAX_VALUE_BYTES = 64 * 1024 * 1024
CHUNK = 1024 * 1024
MAX_EXAMPLES = 20  # messages kept per reason
MAX_INTEGER = 2.0**63
READ_ERRORS = (EOFError, OSError, zlib.error, lzma.LZMAError)
_ESCAPED_COLON = b"\\u003"  # and a, in either case
_BETWEEN = re.compile(r"[\s,\ufeff]*")
_UNIQUE = json.JSONDecoder(object_pairs_hook=unique_keys)
_LENIENT = json.JSONDecoder()
_WRONG_BYTE = re.compile("[\udc80-\udcff]")


class Location(NamedTuple):
    """Where a record was read.

    Attributes:
        file: Name of the file.
        line: Line from 1, in Parquet the number of the row; 0 means the whole file.
    """

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file} line {self.line}" if self.line else self.file


@dataclass(frozen=True)
class Refusal:
    """A record or file that was refused.

    Attributes:
        reason: Short reason to count by.
        location: Where it was read.
        detail: The reason as a sentence.
        fatal: True if the rest of the file cannot be read.
    """

    reason: str
    location: Location
    detail: str
    fatal: bool = False

    def __str__(self) -> str:
        return f"{self.location}: {self.detail}"


@dataclass(frozen=True)
class Unreadable:
    """A value of a record that cannot be converted; who wants it refuses the record.

    Attributes:
        reason: Short reason to count by.
        detail: The reason as a sentence.
    """

    reason: str
    detail: str


RecordOrRefusal = tuple[Location, Any] | Refusal


@dataclass
class Refusals:
    """Refused records, counted by reason.

    Attributes:
        refused: Number of refused records by reason.
        examples: The first `MAX_EXAMPLES` messages by reason.
        errors: Messages of the files that could not be read to their end.
    """

    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    @property
    def n_refused(self) -> int:
        """Number of refused records."""
        return self.refused.total()

    def refuse(self, refusal: Refusal) -> None:
        """Count a refusal; a fatal one becomes an error of its file."""
        sentence = clean_text(str(refusal))
        if refusal.fatal:
            self.errors.append(sentence)
            return
        self.refused[refusal.reason] += 1
        examples = self.examples.setdefault(refusal.reason, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(sentence)


def json_lines(stream: IO[bytes], name: str) -> Iterator[RecordOrRefusal]:
    """Yield the records of a stream of JSON lines.

    Args:
        stream: UTF-8 bytes, one JSON value per line; empty lines are skipped.
        name: File name for locations.
    """
    first = _first_line(stream)
    if first.startswith(b"[") or first == b"{":
        yield from json_values(stream, name)
        return
    number = 0
    while line := stream.readline(MAX_VALUE_BYTES):
        number += 1
        location = Location(name, number)
        if len(line) == MAX_VALUE_BYTES and not line.endswith(b"\n"):
            yield Refusal(
                "line_too_long", location, f"the line is longer than {MAX_VALUE_BYTES:,} bytes"
            )
            _skip_line(stream)
        elif line.strip():
            yield _json_line(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, location)


def _first_line(stream: IO[bytes]) -> bytes:
    """Return the beginning of the first line that is not blank, without reading it."""
    peek = getattr(stream, "peek", None)
    head = bytes(peek(512)) if peek else b""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", 1)[0].strip()


def _skip_line(stream: IO[bytes]) -> None:
    while (piece := stream.readline(CHUNK)) and not piece.endswith(b"\n"):
        pass


def _json_line(line: bytes, location: Location) -> RecordOrRefusal:
    try:
        return location, _loads(line)
    except LossyJson as error:
        return repeated_key(location, error)
    except UnicodeDecodeError as error:
        return Refusal("not_utf8", location, f"not UTF-8 at byte {error.start}")
    except (ValueError, RecursionError) as error:
        return Refusal("broken_json", location, f"broken JSON: {error}")


def repeated_key(location: Location, error: LossyJson) -> Refusal:
    """Return the refusal of a row that repeats a key."""
    return Refusal("repeated_key", location, str(error))


def _loads(line: bytes) -> Any:
    """Decode a line without loss: orjson first, Python's parser for what orjson rounds or drops.

    Raises:
        LossyJson: A key is repeated.
        ValueError: It is no JSON.
    """
    try:
        value = orjson.loads(line)
        if _ESCAPED_COLON not in line and _n_colons(value) == line.count(b":"):
            return value
    except (ValueError, _Rounded):
        pass
    return json.loads(line.decode(), object_pairs_hook=unique_keys)


class _Rounded(Exception):
    """An integer that may have been too large for orjson, which makes it a float."""


def _n_colons(value: Any) -> int:
    """Count the colons that a decoded value has as JSON: one per entry, and those of its texts.

    A text of JSON with more of them has an entry that was dropped, because its key is repeated.
    Decoding all lines with a hook would take five times as long.
    """
    kind = type(value)
    if kind is str:
        return int(value.count(":"))
    if kind is float and abs(value) >= MAX_INTEGER:
        raise _Rounded
    if kind is dict:
        return len(value) + sum(map(_n_colons, value)) + sum(map(_n_colons, value.values()))
    return sum(map(_n_colons, value)) if kind is list else 0


@contextmanager
def _text(stream: IO[bytes], encoding: str, newline: str | None = None) -> Iterator[IO[str]]:
    """Open the stream as text, invalid bytes as lone surrogates; the stream stays open afterwards."""
    text = io.TextIOWrapper(stream, encoding, errors="surrogateescape", newline=newline)
    try:
        yield text
    finally:
        text.detach()


def json_values(stream: IO[bytes], name: str) -> Iterator[RecordOrRefusal]:
    """Yield the elements of an array, or JSON values one after another, one in memory at a time."""
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
                if text[_after_gap(text, at + 1) :] or reader.read(1):
                    detail = "something follows the end of the array"
                    yield Refusal("broken_file", Location(name, line), detail, fatal=True)
                return
            value, end, lossy = _decoded(text, at)
            if end is None or end == len(text):  # it may continue in the next chunk
                more = (
                    reader.read(max(CHUNK, len(text) - at))
                    if len(text) - at < MAX_VALUE_BYTES
                    else ""
                )
                if more:
                    text, at = text[at:] + more, 0
                    continue
            if end is None:
                if at < len(text) or is_array:
                    detail = "broken JSON: a value is not complete or not closed"
                    yield Refusal("broken_file", Location(name, line), detail, fatal=True)
                return
            location = Location(name, line)
            wrong = _WRONG_BYTE.search(text, at, end)
            if lossy is not None:
                yield repeated_key(location, lossy)
            else:
                yield Refusal("not_utf8", location, "not UTF-8") if wrong else (location, value)
            line += text.count("\n", at, end)
            at = end


def _after_gap(text: str, at: int) -> int:
    found = _BETWEEN.match(text, at)
    return found.end() if found else at


def _decoded(text: str, at: int) -> tuple[Any, int | None, LossyJson | None]:
    """Return the value that begins at a place, its end, and the error of one that repeats a key."""
    try:
        return *_UNIQUE.raw_decode(text, at), None
    except LossyJson as error:
        lossy = error
    except (ValueError, RecursionError):
        return None, None, None
    try:
        return *_LENIENT.raw_decode(text, at), lossy
    except (ValueError, RecursionError):
        return None, None, None


def repeated_column(names: Iterable[str], file: str) -> Refusal | None:
    """Return the refusal of a table in which two columns have one name, None if none have."""
    twice = next((name for name, n in Counter(names).items() if n > 1 and name), None)
    if twice is None:
        return None
    detail = f"the column {twice!r} is repeated: rename one"
    return Refusal("repeated_column", Location(file), detail, fatal=True)


def csv_rows(stream: IO[bytes], name: str, delimiter: str = ",") -> Iterator[RecordOrRefusal]:
    """Yield the rows of a table of text whose first line names the columns."""
    csv.field_size_limit(MAX_VALUE_BYTES)
    with _text(stream, "utf-8-sig", newline="") as text:
        reader = csv.DictReader(text, delimiter=delimiter)
        try:
            if refusal := repeated_column(reader.fieldnames or (), name):
                yield refusal
                return
            for row in reader:
                location = Location(name, reader.line_num)
                row.pop(None, None)
                wrong = any(v and _WRONG_BYTE.search(v) for v in row.values())
                yield Refusal("not_utf8", location, "not UTF-8") if wrong else (location, row)
        except csv.Error as error:
            location = Location(name, reader.line_num)
            yield Refusal("broken_file", location, f"broken CSV: {error}", fatal=True)


def tsv_rows(stream: IO[bytes], name: str) -> Iterator[RecordOrRefusal]:
    """Yield the rows of a table of text whose columns are separated by tabs."""
    return csv_rows(stream, name, "\t")
