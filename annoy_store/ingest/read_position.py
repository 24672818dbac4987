"""How far a reader is in the files that it reads, in bytes.

Decision: the operating system knows the position in an open file, so nothing is counted while rows
are read. A packed file counts as it lies on the disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class ReadPosition:
    """The bytes of files that have been read; another thread may ask for them."""

    def __init__(self) -> None:
        self._closed = 0
        self._current: IO[bytes] | None = None

    @contextmanager
    def opened(self, path: Path) -> Iterator[IO[bytes]]:
        """Open a file; afterwards all of it counts as read."""
        with path.open("rb") as stream:
            self._current, size = stream, os.fstat(stream.fileno()).st_size
            try:
                yield stream
            finally:
                self._current = None
                self._closed += size

    @property
    def n_bytes(self) -> int:
        """Bytes of the files read before, and the position in the one that is open."""
        closed, current = self._closed, self._current
        try:
            at = os.lseek(current.fileno(), 0, os.SEEK_CUR) if current else 0
        except (OSError, ValueError):  # a pipe; or closed by the thread that reads
            at = 0
        return closed + at
