"""Whose turn it is to write a SQLite file: a lock beside it, which the kernel drops with a process.

Decisions
- An advisory lock (flock) on `<file>.lock` and not SQLite's own busy polling: it wakes who waits,
  and it spans the checkpoint.
- A process that is stopped inside a transaction (Ctrl-Z, a debugger, a frozen container) holds up
  every writer. Who waits longer than ten seconds is told by whom, once a minute, as a warning of
  the logger `annoy_store`, which a program that has set up no logging shows on stderr.
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

_log = logging.getLogger("annoy_store")


class FileLock:
    """The turns of one SQLite file, as the threads of this process take them."""

    def __init__(self, path: Path) -> None:
        self._path = Path(f"{path}.lock")
        self._local = threading.local()
        self._waiting: dict[int, float] = {}  # thread -> since when, by the monotonic clock
        self._watcher: threading.Thread | None = None
        self._starting = threading.Lock()

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Wait for the turn of this thread, and give it up at the end."""
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
        """See to it that somebody watches over those who wait."""
        with self._starting:
            if self._watcher is None or not self._watcher.is_alive():
                self._watcher = threading.Thread(
                    target=self._tell_who_waits, name="annoy-turns", daemon=True
                )
                self._watcher.start()

    def _tell_who_waits(self) -> None:
        told = -WARN_EVERY_SECONDS
        idle_since = time.monotonic()
        while (now := time.monotonic()) - idle_since < WARN_EVERY_SECONDS:
            waits = [now - since for since in list(self._waiting.values())]
            idle_since = now if waits else idle_since
            if max(waits, default=0.0) >= WARN_AFTER_SECONDS and now - told >= WARN_EVERY_SECONDS:
                told = now
                _log.warning(
                    "%s has been written for %.0f s by %s",
                    str(self._path).removesuffix(".lock"),
                    max(waits),
                    lock_holder(self._path),
                )
            time.sleep(WARN_AFTER_SECONDS / 5)


class _LockFile:
    """The open lock file of one thread; closed when the thread, or its store, is gone."""

    def __init__(self, path: Path) -> None:
        self.pid, self.descriptor = os.getpid(), -1
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


def lock_holder(path: Path) -> str:
    """Say which process holds the lock on a file and what it does, as far as the system tells."""
    pid = _holding_pid(path)
    if pid is None:
        return f"a process that this one does not see (fuser {path} may)"
    if pid == os.getpid():
        return "another thread of this process"
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return f"process {pid}"
    return f"process {pid}, " + PROCESS_STATES.get(state, "which runs").format(pid=pid)


def _holding_pid(path: Path) -> int | None:
    """The process with the lock, from Linux's list: `1: FLOCK ADVISORY WRITE PID DEVICE:INODE ..`"""
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
    # Some file systems tell `stat` another device. Pid 0 is a process outside of this container.
    return max(pids, default=(False, 0))[1] or None
