"""Shows the progress of a run: a live frame on a terminal, else plain lines, or JSON lines.

Decision: the first frame is drawn before the run begins.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal

from rich.console import Console, RenderableType
from rich.text import Text

from annoy_store.worker.live_frame import FRAME_SECONDS, LiveFrame

if TYPE_CHECKING:  # they load the database layer, and the first frame is not to wait for that
    from annoy_store.worker.progress import Progress

LINE_SECONDS = 10.0
LogFormat = Literal["auto", "plain", "json"]


class Display(AbstractContextManager["Display"]):
    """Shows a run on stderr. A context manager, called with the progress as often as one likes.

    Args:
        quiet: show nothing.
        log: `plain` or `json` for lines; `auto` for a live frame where stderr is a terminal.
    """

    def __init__(self, quiet: bool = False, log: LogFormat = "auto") -> None:
        self._quiet, self._log = quiet, log
        console = Console(file=sys.stderr)
        is_live = log == "auto" and sys.stderr.isatty() and not console.is_dumb_terminal
        self._frame = LiveFrame(console, self._render) if is_live and not quiet else None
        self._started = time.monotonic()
        self._progress: Progress | None = None
        self._next_copy = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._print_on, name="display", daemon=True)

    def __enter__(self) -> Display:
        if self._frame:
            self._frame.__enter__()
        elif not self._quiet:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._frame:
            self._frame.__exit__()
        elif not self._quiet:
            self._ended.set()
            self._thread.join()
            if self._log == "json":
                self._print()

    def __call__(self, progress: Progress) -> None:
        """Take the progress to show from now on."""
        if self._quiet or time.monotonic() < self._next_copy:
            return
        self._progress, self._started = progress.copy(), progress.started
        self._next_copy = time.monotonic() + FRAME_SECONDS / 2

    def say(self, words: str) -> None:
        """Print a message; a signal handler may call this, for it uses no stream."""
        if self._frame:
            self._frame.say(words)
        else:
            os.write(2, f"{words}\n".encode())

    def leave(self) -> None:
        """Leave the terminal usable, in a signal handler of a process that ends at once."""
        if self._frame:
            self._frame.leave()

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _render(self, width: int) -> RenderableType:
        if self._progress is None:
            return Text(f"starting, {self._elapsed:.0f} s")
        from annoy_store.worker.frame import frame

        return frame(self._progress, self._elapsed, width)

    def _print_on(self) -> None:
        while not self._ended.wait(LINE_SECONDS):
            self._print()

    def _print(self) -> None:
        if self._progress is None:
            return
        from annoy_store.worker.frame import as_dict, line

        if self._log == "json":
            text = json.dumps(as_dict(self._progress, self._elapsed))
        else:
            text = line(self._progress, self._elapsed)
        print(text, file=sys.stderr, flush=True)
