"""A command in a real pseudo-terminal, and what a person sees on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 60.0


class Terminal:
    """A terminal with `annoy ARGS` in it."""

    def __init__(self, folder: Path, args: tuple[str, ...], columns: int, **env: str) -> None:
        pyte: Any = pytest.importorskip("pyte")
        self._screen = pyte.Screen(columns, 30)
        self._stream = pyte.ByteStream(self._screen)
        self._master, slave = pty.openpty()
        self.resize(columns)
        self.raw = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "annoy_store", *args],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm", **env},
            start_new_session=True,
        )
        os.close(slave)

    @property
    def text(self) -> str:
        """The screen as lines without trailing blanks."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    @property
    def shows_cursor(self) -> bool:
        """Whether the cursor is visible."""
        return not self._screen.cursor.hidden

    def resize(self, columns: int) -> None:
        """Give the terminal another width."""
        self._screen.resize(30, columns)
        size = struct.pack("HHHH", 30, columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def wait_for(self, seen: Callable[[str], bool]) -> str:
        """Return the first screen of which `seen` is true."""
        until = time.monotonic() + TIMEOUT_SECONDS
        while not seen(self.text):
            assert time.monotonic() < until, self.text
            assert self._read(), self.text
        return self.text

    def wait_for_end(self) -> str:
        """Return the screen after the end of the command."""
        while self._read():
            continue
        self.process.wait(TIMEOUT_SECONDS)
        return self.text

    def _read(self) -> bool:
        if not select.select([self._master], [], [], TIMEOUT_SECONDS)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux: nobody has the other end open any more
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)

    def close(self) -> None:
        """End the command."""
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@contextmanager
def in_terminal(folder: Path, *args: str, columns: int = 80, **env: str) -> Iterator[Terminal]:
    """Run `annoy ARGS` in a terminal of so many columns, in a folder."""
    terminal = Terminal(folder, args, columns, **env)
    try:
        yield terminal
    finally:
        terminal.close()
