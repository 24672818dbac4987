"""The screen of a run in a real terminal, and what is printed without one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from annoy_store.db.migrate import open_store
from tests.integration.test_interrupted_calls import plan_calls
from tests.support.provider import Provider
from tests.support.terminal import ROOT, in_terminal

N_CALLS = 60
PRICES = "[prices.sim]\ninput = 1.0\ncached = 0.1\noutput = 2.0\n"


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    """A provider that takes its time and refuses every tenth prompt, and a store with calls."""
    store = open_store(f"sqlite:///{tmp_path}/annoy.db", create=True)
    plan_calls(store, N_CALLS)
    store.close()
    (tmp_path / "annoy.toml").write_text(PRICES)
    with Provider(latency=0.3, jitter=0.5, faults={"filter": 0.1}).serving() as running:
        yield running


def options(provider: Provider, *more: str) -> list[str]:
    endpoint = ["--base-url", provider.url, "--model", "sim", "--max-connections", "4"]
    return ["run", "complete", *endpoint, *more]


@pytest.mark.parametrize("columns", [80, 200])
def test_display_shows_the_run_and_then_its_summary(
    provider: Provider, tmp_path: Path, columns: int
) -> None:
    with in_terminal(tmp_path, *options(provider), columns=columns) as terminal:
        terminal.wait_for(lambda text: text.startswith("starting"))
        text = terminal.wait_for(lambda text: "content_filter" in text and " left" in text)
        assert re.search(r"complete +━.* \d+ / 60 +\d+ +0 ", text)
        assert "of 4 connections" in text
        assert re.search(r"about \d+ s left", text)
        end = terminal.wait_for_end()
        assert terminal.shows_cursor
    assert "elapsed" not in end
    assert re.search(r"made: \d\d answers\ncost: 0\.0\d+ USD for 60 requests", end)
    assert "left: nothing\nnext: annoy " in end


def test_display_follows_the_width_and_stays_whole(provider: Provider, tmp_path: Path) -> None:
    provider.behave(latency=1.0)
    with in_terminal(tmp_path, *options(provider), columns=200) as terminal:
        terminal.wait_for(lambda text: "connections" in text)
        for columns in (64, 120):
            n_read = len(terminal.raw)
            terminal.resize(columns)
            text = terminal.wait_for(  # a whole frame, some frames after the change
                lambda text, n=n_read: (  # type: ignore[misc]
                    len(terminal.raw) > n + 3_000
                    and text.count("rejected") == text.count("elapsed") == 1
                )
            )
            assert "…" not in text


def test_display_leaves_the_screen_whole_on_ctrl_c(provider: Provider, tmp_path: Path) -> None:
    with in_terminal(tmp_path, *options(provider)) as terminal:
        terminal.wait_for(lambda text: re.search(r" [1-9]\d* / 60", text) is not None)
        os.kill(terminal.process.pid, signal.SIGINT)
        text = terminal.wait_for(lambda text: "stopping:" in text)
        assert text.startswith("annoy: finishing calls in flight")
        assert text.count("rejected") == 1
        end = terminal.wait_for_end()
        assert terminal.shows_cursor
        assert terminal.process.returncode == 130
    assert re.search(r"left: \d+ open jobs", end)


def test_display_shows_the_cursor_after_a_second_signal(provider: Provider, tmp_path: Path) -> None:
    provider.behave(latency=20.0)
    with in_terminal(tmp_path, *options(provider)) as terminal:
        terminal.wait_for(lambda text: "4 of 4 connections" in text)
        os.kill(terminal.process.pid, signal.SIGINT)
        terminal.wait_for(lambda text: "stopping:" in text)
        assert not terminal.shows_cursor
        os.kill(terminal.process.pid, signal.SIGINT)
        terminal.wait_for_end()
        assert terminal.shows_cursor
        assert terminal.process.returncode == 130


def test_display_has_no_colour_where_none_is_wanted(provider: Provider, tmp_path: Path) -> None:
    with in_terminal(tmp_path, *options(provider, "-n", "20"), NO_COLOR="1") as terminal:
        terminal.wait_for_end()
        assert not re.search(rb"\x1b\[[0-9;]*3[0-7]m", terminal.raw)


def test_display_writes_lines_on_a_dumb_terminal(provider: Provider, tmp_path: Path) -> None:
    with in_terminal(tmp_path, *options(provider, "-n", "20"), TERM="dumb") as terminal:
        assert "made: " in terminal.wait_for_end()
        assert b"\x1b" not in terminal.raw.replace(b"\x1b[1m", b"").replace(b"\x1b[0m", b"")


def test_display_writes_json_lines_without_a_terminal(provider: Provider, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "annoy_store", "-q", *options(provider, "--log", "json")]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    for quiet in (True, False):
        args = command if quiet else [a for a in command if a != "-q"]
        done = subprocess.run(
            args, cwd=tmp_path, env=env, capture_output=True, text=True, check=True
        )
        lines = [line for line in done.stderr.splitlines() if line.startswith("{")]
        assert bool(lines) is not quiet
    assert json.loads(lines[-1])["stages"].keys() == {"complete"}
