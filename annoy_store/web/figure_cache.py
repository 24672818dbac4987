"""A cache of the report's figures, rendered in the background."""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime

from annoy_store.db.engine import Database
from annoy_store.errors import UsageError
from annoy_store.report import ReportData, collect

FRESH_SECONDS = 60.0
logger = logging.getLogger(__name__)


class FigureCache:
    """The figures that were rendered last; reading them never waits.

    Attributes:
        store: The store.
        error: Message of the last rendering if it failed, else ''.
    """

    def __init__(self, store: Database) -> None:
        self.store = store
        self.error = ""
        self._latest: ReportData | None = None
        self._rendered_at = float("-inf")
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def latest(self, *, fresh: bool = True) -> ReportData | None:
        """Return the figures that were rendered last; None before the first time.

        Args:
            fresh: Start to render new ones in the background if they are older than
                `FRESH_SECONDS`.
        """
        with self._lock:
            is_old = time.monotonic() - self._rendered_at > FRESH_SECONDS
            if fresh and is_old and not self.is_rendering:
                self._thread = threading.Thread(target=self._render, name="figures", daemon=True)
                self._thread.start()
            return self._latest

    @property
    def is_rendering(self) -> bool:
        """True while figures are being rendered."""
        return self._thread is not None and self._thread.is_alive()

    def wait(self, seconds: float) -> None:
        """Wait for the rendering in progress, at most so many seconds."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _render(self) -> None:
        try:
            self._latest = collect(self.store, datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))
            self.error = ""
        except UsageError as error:
            self.error = str(error)
        except Exception as error:  # shown on the page: nothing awaits this thread
            logger.exception("figures could not be rendered")
            self.error = f"figures could not be rendered ({type(error).__name__}: {error})"
        self._rendered_at = time.monotonic()
