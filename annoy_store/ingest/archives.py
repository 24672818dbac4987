"""Walk the files in a tar or zip archive like those of a folder.

Decisions. Only regular files count; hidden and cache folders are skipped, links never followed, and
nothing is unpacked to disk. A member is read as a stream, in the order of the archive.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any

from annoy_store.ingest.arrow_files import seekable

ARCHIVE_ERRORS = (tarfile.TarError, zipfile.BadZipFile, zlib.error)
MEMBER_ERRORS = (RuntimeError, NotImplementedError)  # encrypted; an unknown compression
SKIPPED_FOLDERS = {"__pycache__", "node_modules"}


def archive_members(stream: IO[bytes], kind: str) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the name and the stream of each file; the stream is valid until the next one.

    Args:
        stream: The archive.
        kind: `tar` or `zip`.
    """
    yield from _tar(stream) if kind == "tar" else _zip(stream)


def is_skipped_folder(name: str) -> bool:
    """Return whether a folder of this name holds no sources: a hidden one, or a cache."""
    return name.startswith(".") or name in SKIPPED_FOLDERS


def _wanted(name: str) -> bool:
    folders = [part for part in name.split("/")[:-1] if part not in ("", ".", "..")]
    return not any(map(is_skipped_folder, folders))


def _tar(stream: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            opened = archive.extractfile(member) if member.isreg() else None
            if opened is not None and _wanted(member.name):
                yield member.name.removeprefix("./"), io.BufferedReader(_Forward(opened))


class _Forward(io.RawIOBase):
    """A member of a streamed tar, which `io.TextIOWrapper` cannot ask whether it is seekable."""

    def __init__(self, member: IO[bytes]) -> None:
        self._member = member

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._member.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _zip(stream: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    with seekable(stream) as whole, zipfile.ZipFile(whole) as archive:
        for member in archive.infolist():
            is_link = member.external_attr >> 28 == 0xA
            if member.is_dir() or is_link or not _wanted(member.filename):
                continue
            with archive.open(member) as opened:
                yield member.filename, opened
