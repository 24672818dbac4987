"""Signals: at every moment of a start, in a run, and what an interrupted import is told as."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from annoy_store.db.engine import Database
from tests.commands.conftest import CHECKOUT, Annoy
from tests.integration.test_interrupted_calls import kept, plan_calls
from tests.support.provider import Provider

EARLY = ("click", "pydantic", "annoy_store.config", "annoy_store.db.tables")
LATE = ("annoy_store.worker.worker", "httpx2", "openai", "aiohttp", "annoy_store.sandbox")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "module",
    [
        *(pytest.param(name, marks=pytest.mark.slow) for name in EARLY[1:]),
        EARLY[0],
        *(pytest.param(name, marks=pytest.mark.slow) for name in LATE[1:]),
        LATE[0],
    ],
)
def test_signal_while_a_run_starts_is_told_as_an_interruption(
    sqlite_store: Database, module: str, number: signal.Signals
) -> None:
    """The signal comes when a module has just been imported."""
    plan_calls(sqlite_store, 2)
    with Provider(latency=0.2).serving() as provider:
        url = sqlite_store.url.render_as_string()
        run = ["--store", url, "run", "--base-url", provider.url, "--model", "sim"]
        with subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", "annoy_store", *run],
            env={"PYTHONPATH": str(CHECKOUT), "PATH": os.environ["PATH"]},
            cwd=CHECKOUT,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stderr is not None
            said: list[str] = []
            for line in process.stderr:
                name = line.rpartition("|")[2].strip()
                if name == module and line.startswith("import time:"):
                    process.send_signal(number)
                elif not line.startswith("import time:"):
                    said.append(line)
            process.wait(60)
    words = "".join(said)
    assert process.returncode == 130, words
    assert "internal error" not in words
    assert "Traceback" not in words
    assert "nothing to do" not in words
    assert "interrupted" in words or "finishing calls in flight, for up to 60 s" in words
    assert kept(sqlite_store)["jobs"].get("claimed", 0) == 0


@pytest.mark.parametrize("turned", [False, True])
def test_exception_that_follows_from_a_signal_is_an_interruption(
    annoy: Annoy, monkeypatch: pytest.MonkeyPatch, turned: bool
) -> None:
    """A KeyboardInterrupt in the middle of an import comes out as any other exception."""

    def broken(*_: object, **__: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            if turned:
                raise RuntimeError("Error calling __set_name__") from error
            raise ImportError("half a module")  # noqa: B904

    monkeypatch.setattr("commands._shared.load_settings", broken)
    result = annoy("status")
    assert result.exit_code == 130
    assert result.stderr.splitlines() == ["annoy: interrupted"]


def test_sigterm_of_a_run_says_at_once_that_it_drains(sqlite_store: Database) -> None:
    plan_calls(sqlite_store, 2)
    with Provider(fault="hang").serving() as provider:
        url = sqlite_store.url.render_as_string()
        run = ["--store", url, "run", "complete", "--base-url", provider.url, "--model", "sim"]
        with subprocess.Popen(
            [sys.executable, "-m", "annoy_store", *run, "--tries", "1"],
            env={"PYTHONPATH": str(CHECKOUT), "PATH": os.environ["PATH"]},
            cwd=CHECKOUT,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stderr is not None
            while not provider.counts["requests"]:
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            first = process.stderr.readline()
            assert first.startswith(
                "annoy: finishing calls in flight, for up to 60 s; send SIGTERM"
            )
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 130


def test_handlers_of_a_program_that_imports_the_commands_stay(annoy: Annoy, tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    annoy("init")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
