"""`annoy show` to a person at a terminal: paged, coloured, complete, and harmless."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from annoy_store.db.migrate import open_store
from tests.commands.conftest import CHECKOUT, Annoy
from tests.support import chains

HOSTILE = (
    "\x1b]0;owned\x07 \x1b[2J\x1b[1;1H \x9b31m \x1b]8;;http://evil\x1b\\x\x1b]8;;\x1b\\ \x08\x08\r"
    "safe [bold red]loud[/] \u202egnp.exe\u202c \x1bP0;1|17/ab\x1b\\ \x1b[?1049h \x85 \x7f"
)
COLOUR = re.compile(r"\x1b\[[\d;]*m")
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]|\r(?!\n)")


@pytest.fixture
def filled(tmp_path: Path) -> str:
    """A store of hostile text, with a chain that its second turn mended; the chain."""
    store = open_store(f"sqlite:///{tmp_path}/annoy.db", create=True)
    code = f"# {HOSTILE}\ndef main_solution(x):\n    return [x]\n"
    chains.fill(store, ("ant",), code=code, repo=f"team/{HOSTILE}", licence=HOSTILE)
    with store.read() as connection:
        sql = "SELECT chain_id FROM v_chains WHERE status_1 = 'wrong' AND status_2 = 'correct'"
        chain = connection.exec_driver_sql(sql).scalar_one()
    store.close()
    return f"chain:{chain}"


@pytest.fixture
def pager(tmp_path: Path) -> Path:
    """A folder with a `less` that shows all and leaves a note of its options."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "less").write_text('#!/bin/sh\necho "LESS=$LESS" > "$0.note"\nexec cat\n')
    (folder / "less").chmod(0o755)
    return folder


def terminal(folder: Path, *args: str, columns: int = 100, **variables: str) -> str:
    """What a terminal gets to see of `annoy ARGS` run in `folder`."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    path = f"{folder / 'bin'}:/usr/bin:/bin"
    env = {"PYTHONPATH": str(CHECKOUT), "PATH": path, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    command = [sys.executable, "-m", "annoy_store", *args]
    child = subprocess.Popen(
        command,
        cwd=folder,
        env=env | variables,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen, end = b"", time.monotonic() + 60
    try:
        while time.monotonic() < end:
            if not select.select([ours], [], [], 0.2)[0]:
                continue
            try:
                part = os.read(ours, 65_536)
            except OSError:  # the other side is closed
                break
            seen += part
    finally:
        os.close(ours)
        if time.monotonic() >= end:
            child.kill()
    assert child.wait(30) == 0, seen
    return seen.decode()


def test_a_terminal_gets_colours_through_the_pager(
    tmp_path: Path, filled: str, pager: Path
) -> None:
    seen = terminal(tmp_path, "show", filled)
    assert (pager / "less.note").read_text() == "LESS=-FRX\n"
    assert COLOUR.search(seen)
    plain = COLOUR.sub("", seen).replace("\r\n", "\n")
    assert plain.startswith(f"# {filled}\n")
    assert "def main_solution(x):" in plain
    assert re.search(r"\x1b\[[\d;]*m(def|return)\x1b", seen)  # code is coloured as code
    assert "\n  -no idea\n" in plain
    assert "      return [x]\n" in plain  # and not filled up with blanks


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [
        {},
        pytest.param({"NO_COLOR": "1"}, marks=pytest.mark.slow),
        pytest.param({"TERM": "dumb"}, marks=pytest.mark.slow),
        pytest.param({"PAGER": "cat"}, marks=pytest.mark.slow),
    ],
)
def test_no_text_commands_the_terminal(
    tmp_path: Path, filled: str, pager: Path, variables: dict[str, str]
) -> None:
    for name in (filled, "source:1", "origin:1"):
        seen = terminal(tmp_path, "show", name, **variables)
        assert FORBIDDEN.findall(COLOUR.sub("", seen)) == []
        assert "[boldred]loud[/]" in "".join(COLOUR.sub("", seen).split())
        assert bool(COLOUR.search(seen)) == (not variables)


@pytest.mark.slow
def test_a_narrow_terminal_loses_no_text(tmp_path: Path, filled: str, pager: Path) -> None:
    seen = COLOUR.sub("", terminal(tmp_path, "show", filled, columns=40))
    assert "".join(["What", "does", "ant", "give?"]) in "".join(seen.split())
    assert max(len(line) for line in seen.split("\r\n")) <= 40


def test_where_nobody_looks_it_is_plain_markdown(tmp_path: Path, filled: str, annoy: Annoy) -> None:
    text = annoy("--store", f"sqlite:///{tmp_path}/annoy.db", "show", filled).stdout
    assert not COLOUR.search(text)
    assert FORBIDDEN.findall(text) == []
    assert "\n- turn 1 wrong, turn 2 correct\n" in text
    assert "## difference between turn 1 and turn 2\n```diff\n--- turn 1" in text
    assert "\n-no idea\n+Now. " in text


def test_a_line_of_an_exported_file_is_found(worked: Path, annoy: Annoy, tmp_path: Path) -> None:
    assert annoy("export", "messages", "out", "--only", "all").exit_code == 0
    lines = (tmp_path / "out" / "train.jsonl").read_text().splitlines()
    number = len(lines) - 1
    found = json.loads(annoy("show", f"out/train.jsonl:{number}", "--json").stdout)
    assert found["kind"] == "export_row"
    assert found["exports"] == [
        {
            "export_id": 1,
            "format": "messages",
            "folder": str((tmp_path / "out").resolve()),
            "split": "train",
            "row": number,
            "taken_back": 0,
        }
    ]
    first = json.loads(lines[number - 1])["messages"][0]["content"]
    asked = [n for n in found["above"] if n["kind"] == "prompt"]
    assert any(json.loads(n["row"]["messages"])[0]["content"] == first for n in asked)
    said = annoy("show", f"out/train.jsonl:{number}").stdout
    origin = next(n["row"] for n in found["above"] if n["kind"] == "origin")
    assert f"- from demo {origin['path']}, licence MIT\n" in said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("out/train.jsonl:0", "has the lines 1 to"),
        ("out/train.jsonl:x", "has the lines 1 to"),
        ("out/README.md:1", "is not a file of an export"),
        ("annoy.db:1", "is not a file of an export"),
    ],
)
def test_a_line_that_is_not_there_is_told(
    worked: Path, annoy: Annoy, one_line: Callable[[Result], str], name: str, words: str
) -> None:
    annoy("export", "messages", "out", "--only", "all")
    assert words in one_line(annoy("show", name))
