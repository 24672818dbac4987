"""The file lock: one writer at a time, and a warning that names who blocks the others."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from annoy_store.db import file_lock
from annoy_store.db.file_lock import FileLock, lock_holder

HOLD = """
import os, signal, sys
from pathlib import Path
from annoy_store.db.file_lock import FileLock
with FileLock(Path(sys.argv[1])).acquire():
    print("mine", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


@pytest.fixture
def other(file: Path):  # type: ignore[no-untyped-def]
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "mine\n"
    with process:
        yield process
        process.kill()


def test_file_lock_lets_one_thread_in_at_a_time(file: Path) -> None:
    ours, inside, most = FileLock(file), [], []

    def work() -> None:
        for _ in range(50):
            with ours.acquire():
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 400


def test_acquire_twice_in_a_thread_is_an_error(file: Path) -> None:
    ours = FileLock(file)
    with ours.acquire(), pytest.raises(RuntimeError, match="wait for itself"), ours.acquire():
        pass
    with ours.acquire():
        pass


def test_file_lock_is_released_when_a_process_dies(
    file: Path, other: subprocess.Popen[str]
) -> None:
    assert lock_holder(Path(f"{file}.lock")) == f"process {other.pid}, running"
    other.kill()
    other.wait()
    with FileLock(file).acquire():
        assert lock_holder(Path(f"{file}.lock")) == "another thread of this process"
    assert lock_holder(Path(f"{file}.lock")).startswith(
        "a process that cannot be identified from here"
    )


def test_file_lock_warns_once_about_a_stopped_holder(
    file: Path,
    other: subprocess.Popen[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(file_lock, "WARN_AFTER_SECONDS", 0.2)
    caplog.set_level(logging.WARNING, "annoy_store")
    os.kill(other.pid, signal.SIGSTOP)
    ours, done = FileLock(file), threading.Event()

    def wait() -> None:
        with ours.acquire():
            done.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    until = time.monotonic() + 10
    while not caplog.messages and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.3)
    [message] = caplog.messages
    assert message.startswith(f"{file} has been locked for ")
    assert message.endswith(
        f"process {other.pid}, stopped; continue it with kill -CONT {other.pid}"
    )
    assert not done.is_set()
    os.kill(other.pid, signal.SIGCONT)
    other.communicate("\n")
    waiting.join(10)
    assert done.is_set()


def test_file_lock_does_not_warn_about_a_short_wait(
    file: Path, other: subprocess.Popen[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "annoy_store")
    later = threading.Timer(0.2, other.kill)
    later.start()
    with FileLock(file).acquire():
        assert caplog.messages == []
    later.join()
