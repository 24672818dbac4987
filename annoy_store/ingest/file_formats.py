"""Tell what a file is by its first bytes and its name, and open it.

Decisions
- The first bytes decide where they are clear, else the name does: gzip under a plain name is
  unpacked, and a page of HTML that was downloaded in place of data is called one.
- Text in UTF-16 or UTF-32 is recoded.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from annoy_store.ingest.arrow_files import arrow_rows, parquet_rows
from annoy_store.ingest.read_position import ReadPosition
from annoy_store.ingest.record_files import (
    CHUNK,
    RecordOrRefusal,
    csv_rows,
    json_lines,
    json_values,
    tsv_rows,
)
from annoy_store.ingest.source_text import encoding_by_mark

FORMATS: dict[str, Callable[[IO[bytes], str], Iterator[RecordOrRefusal]]] = {
    "jsonl": json_lines,
    "ndjson": json_lines,
    "jsonlines": json_lines,
    "json": json_values,
    "csv": csv_rows,
    "tsv": tsv_rows,
    "parquet": parquet_rows,
    "pq": parquet_rows,
    "arrow": arrow_rows,
    "feather": arrow_rows,
    "ipc": arrow_rows,
}
TEXT_FORMATS = {"jsonl", "ndjson", "jsonlines", "json", "csv", "tsv"}
ARCHIVES = {"tar", "zip"}
_TAR_NAMES = {"tgz": "gz", "tbz2": "bz2", "txz": "xz", "tzst": "zst"}
_ZIP_NAMES = {"whl", "jar", "egg"}


def _open_zst(stream: IO[bytes]) -> IO[bytes]:
    import pyarrow

    return io.BufferedReader(
        pyarrow.CompressedInputStream(pyarrow.PythonFile(stream, mode="r"), "zstd"), CHUNK
    )


COMPRESSIONS: dict[str, Callable[[IO[bytes]], Any]] = {
    "gz": gzip.open,
    "bz2": bz2.open,
    "xz": lzma.open,
    "zst": _open_zst,
}
_COMPRESSION_MAGIC = {
    b"\x1f\x8b\x08": "gz",
    **{b"BZh%d1AY&SY" % level: "bz2" for level in range(1, 10)},
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zst",
}
_FORMAT_MAGIC = {
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"FEA1": "feather",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
}
_TRUE_NAMES = {
    b"\x7fELF": ("elf", "an ELF program"),
    b"MZ\x90\0": ("exe", "a program for Windows"),
    b"\xcf\xfa\xed\xfe": ("mach_o", "a program for macOS"),
    b"\xca\xfe\xba\xbe": ("java_class", "a Java class"),
    b"\0asm": ("wasm", "a WebAssembly module"),
    b"%PDF-": ("pdf", "a PDF document"),
    b"\x89PNG\r\n": ("png", "a PNG image"),
    b"\xff\xd8\xff": ("jpeg", "a JPEG image"),
    b"GIF8": ("gif", "a GIF image"),
    b"SQLite format 3\0": ("sqlite", "a SQLite database"),
    b"\x93NUMPY": ("numpy", "a NumPy array"),
    b"\x89HDF\r\n": ("hdf5", "an HDF5 file"),
    b"Obj\x01": ("avro", "an Avro file"),
    b"ORC": ("orc", "an ORC file"),
    b"7z\xbc\xaf\x27\x1c": ("7z", "a 7z archive"),
    b"Rar!\x1a\x07": ("rar", "a RAR archive"),
    b"\x80\x02": ("pickle", "a pickle"),
    b"\x80\x03": ("pickle", "a pickle"),
    b"\x80\x04": ("pickle", "a pickle"),
    b"\x80\x05": ("pickle", "a pickle"),
}
_TEXTS = {
    b"%PDF-": _TRUE_NAMES[b"%PDF-"],
    b"version https://git-lfs.github.com/spec/": ("git_lfs", "a pointer of Git LFS, not its file"),
}
_PAGES = (b"<!doctype html", b"<html")


class Opened(NamedTuple):
    """An open file.

    Attributes:
        stream: Its bytes, unpacked.
        kind: A key of `FORMATS`, `tar`, `zip`, another ending, or empty.
        other: What it is if no source and no data: a word to count by, and its name; else None.
    """

    stream: IO[bytes]
    kind: str
    other: tuple[str, str] | None


def split_name(name: str) -> tuple[str, str]:
    """Return (compression, format) by the endings of a file name, each empty when it is unknown."""
    parts = name.lower().rsplit("/", 1)[-1].split(".")
    if len(parts) > 1 and parts[-1] in _TAR_NAMES:
        return _TAR_NAMES[parts[-1]], "tar"
    packing = parts.pop() if parts[-1] in COMPRESSIONS else ""
    ending = parts[-1] if len(parts) > 1 else ""
    return packing, "zip" if ending in _ZIP_NAMES else ending


@contextmanager
def open_file(
    source: Path | IO[bytes], name: str, position: ReadPosition | None = None
) -> Iterator[Opened]:
    """Open a file and tell what it is.

    Args:
        source: The file, or its stream.
        name: Its name.
        position: Gets to know how far it is read.

    Yields:
        The open file; it is closed afterwards.
    """
    packing, ending = split_name(name)
    with ExitStack() as stack:
        if isinstance(source, Path):
            stream = stack.enter_context((position or ReadPosition()).opened(source))
        else:
            stream = source
        packing = _by_magic(_COMPRESSION_MAGIC, _head(stream)) or packing
        if packing:
            stream = stack.enter_context(COMPRESSIONS[packing](stream))
        head = _head(stream)
        is_text = not any(byte < 9 for byte in head[:64])  # source code may begin with `PAR1`
        by_magic = None if is_text else _by_magic(_FORMAT_MAGIC, head)
        if head[257:262] == b"ustar":
            by_magic = "tar"
        kind = by_magic or ending
        if kind in TEXT_FORMATS and (encoding := encoding_by_mark(head)) not in (None, "utf-8-sig"):
            stream = stack.enter_context(_recoded(stream, str(encoding)))
        yield Opened(stream, kind, None if by_magic else _other(head, kind, is_text))


def _head(stream: IO[bytes]) -> bytes:
    peek = getattr(stream, "peek", None)
    return bytes(peek(512)[:512]) if peek else b""


def _by_magic(magic: dict[bytes, str], head: bytes) -> str | None:
    return next((kind for start, kind in magic.items() if head.startswith(start)), None)


def _other(head: bytes, kind: str, is_text: bool) -> tuple[str, str] | None:
    if is_text:
        page = head.lstrip()[:14].lower().startswith(_PAGES) and kind not in ("html", "htm")
        known = _TEXTS if not page else {b"": ("html", "a page of HTML")}
    else:
        known = _TRUE_NAMES
    return next((other for start, other in known.items() if head.startswith(start)), None)


@contextmanager
def _recoded(stream: IO[bytes], encoding: str) -> Iterator[IO[bytes]]:
    """Yield the text of a stream in UTF-8."""
    with tempfile.TemporaryFile() as whole:
        text = io.TextIOWrapper(stream, encoding, newline="")
        out = io.TextIOWrapper(whole, "utf-8", newline="")
        shutil.copyfileobj(text, out, CHUNK)
        out.flush()
        text.detach()
        out.detach()
        whole.seek(0)
        yield whole
