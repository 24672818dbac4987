"""Rows out of data files: JSON lines, JSON (an array, one object, or many), CSV, TSV, Parquet.

Decisions
- Each may be plain or inside gz, zst, bz2, xz.
- Text is UTF-8. A wrong byte refuses its row and never turns into something else.
- No line and no JSON value above 64 MB is read; JSON and CSV go by chunks, Parquet by batches.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import re
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

from annoy_store.hashing import clean_text

MAX_VALUE_BYTES = 64 * 1024 * 1024
CHUNK = 1024 * 1024
PARQUET_ROWS = 256
MAX_EXAMPLES = 20  # places that are told per reason
MAX_INTEGER = 2.0**63
READ_ERRORS = (EOFError, OSError, zlib.error, lzma.LZMAError)
_BETWEEN = re.compile(r"[\s,\ufeff]*")
_WRONG_BYTE = re.compile("[\udc80-\udcff]")


class Location(NamedTuple):
    """Where a row stands; `line` counts from 1 (the row's number in Parquet), 0 is the file."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file} line {self.line}" if self.line else self.file


@dataclass(frozen=True)
class Refusal:
    """A row that is refused: a word to count by, and a sentence. `fatal` ends its file."""

    reason: str
    location: Location
    detail: str
    fatal: bool = False

    def __str__(self) -> str:
        return f"{self.location}: {self.detail}"


RecordOrRefusal = tuple[Location, Any] | Refusal


@dataclass
class Refusals:
    """What was refused: counted by reason, with the first places, and the files given up."""

    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def refuse(self, bad: Refusal) -> None:
        """Count one, as a file that was given up if it is fatal."""
        sentence = clean_text(str(bad))
        if bad.fatal:
            self.errors.append(sentence)
            return
        self.refused[bad.reason] += 1
        told = self.examples.setdefault(bad.reason, [])
        if len(told) < MAX_EXAMPLES:
            told.append(sentence)


def json_lines(stream: IO[bytes], name: str) -> Iterator[RecordOrRefusal]:
    number = 0
    while line := stream.readline(MAX_VALUE_BYTES):
        number += 1
        place = Location(name, number)
        if len(line) == MAX_VALUE_BYTES and not line.endswith(b"\n"):
            yield Refusal(
                "line_too_long", place, f"the line is longer than {MAX_VALUE_BYTES:,} bytes"
            )
            _skip_line(stream)
        elif line.strip():
            yield _json_line(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, place)


def _skip_line(stream: IO[bytes]) -> None:
    while (piece := stream.readline(CHUNK)) and not piece.endswith(b"\n"):
        pass


def _json_line(line: bytes, place: Location) -> RecordOrRefusal:
    try:
        return place, _loads(line)
    except UnicodeDecodeError as error:
        return Refusal("not_utf8", place, f"not UTF-8 at byte {error.start}")
    except (ValueError, RecursionError) as error:
        return Refusal("broken_json", place, f"broken JSON: {error}")


def _loads(line: bytes) -> Any:
    """The value of a line, numbers exact; what orjson does not take, Python's own parser may."""
    try:
        value = orjson.loads(line)
        if _is_exact(value):
            return value
    except ValueError:
        pass
    return json.loads(line.decode())


def _is_exact(value: Any) -> bool:
    """False where an integer may have been too large for orjson, which makes it a float."""
    if type(value) is float:
        return abs(value) < MAX_INTEGER
    if type(value) is dict:
        return all(map(_is_exact, value.values()))
    return all(map(_is_exact, value)) if type(value) is list else True


@contextmanager
def _text(stream: IO[bytes], encoding: str, newline: str | None = None) -> Iterator[IO[str]]:
    """The stream as text, a wrong byte as a lone surrogate; the stream stays its owner's."""
    text = io.TextIOWrapper(stream, encoding, errors="surrogateescape", newline=newline)
    try:
        yield text
    finally:
        text.detach()


def _json(stream: IO[bytes], name: str) -> Iterator[RecordOrRefusal]:
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
            place = Location(name, line)
            wrong = _WRONG_BYTE.search(text, at, end)
            yield Refusal("not_utf8", place, "not UTF-8") if wrong else (place, value)
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


def _csv(stream: IO[bytes], name: str, delimiter: str = ",") -> Iterator[RecordOrRefusal]:
    csv.field_size_limit(MAX_VALUE_BYTES)
    with _text(stream, "utf-8-sig", newline="") as text:
        reader = csv.DictReader(text, delimiter=delimiter)
        try:
            for row in reader:
                place = Location(name, reader.line_num)
                row.pop(None, None)
                wrong = any(v and _WRONG_BYTE.search(v) for v in row.values())
                yield Refusal("not_utf8", place, "not UTF-8") if wrong else (place, row)
        except csv.Error as error:
            place = Location(name, reader.line_num)
            yield Refusal("broken_file", place, f"broken CSV: {error}", fatal=True)


def _tsv(stream: IO[bytes], name: str) -> Iterator[RecordOrRefusal]:
    return _csv(stream, name, "\t")


def _parquet(stream: IO[bytes], name: str) -> Iterator[RecordOrRefusal]:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        with _seekable(stream) as whole, ParquetFile(whole) as file:
            for batch in file.iter_batches(PARQUET_ROWS):
                for i in range(batch.num_rows):
                    number += 1
                    yield _parquet_row(batch.slice(i, 1), Location(name, number))
    except pyarrow.ArrowException as error:
        detail = f"broken Parquet: {error}"
        yield Refusal("broken_file", Location(name, number), detail, fatal=True)


def _parquet_row(row: Any, place: Location) -> RecordOrRefusal:
    try:
        return place, row.to_pylist()[0]
    except UnicodeDecodeError as error:
        return Refusal("not_utf8", place, f"not UTF-8 at byte {error.start}")


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


FORMATS: dict[str, Callable[[IO[bytes], str], Iterator[RecordOrRefusal]]] = {
    "jsonl": json_lines,
    "ndjson": json_lines,
    "jsonlines": json_lines,
    "json": _json,
    "csv": _csv,
    "tsv": _tsv,
    "parquet": _parquet,
    "pq": _parquet,
}


def _open_zst(path: Path) -> IO[bytes]:
    import pyarrow

    return io.BufferedReader(
        pyarrow.CompressedInputStream(pyarrow.OSFile(str(path)), "zstd"), CHUNK
    )


COMPRESSIONS: dict[str, Callable[[Path], Any]] = {
    "gz": gzip.open,
    "bz2": bz2.open,
    "xz": lzma.open,
    "zst": _open_zst,
}
