"""The report's figures, drawn in the background and kept until they are old."""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime

from annoy_store.db.engine import Database
from annoy_store.errors import UsageError
from annoy_store.report import Gathered, gather

FRESH_SECONDS = 60.0
_log = logging.getLogger(__name__)


class Plots:
    """What was drawn last. Asking for it starts a new drawing when it is old, and never waits."""

    def __init__(self, store: Database) -> None:
        self.store = store
        self.trouble = ""
        self._drawn: Gathered | None = None
        self._at = float("-inf")
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def latest(self, *, fresh: bool = True) -> Gathered | None:
        """Return the figures drawn last; with `fresh`, begin to draw newer ones if they are old."""
        with self._lock:
            old = time.monotonic() - self._at > FRESH_SECONDS
            if fresh and old and not self.drawing:
                self._thread = threading.Thread(target=self._draw, name="figures", daemon=True)
                self._thread.start()
            return self._drawn

    @property
    def drawing(self) -> bool:
        """True while figures are being drawn."""
        return self._thread is not None and self._thread.is_alive()

    def wait(self, seconds: float) -> None:
        """Wait until what is being drawn is there, at most so long."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _draw(self) -> None:
        try:
            self._drawn = gather(self.store, datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))
            self.trouble = ""
        except UsageError as error:
            self.trouble = str(error)
        except Exception as error:  # told on the page: a thread has nobody else to tell
            _log.exception("the figures could not be drawn")
            self.trouble = f"the figures could not be drawn ({type(error).__name__}: {error})"
        self._at = time.monotonic()
