"""Ends what tests started, however their session ends: in good order, interrupted or killed.

A process of its own watches the process that runs the tests and, under xdist, the one that gave it
the tests. When either is gone, or says that it is done, the watcher stops the PostgreSQL servers
that it was told of, removes their folders, and kills every process that has the mark of the session
in its environment.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MARK = "PYTEST_SESSION_MARK"
POLL_SECONDS = 0.5
STOP_SECONDS = 10.0


class Watcher:
    """The watching process, seen from the session."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def stop_server(self, folder: Path) -> None:
        """See that the server whose files are in `folder` ends with the session."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{folder}\n".encode())
        self._process.stdin.flush()


@contextmanager
def watched_session() -> Iterator[Watcher]:
    """Mark this session, and end what it leaves."""
    mark = uuid.uuid4().hex
    controller = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    command = [sys.executable, "-S", "-E", __file__, mark, str(controller), str(os.getpid())]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    before, os.environ[MARK] = os.environ.get(MARK), mark
    try:
        yield Watcher(process)
    finally:
        os.environ.pop(MARK)
        if before is not None:
            os.environ[MARK] = before
        process.communicate()


def _wait(controller: int) -> list[Path]:
    """Return the servers' folders when the session ended, or who controls it."""
    told = b""
    while True:
        if select.select([0], [], [], POLL_SECONDS)[0]:
            new = os.read(0, 65536)
            told += new
            if not new:
                break
        elif not _is_alive(controller):
            break
    return [Path(os.fsdecode(line)) for line in told.splitlines()]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with suppress(OSError):  # where there is no /proc
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


def _stop_server(folder: Path) -> None:
    """Shut a server down without the care that kept data would need."""
    with suppress(OSError, ValueError, IndexError):
        pid = int((folder / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        until = time.monotonic() + STOP_SECONDS
        while _is_alive(pid) and time.monotonic() < until:
            time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)


def _marked(mark: str) -> Iterator[int]:
    """The processes of the session; none where there is no /proc."""
    wanted = f"{MARK}={mark}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if wanted in path.read_bytes().split(b"\0"):
                yield int(path.parent.name)


def main(mark: str, controller: int, runner: int) -> None:
    """Wait for the end of a session, and end what it left."""
    folders = _wait(controller)
    left = set(_marked(mark))
    if not _is_alive(controller):
        left.add(runner)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for folder in folders:
        _stop_server(folder)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
