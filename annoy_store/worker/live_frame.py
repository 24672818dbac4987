"""A frame on a terminal that is drawn again and again, and stays whole.

Decisions
- A thread of its own draws, so the frame moves while its command waits for a store or a sandbox.
- What is printed on stderr meanwhile (warnings) is handed to that thread, which prints it above the
  frame: two threads that write to a terminal tear it.
- Where the size of the terminal changes, its screen is cleared: the lines of the last frame may
  have been wrapped anew, and nobody knows how.
- The last frame is drawn and erased at the end. A process that ends at once leaves it, with the cursor below.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, redirect_stderr
from queue import SimpleQueue

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

FRAME_SECONDS = 0.25
NEW_LINE_AND_CURSOR = b"\r\n\x1b[?25h"


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


class LiveFrame(AbstractContextManager["LiveFrame"]):
    """Draws a frame on stderr four times a second. A context manager.

    Args:
        console: the terminal.
        render: returns the frame for a terminal of so many columns.
    """

    def __init__(self, console: Console, render: Callable[[int], RenderableType]) -> None:
        self._console, self._render = console, render
        self._messages = Messages()
        self._redirection = redirect_stderr(self._messages)
        self._size = console.size
        self._live = self._new_live()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._draw_on, name="live-frame", daemon=True)

    def __enter__(self) -> LiveFrame:
        self._redirection.__enter__()
        self._live.start()
        self._draw()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._draw()
        self._live.stop()
        self._redirection.__exit__(None, None, None)
        sys.stderr.write(self._messages.take())

    def say(self, words: str) -> None:
        """Print a message above the frame; a signal handler may call this, for it uses no stream."""
        self._messages.write(f"{words}\n")

    def leave(self) -> None:
        """Leave the terminal usable, in a signal handler of a process that ends at once."""
        os.write(self._console.file.fileno(), NEW_LINE_AND_CURSOR)

    def _draw_on(self) -> None:
        while not self._ended.wait(FRAME_SECONDS):
            self._draw()

    def _draw(self) -> None:
        self._follow_size()
        if text := self._messages.take():
            self._live.console.print(Text(text.rstrip("\n")))
        self._live.update(self._render(self._console.width), refresh=True)

    def _follow_size(self) -> None:
        if self._console.size != self._size:
            self._size = self._console.size
            self._live.stop()
            self._console.clear()
            self._live = self._new_live()
            self._live.start()

    def _new_live(self) -> Live:
        return Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stderr=False
        )
