"""One file of an export: read back, hashed, and checked to hold one line per record."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from annoy_store.errors import UsageError

_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class WrittenFile:
    """One file of an export.

    Attributes:
        name: Path relative to the folder of the export.
        split: The split that it belongs to.
        first: Position of its first record in the whole export, from 0.
        rows: Number of its records.
        bytes: Its size.
        sha256: SHA-256 of its content, hexadecimal.
    """

    name: str
    split: str
    first: int
    rows: int
    bytes: int
    sha256: str

    def as_json(self) -> dict[str, Any]:
        """Return its entry in `export.json` and in `exports.files`."""
        return asdict(self)


def check_file(
    folder: Path, name: str, *, split: str, first: int, rows: int, is_plain_jsonl: bool
) -> WrittenFile:
    """Hash a file; of plain JSON lines also count the lines.

    Args:
        folder: Folder of the export.
        name: Path of the file in it.
        split: The split of the file.
        first: Position of its first record in the whole export.
        rows: Number of records that it should hold.
        is_plain_jsonl: Whether it is JSON lines without compression.

    Returns:
        The file with its size and its hash.

    Raises:
        UsageError: If the number of lines is not `rows`, or a line is empty.
    """
    digest, lines, size, ended = hashlib.sha256(), 0, 0, True
    with (folder / name).open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            if is_plain_jsonl:
                lines += _count_lines(chunk, name, after_end=ended)
                ended = chunk.endswith(b"\n")
    if is_plain_jsonl and lines != rows:
        raise UsageError(f"{name} has {lines} lines for {rows} records; nothing was kept")
    return WrittenFile(name, split, first, rows, size, digest.hexdigest())


def _count_lines(chunk: bytes, name: str, *, after_end: bool) -> int:
    """Count the line ends of a chunk; an empty line would be a record that is lost.

    Raises:
        UsageError: If a line is empty.
    """
    count, last, at = 0, -1 if after_end else -2, chunk.find(b"\n")
    while at >= 0:
        if at == last + 1:
            raise UsageError(f"{name} has an empty line; the text of a record is broken")
        count, last, at = count + 1, at, chunk.find(b"\n", at + 1)
    return count
