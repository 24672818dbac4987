"""The one sandbox of a process, opened when it is first needed.

Decisions
- A trainer starts workers by `fork` as well as by `spawn`. A forked worker inherits the sandbox of
  its parent, whose processes answer the parent only: it forgets it and opens its own.
- The sandbox is opened with the settings of the environment (`ANNOY_SLOTS`, `ANNOY_PYTHON`, ..).
  Trainers start many workers, so `ANNOY_SLOTS` is a bound per process.
"""

from __future__ import annotations

import atexit
import os
import threading

from annoy_store.config import RunSettings
from annoy_store.interfaces import Sandbox
from annoy_store.sandbox import LocalSandbox, open_sandbox
from annoy_store.sandbox.pool import available_cores


class ProcessSandbox:
    """Opens the sandbox of this process once; thread-safe, and safe across a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sandbox: LocalSandbox | None = None
        self._inherited: list[LocalSandbox] = []  # kept, so that nothing of them is finalised
        os.register_at_fork(after_in_child=self._forget)
        atexit.register(self.close)

    def get(self) -> Sandbox:
        """Return the sandbox, opened by the first call.

        Raises:
            UsageError: No isolation level works on this machine; the message says what to do.
        """
        with self._lock:
            if self._sandbox is None:
                settings = RunSettings.layered({}, {})
                self._sandbox = open_sandbox(
                    slots=settings.slots,
                    python=settings.python,
                    unsafe=settings.unsafe_no_sandbox,
                    allow_subprocess=settings.allow_subprocess,
                )
            return self._sandbox

    def close(self) -> None:
        """End the processes of the sandbox; a later call of `get` opens a new one."""
        with self._lock:
            sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            sandbox.close()

    def _forget(self) -> None:
        self._lock = threading.Lock()  # another thread of the parent may have held it
        if self._sandbox is not None:
            self._inherited.append(self._sandbox)
            self._sandbox = None


def sandbox_slots() -> int:
    """Return how many calls the sandbox of a process runs at the same time."""
    return RunSettings.layered({}, {}).slots or available_cores()


process_sandbox = ProcessSandbox()
