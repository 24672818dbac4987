"""A value that is computed in the background and kept: reading it never waits for long."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from annoy_store.errors import UsageError

FRESH_SECONDS = 60.0
Value = TypeVar("Value")
logger = logging.getLogger(__name__)


class Background(Generic[Value]):
    """The value that was computed last.

    Attributes:
        what: What is computed, for error messages.
        error: Message of the last computation if it failed, else ''.
    """

    def __init__(self, what: str, compute: Callable[[], Value]) -> None:
        self.what = what
        self.error = ""
        self._compute = compute
        self._latest: Value | None = None
        self._computed_at = float("-inf")
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def latest(self, wait_seconds: float = 0.0) -> Value | None:
        """Return the last value, and compute a new one if it is older than `FRESH_SECONDS`.

        Args:
            wait_seconds: Time to wait for the first value.

        Returns:
            The value; None before the first time.
        """
        with self._lock:
            is_old = time.monotonic() - self._computed_at > FRESH_SECONDS
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
