"""An advisory file lock (flock) that serialises the writers of a SQLite store.

Decisions
- flock(2) on `<file>.lock` instead of SQLite's own busy polling: it wakes the waiting process, and
  it spans the checkpoint. The kernel releases it when a process ends.
- A process that is stopped inside a transaction (Ctrl-Z, a debugger, a frozen container) blocks
  every writer. A writer that waits longer than ten seconds logs which process holds the lock, once
  a minute, as a warning of the logger `annoy_store`.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

WARN_AFTER_SECONDS, WARN_EVERY_SECONDS = 10.0, 60.0
PROCESS_STATES = {"T": "stopped; continue it with kill -CONT {pid}", "t": "held by a debugger"}

logger = logging.getLogger("annoy_store")


class FileLock:
    """The lock of one SQLite file, for the threads of this process.

    Args:
        path: the SQLite file; the lock is a file beside it.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(f"{path}.lock")
        self._local = threading.local()
        self._waiting: dict[int, float] = {}  # thread -> since when, by the monotonic clock
        self._watcher: threading.Thread | None = None
        self._starting = threading.Lock()

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Wait for the lock, hold it, and release it at the end.

        Raises:
            RuntimeError: this thread holds it already.
        """
        if getattr(self._local, "writing", False):
            raise RuntimeError("a write transaction inside another would wait for itself")
        descriptor = self._descriptor()
        self._lock(descriptor)
        self._local.writing = True
        try:
            yield
        finally:
            self._local.writing = False
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _lock(self, descriptor: int) -> None:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        me = threading.get_ident()
        self._waiting[me] = time.monotonic()
        self._watch()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        finally:
            del self._waiting[me]

    def _descriptor(self) -> int:
        """One open file per thread and process: flock belongs to the open file, not the thread."""
        held: _LockFile | None = getattr(self._local, "lock", None)
        if held is None or held.pid != os.getpid():
            held = self._local.lock = _LockFile(self._path)
        return held.descriptor

    def _watch(self) -> None:
        """Start the thread that warns about long waits, unless it runs."""
        with self._starting:
            if self._watcher is None or not self._watcher.is_alive():
                self._watcher = threading.Thread(
                    target=self._warn_about_waits, name="annoy-lock-watcher", daemon=True
                )
                self._watcher.start()

    def _warn_about_waits(self) -> None:
        warned = -WARN_EVERY_SECONDS
        idle_since = time.monotonic()
        while (now := time.monotonic()) - idle_since < WARN_EVERY_SECONDS:
            waits = [now - since for since in list(self._waiting.values())]
            idle_since = now if waits else idle_since
            long = max(waits, default=0.0) >= WARN_AFTER_SECONDS
            if long and now - warned >= WARN_EVERY_SECONDS:
                warned = now
                logger.warning(
                    "%s has been locked for %.0f s by %s",
                    str(self._path).removesuffix(".lock"),
                    max(waits),
                    lock_holder(self._path),
                )
            time.sleep(WARN_AFTER_SECONDS / 5)


class _LockFile:
    """The open lock file of one thread; closed when the thread ends or its store is dropped."""

    def __init__(self, path: Path) -> None:
        self.pid, self.descriptor = os.getpid(), -1
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


def lock_holder(path: Path) -> str:
    """Return which process holds the lock on a file and its state, as a phrase for a message."""
    pid = _holding_pid(path)
    if pid is None:
        return f"a process that cannot be identified from here (try: fuser {path})"
    if pid == os.getpid():
        return "another thread of this process"
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return f"process {pid}"
    return f"process {pid}, " + PROCESS_STATES.get(state, "running").format(pid=pid)


def _holding_pid(path: Path) -> int | None:
    """The process that holds the lock, from /proc/locks (proc(5)); None if it is not listed there.

    A line there reads `1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE ..`.
    """
    try:
        found, lines = os.stat(path), Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    held = [line.split()[4:6] for line in lines if line.split()[1] == "FLOCK"]
    pids = [
        (place.startswith(device), int(pid))
        for pid, place in held
        if place.rpartition(":")[2] == str(found.st_ino)
    ]
    # Some file systems report another device to stat(2). Pid 0 is outside of this container.
    return max(pids, default=(False, 0))[1] or None
