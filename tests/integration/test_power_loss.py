"""Power fails while a worker writes to SQLite: commits at the end may be lost, never half of one.

With `synchronous=NORMAL` a checkpoint syncs the log before it copies pages, and nothing syncs what
was committed since. So all that power loss can take is a tail of the log behind what a checkpoint
has begun to copy. A worker is stopped, in the middle of whatever it does, the file and its log are
copied, and the tail of the copy is cut at a random byte or torn.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.migrate import open_store
from annoy_store.db.sqlite_file import sqlite_module
from annoy_store.maintenance.check import check
from annoy_store.maintenance.fingerprint import content_differences
from tests.integration.test_crash import asked_of, held, started
from tests.integration.test_pipeline import sources, teach, work
from tests.support.provider import Provider

FACTORS = (3, 5, 7)
LOG_HEADER, FRAME_HEADER = 32, 24
TORN_BYTES = 64
Held = dict[str, Counter[str]]


@dataclass(frozen=True)
class Moment:
    """A store's files at one moment, and from where to where its log may be lost, in bytes."""

    file: Path
    synced: int
    end: int

    def fail(self, into: Path, chance: random.Random) -> int:
        """Copy the files as power loss may leave them; returns how many bytes of the log are gone."""
        shutil.copy(self.file, into)
        log = Path(f"{self.file}-wal").read_bytes()
        cut = chance.randint(self.synced, self.end)
        kept = bytearray(log[:cut])
        if chance.random() < 1 / 3:
            torn = min(TORN_BYTES, cut - self.synced)
            kept[cut - torn :] = chance.randbytes(torn)
        Path(f"{into}-wal").write_bytes(kept)
        return self.end - cut


def copied(store: Database, folder: Path) -> Moment:
    """The files of a store whose writers are stopped, copied by another process.

    One that opens and closes the file here would drop the locks that SQLite holds on it.
    """
    folder.mkdir()
    files = [f"{store.path}{ending}" for ending in ("", "-wal", "-shm")]
    subprocess.run(["cp", *files, folder], check=True)
    index = (folder / "store.db-shm").read_bytes()
    page_size = struct.unpack_from("=H", index, 14)[0]
    n_frames, n_copied = (struct.unpack_from("=I", index, at)[0] for at in (16, 128))
    synced, end = (LOG_HEADER + n * (FRAME_HEADER + page_size) for n in (n_copied, n_frames))
    return Moment(folder / "store.db", synced, max(synced, end))


def checkpoint(store: Database) -> None:
    """Copy what is in the log into the file, as a commit does now and then in a longer run."""
    with store.write_lock():
        connection = sqlite_module().connect(str(store.path))
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        connection.close()


@contextmanager
def stopped(process: subprocess.Popen[bytes]) -> Iterator[None]:
    os.killpg(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGCONT)


def moments(
    store: Database, provider: Provider, folder: Path, at: Sequence[int], chance: random.Random
) -> list[Moment]:
    """Copies of a store while a worker works on it, each after so many requests."""
    found: list[Moment] = []
    began = asked_of(provider)
    process = started(store, provider)
    try:
        for number, n in enumerate(at):
            while asked_of(provider) - began < n and process.poll() is None:
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.05))
            if number % 2:
                checkpoint(store)
                time.sleep(chance.uniform(0, 0.05))
            with stopped(process):
                found.append(copied(store, folder / f"moment-{number}"))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return found


def goes_on(url: str, provider: Provider, wanted: Held) -> None:
    """What is left is in order, and a run makes of it what an undisturbed run makes."""
    store = open_store(url)
    assert check(store) == []
    work(store, provider)
    assert check(store) == []
    assert content_differences(wanted, held(store)) == {}
    store.close()


def survive(store: Database, folder: Path, n_moments: int, cuts: int, seed: int) -> int:
    """Let power fail `cuts` times at each of some moments; returns how often commits were lost."""
    chance = random.Random(seed)
    lost = []
    with Provider(answers=teach, latency=0.03).serving() as provider:
        with store.write() as connection:
            insert_rows(connection, sources(*FACTORS))
        checkpoint(store)
        shutil.copy(str(store.path), folder / "undisturbed.db")
        undisturbed = open_store(f"sqlite:///{folder}/undisturbed.db")
        work(undisturbed, provider)
        wanted, n_requests = held(undisturbed), asked_of(provider)
        undisturbed.close()
        at = sorted(chance.randint(1, n_requests * 4 // 5) for _ in range(n_moments))
        for n, moment in enumerate(moments(store, provider, folder, at, chance)):
            for k in range(cuts):
                lost.append(moment.fail(folder / f"cut-{n}-{k}.db", chance))
                goes_on(f"sqlite:///{folder}/cut-{n}-{k}.db", provider, wanted)
    print(f"{len(lost)} cuts, {sum(map(bool, lost))} lost commits, {max(lost):,} bytes at most")
    return sum(map(bool, lost))


@pytest.mark.slow
def test_power_fails(sqlite_store: Database, tmp_path: Path) -> None:
    assert survive(sqlite_store, tmp_path, n_moments=3, cuts=1, seed=3) > 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_power_fails_sixty_times(sqlite_store: Database, tmp_path: Path) -> None:
    assert survive(sqlite_store, tmp_path, n_moments=12, cuts=5, seed=4) > 30
