"""Bars on a real terminal, lines elsewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from commands import _progress
from commands import annoy as front
from tests.support.terminal import Terminal, in_terminal

COMMANDS = {
    "copy": ("copy", "sqlite:///annoy.db", "sqlite:///copied.db"),
    "ingest": ("ingest", "code.jsonl"),
    "merge": ("merge", "sqlite:///other.db"),
    "check": ("check",),
    "backup": ("backup", "saved.db"),
    "import": ("import", "code.jsonl"),
    "cluster": ("cluster", "--behaviour"),
}


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in (*COMMANDS,)[2:]]


@pytest.mark.parametrize("name", [*(*COMMANDS,)[:2], *SLOW])
def test_progress_is_a_bar_with_a_total_on_a_terminal(worked: Path, name: str) -> None:
    folder = worked.parent
    shutil.copy(worked, folder / "other.db")
    rows = (json.dumps({"content": f"x = {i}"}) + "\n" for i in range(3_000))
    (folder / "code.jsonl").write_text("".join(rows))
    columns = 200 if name == "copy" else 80
    with in_terminal(folder, *COMMANDS[name], columns=columns) as terminal:
        end = terminal.wait_for_end()
        assert re.search(rb"\d%", terminal.raw)
        assert terminal.shows_cursor
        assert terminal.process.returncode == 0, end
    assert "━" not in end


@contextmanager
def waiting_ingest(folder: Path, columns: int, **env: str) -> Iterator[Terminal]:
    """A command that has read some rows from a pipe and waits for more."""
    os.mkfifo(folder / "code.jsonl")
    with in_terminal(folder, "ingest", "code.jsonl", columns=columns, **env) as terminal:
        terminal.wait_for(lambda text: "starting" in text)
        with (folder / "code.jsonl").open("w") as pipe:
            pipe.writelines(json.dumps({"content": f"x = {i}"}) + "\n" for i in range(2_001))
            pipe.flush()
            terminal.wait_for(lambda text: "2,000 new, 0 known, 0 refused" in text)
            yield terminal


def test_progress_follows_the_width_and_leaves_the_screen_whole(tmp_path: Path) -> None:
    with waiting_ingest(tmp_path, 120) as terminal:
        for columns in (40, 100):
            n_read = len(terminal.raw)
            terminal.resize(columns)
            text = terminal.wait_for(
                lambda text, n=n_read: len(terminal.raw) > n + 1_000 and " new" in text  # type: ignore[misc]
            )
            assert len(text.splitlines()) == 1
        assert not terminal.shows_cursor
        os.kill(terminal.process.pid, signal.SIGINT)
        end = terminal.wait_for_end()
        assert terminal.shows_cursor
        assert terminal.process.returncode == 130
    assert end.strip() == "annoy: interrupted"


def test_progress_has_no_colour_where_none_is_wanted(tmp_path: Path) -> None:
    with waiting_ingest(tmp_path, 80, NO_COLOR="1") as terminal:
        assert not re.search(rb"\x1b\[[0-9;]*3[0-7]m", terminal.raw)


def test_progress_is_a_line_from_time_to_time_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_progress, "LINE_SECONDS", 0.0)
    with front.make_context("annoy", ["init"]) as ctx, _progress.progress(ctx) as show:
        show("copying\x1b sources", 1, 4)
        show("publishing")
    assert capsys.readouterr().err == "copying␛ sources (25%)\npublishing\n"
