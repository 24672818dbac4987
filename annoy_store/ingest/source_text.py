"""Decode the bytes of one source file, as Python would, and take the code out of a notebook.

Decisions
- A byte order mark decides the encoding, else the coding line (PEP 263), else it is UTF-8. UTF-16
  without a mark is told by its zero bytes.
- Of a notebook the code cells are the source, without outputs. Cells of other languages (`%%bash`)
  are left out; lines for IPython (`%time`, `!ls`) become comments, so that the rest is Python.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Any

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins like UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_NOT_CODING = re.compile(rb"^[ \t\f]*(?:[#\r\n]|$)")
_MAGIC_LINE = re.compile(r"(?m)^([ \t]*)(?=[%!]|\?\w|\w[\w.]*\?\??[ \t]*$)")
_CELL_MAGIC = re.compile(r"\s*%%(\w+)")
_PYTHON_CELLS = {"time", "timeit", "capture", "prun", "python", "python3"}


class NotText(ValueError):
    """Bytes that are no text; the first argument is a word to count by, the second a sentence."""


def encoding_by_mark(data: bytes) -> str | None:
    """Return the encoding that a byte order mark tells, None if there is none."""
    return next((name for mark, name in MARKS if data.startswith(mark)), None)


def decode_source(data: bytes) -> str:
    """Return the text of a source file.

    Raises:
        NotText: It is not valid in its encoding, or the encoding is unknown.
    """
    encoding = encoding_by_mark(data) or _wide_encoding(data) or _declared(data) or "utf-8"
    if b"\0" in data and not encoding.startswith(("utf-16", "utf-32")):
        raise NotText("binary", "it is binary, not text")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        name = "UTF-8" if encoding.startswith("utf-8") else encoding
        word = "not_utf8" if name == "UTF-8" else "not_decodable"
        raise NotText(word, f"not {name} at byte {error.start}") from None
    except (LookupError, ValueError):
        raise NotText("unknown_encoding", f"it declares an unknown encoding, {encoding}") from None


def _wide_encoding(data: bytes) -> str | None:
    """Return UTF-16 where half of the characters, at least, are printable ASCII."""
    start = data[:4_000]
    for name, high, low in (
        ("utf-16-le", start[1::2], start[::2]),
        ("utf-16-be", start[::2], start[1::2]),
    ):
        letters = [b for a, b in zip(high, low, strict=False) if a == 0]
        half = len(data) % 2 == 0 and 2 * len(letters) >= len(high) > 0
        if half and all(32 <= byte < 127 or byte in b"\t\n\r\f" for byte in letters):
            return name
    return None


def _declared(data: bytes) -> str | None:
    """Return the encoding that the first or second line declares.

    Raises:
        NotText: It is no encoding of text.
    """
    for line in data[:1_000].split(b"\n")[:2]:
        if found := _CODING.match(line):
            return _text_encoding(found[1].decode("ascii", "replace"))
        if not _NOT_CODING.match(line):
            return None
    return None


def _text_encoding(name: str) -> str:
    try:
        if "x".encode(name):  # refuses codecs of bytes, such as zip
            return codecs.lookup(name).name
    except (LookupError, ValueError, TypeError):
        pass
    raise NotText("unknown_encoding", f"it declares an unknown encoding, {name[:40]}")


def notebook_source(data: bytes) -> tuple[str, str]:
    """Return the code of a Jupyter notebook, and its language.

    Raises:
        NotText: It is no notebook.
    """
    try:
        book = json.loads(data)
        cells = _cells(book)
    except (ValueError, RecursionError, TypeError, AttributeError):
        raise NotText("broken_json", "it is not a notebook: broken JSON") from None
    code = [text for cell in cells if (text := _cell_code(cell))]
    return "\n\n\n".join(code) + ("\n" if code else ""), _language(book)


def _cells(book: dict[str, Any]) -> list[dict[str, Any]]:
    sheets = [book, *book.get("worksheets", ())]  # before version 4
    cells = [cell for sheet in sheets for cell in sheet.get("cells", ())]
    return [cell for cell in cells if cell.get("cell_type") == "code"]


def _cell_code(cell: dict[str, Any]) -> str:
    source = cell.get("source", cell.get("input", ""))
    text = "".join(map(str, source)) if isinstance(source, list) else str(source)
    magic = _CELL_MAGIC.match(text)
    if magic and magic[1] not in _PYTHON_CELLS:
        return ""
    return _MAGIC_LINE.sub(r"\1# ", text).strip("\n")


def _language(book: dict[str, Any]) -> str:
    about = book.get("metadata")
    for key in ("language_info", "kernelspec"):
        part = about.get(key) if isinstance(about, dict) else None
        for name in ("name", "language") if key == "language_info" else ("language",):
            if isinstance(part, dict) and isinstance(part.get(name), str):
                return str(part[name])
    return "python"
