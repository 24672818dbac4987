"""Read records from data files of text: JSON lines, JSON (array, one or many values), CSV, TSV.

Decisions
- A file of JSON lines that begins an array or an object over several lines is read as JSON.
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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple

import orjson

from annoy_store.hashing import clean_text

MAX_VALUE_BYTES = 64 * 1024 * 1024
CHUNK = 1024 * 1024
MAX_EXAMPLES = 20  # messages kept per reason
MAX_INTEGER = 2.0**63
READ_ERRORS = (EOFError, OSError, zlib.error, lzma.LZMAError)
_BETWEEN = re.compile(r"[\s,\ufeff]*")
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
    except UnicodeDecodeError as error:
        return Refusal("not_utf8", location, f"not UTF-8 at byte {error.start}")
    except (ValueError, RecursionError) as error:
        return Refusal("broken_json", location, f"broken JSON: {error}")


def _loads(line: bytes) -> Any:
    """Decode a line with exact numbers: orjson first, Python's parser for what orjson rounds."""
    try:
        value = orjson.loads(line)
        if _is_exact(value):
            return value
    except ValueError:
        pass
    return json.loads(line.decode())


def _is_exact(value: Any) -> bool:
    """Return False where an integer may have been too large for orjson, which makes it a float."""
    if type(value) is float:
        return abs(value) < MAX_INTEGER
    if type(value) is dict:
        return all(map(_is_exact, value.values()))
    return all(map(_is_exact, value)) if type(value) is list else True


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
            value, end = _decoded(text, at)
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
            yield Refusal("not_utf8", location, "not UTF-8") if wrong else (location, value)
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


def csv_rows(stream: IO[bytes], name: str, delimiter: str = ",") -> Iterator[RecordOrRefusal]:
    """Yield the rows of a table of text whose first line names the columns."""
    csv.field_size_limit(MAX_VALUE_BYTES)
    with _text(stream, "utf-8-sig", newline="") as text:
        reader = csv.DictReader(text, delimiter=delimiter)
        try:
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
