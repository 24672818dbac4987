"""Shows the progress of a run: a live frame on a terminal, else plain lines, or JSON lines.

Decisions
- A thread of its own draws, so the screen moves while the run waits for a store or a sandbox. The
  first frame is drawn before the run begins.
- What is printed on stderr meanwhile (warnings) is handed to that thread, which prints it above the
  frame: two threads that write to a terminal tear it.
- Where the size of the terminal changes, its screen is cleared: the lines of the last frame may
  have been wrapped anew, and nobody knows how.
- The frame is erased when the run ends. A second signal leaves it, with the cursor below.
"""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import time
from contextlib import AbstractContextManager, redirect_stderr
from queue import SimpleQueue
from typing import TYPE_CHECKING, Literal

from rich.console import Console, ConsoleDimensions
from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:  # they load the database layer, and the first frame is not to wait for that
    from annoy_store.worker.progress import Progress

FRAME_SECONDS, LINE_SECONDS = 0.25, 10.0
NEW_LINE_AND_CURSOR = b"\r\n\x1b[?25h"
LogFormat = Literal["auto", "plain", "json"]


class Messages(io.TextIOBase):
    """A stream whose texts wait until they are taken."""

    def __init__(self) -> None:
        self._texts: SimpleQueue[str] = SimpleQueue()

    def write(self, text: str) -> int:
        """Add a text; bytes are rejected, which is how click tells a text stream."""
        if not isinstance(text, str):
            raise TypeError("a text is needed")
        self._texts.put(text)
        return len(text)

    def take(self) -> str:
        """Return what was written since the last time."""
        return "".join(self._texts.get() for _ in range(self._texts.qsize()))


class Display(AbstractContextManager["Display"]):
    """Shows a run on stderr. A context manager, called with the progress as often as one likes.

    Args:
        quiet: show nothing.
        log: `plain` or `json` for lines; `auto` for a live frame where stderr is a terminal.
    """

    def __init__(self, quiet: bool = False, log: LogFormat = "auto") -> None:
        self._quiet, self._log = quiet, log
        self._console = Console(file=sys.stderr)
        self._messages = Messages()
        self._redirection = redirect_stderr(self._messages)
        is_live = log == "auto" and sys.stderr.isatty() and not self._console.is_dumb_terminal
        self._live = self._new_live() if is_live and not quiet else None
        self._size: ConsoleDimensions = self._console.size
        self._started = time.monotonic()
        self._progress: Progress | None = None
        self._next_copy = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._draw_on, name="display", daemon=True)

    def __enter__(self) -> Display:
        if self._live:
            self._redirection.__enter__()
            self._live.start()
            self._draw()
        if not self._quiet:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._quiet:
            return
        self._ended.set()
        self._thread.join()
        if self._live:
            self._live.stop()
            self._redirection.__exit__(None, None, None)
            sys.stderr.write(self._messages.take())
        elif self._log == "json":
            self._draw()

    def __call__(self, progress: Progress) -> None:
        """Take the progress to show from now on."""
        if self._quiet or time.monotonic() < self._next_copy:
            return
        self._progress, self._started = progress.copy(), progress.started
        self._next_copy = time.monotonic() + FRAME_SECONDS / 2

    def say(self, words: str) -> None:
        """Print a message; a signal handler may call this, for it uses no stream."""
        if self._live:
            self._messages.write(f"{words}\n")
        else:
            os.write(2, f"{words}\n".encode())

    def leave(self) -> None:
        """Leave the terminal usable, in a signal handler of a process that ends at once."""
        if self._live:
            os.write(self._console.file.fileno(), NEW_LINE_AND_CURSOR)

    def _draw_on(self) -> None:
        while not self._ended.wait(FRAME_SECONDS if self._live else LINE_SECONDS):
            self._draw()

    def _draw(self) -> None:
        elapsed = time.monotonic() - self._started
        if self._progress is None:
            if self._live:
                self._live.update(f"starting, {elapsed:.0f} s", refresh=True)
            return
        from annoy_store.worker.frame import as_dict, frame, line

        if self._live:
            self._follow_size()
            if text := self._messages.take():
                self._live.console.print(Text(text.rstrip("\n")))
            self._live.update(frame(self._progress, elapsed, self._console.width), refresh=True)
        elif self._log == "json":
            print(json.dumps(as_dict(self._progress, elapsed)), file=sys.stderr, flush=True)
        else:
            print(line(self._progress, elapsed), file=sys.stderr, flush=True)

    def _follow_size(self) -> None:
        if self._live and self._console.size != self._size:
            self._size = self._console.size
            self._live.stop()
            self._console.clear()
            self._live = self._new_live()
            self._live.start()

    def _new_live(self) -> Live:
        return Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stderr=False
        )
