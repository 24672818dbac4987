"""A value that is computed in the background and kept: reading it never waits for long."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from annoy_store.errors import UsageError

FRESH_SECONDS = 60.0
LARGEST_SHARE = 0.05  # of the time that is spent on computing it again and again
Value = TypeVar("Value")
logger = logging.getLogger(__name__)


class Background(Generic[Value]):
    """The value that was computed last.

    Attributes:
        what: What is computed, for error messages.
        error: Message of the last computation if it failed, else ''.
    """

    def __init__(
        self,
        what: str,
        compute: Callable[[], Value],
        known: Callable[[], Value | None] | None = None,
    ) -> None:
        """Prepare to compute.

        Args:
            what: What is computed.
            compute: Computes it.
            known: Returns quickly what an earlier process has computed; None if nothing is known.
        """
        self.what = what
        self.error = ""
        self._compute = compute
        self._known = known
        self._latest: Value | None = None
        self._seconds = 0.0
        self._computed_at = float("-inf")
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def latest(self, wait_seconds: float = 0.0) -> Value | None:
        """Return the last value, and compute a new one if it is older than `FRESH_SECONDS`.

        One that takes long is computed less often: `LARGEST_SHARE` of the time.

        Args:
            wait_seconds: Time to wait for the first value.

        Returns:
            The value; None before the first time.
        """
        with self._lock:
            if self._known is not None:
                self._latest, self._known = self._known(), None
            fresh_seconds = max(FRESH_SECONDS, self._seconds / LARGEST_SHARE)
            is_old = time.monotonic() - self._computed_at > fresh_seconds
            if is_old and not self.is_running:
                # no daemon: a thread inside DuckDB aborts a process that ends under it
                self._thread = threading.Thread(target=self._run, name=self.what)
                self._thread.start()
        if self._latest is None and wait_seconds:
            self.wait(wait_seconds)
        return self._latest

    @property
    def is_running(self) -> bool:
        """True while a value is being computed."""
        return self._thread is not None and self._thread.is_alive()

    def wait(self, seconds: float) -> None:
        """Wait for the computation in progress, at most so many seconds."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        start = time.monotonic()
        try:
            self._latest = self._compute()
            self.error = ""
        except UsageError as error:
            self.error = str(error)
        except Exception as error:  # shown on the page: nothing awaits this thread
            if threading.main_thread().is_alive():  # else it failed because the process ends
                logger.exception("%s failed", self.what)
            self.error = f"{self.what} failed ({type(error).__name__}: {error})"
        self._computed_at = time.monotonic()
        self._seconds = self._computed_at - start
