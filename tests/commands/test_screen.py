"""Screens as a person sees them: aligned, coloured by meaning, no command is ever cut."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from annoy_store.db.migrate import open_store
from commands import _screen, _text
from commands._screen import Toned, counted, table, text
from tests.commands.conftest import Annoy
from tests.integration.test_interrupted_calls import plan_calls
from tests.support.provider import Provider
from tests.support.terminal import in_terminal

ADVICE = (
    "raise it, then `annoy retry complete --state rejected --like x`, then `annoy run -m M`; end"
)


@pytest.fixture(params=[40, 50, 60, 80, 200])
def columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The columns of a terminal on stdout."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(request.param))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(_text, "on_terminal", lambda: True)
    monkeypatch.setattr(_screen, "on_terminal", lambda: True)
    return int(request.param)


def plain(lines: Iterator[str]) -> list[str]:
    return [re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines]


def test_text_wraps_words_and_never_a_command(columns: int) -> None:
    lines = plain(text(ADVICE, indent=4, first="->"))
    assert " ".join(" ".join(lines).split()) == f"-> {ADVICE.replace('`', '')}"
    command = "annoy retry complete --state rejected --like x"
    assert any(command in line for line in lines)
    assert any("annoy run -m M;" in line for line in lines)
    assert all(len(line) <= columns or line.strip(" ,") == command for line in lines)
    assert all(line.startswith("    ") for line in lines[1:])


def test_text_is_one_line_without_a_terminal() -> None:
    assert list(text(ADVICE, indent=4, first="->")) == [f"->  {ADVICE}"]


def test_text_colours_commands_or_leaves_them_in_backticks(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\x1b[36mannoy run -m M\x1b[0m" in "".join(text(ADVICE))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "`annoy run -m M`" in "".join(text(ADVICE))
    assert "\x1b" not in "".join(text(ADVICE, tone="bad"))


def test_table_keeps_short_words_and_wraps_long_texts(columns: int) -> None:
    rows = [["call:17", Toned("http_429", "bad"), counted(1234), "rate limited " * 9]]
    lines = plain(table(["example", "reason", "n", "message"], rows))
    assert all(len(line) <= columns for line in lines)
    assert any("call:17" in line and "http_429" in line and "1,234" in line for line in lines)
    assert " ".join(lines).count("limited") == 9


def test_table_shows_control_characters() -> None:
    assert "\x1b" not in "".join(table(["a\x1b"], [["\x1b[2J"]]))


# Commands in a real terminal -----------------------------------------------------------------


@pytest.fixture
def limiting(tmp_path: Path) -> Iterator[Provider]:
    """A provider that limits the rate of every call, and a store with calls."""
    store = open_store(f"sqlite:///{tmp_path}/annoy.db", create=True)
    plan_calls(store, 3)
    store.close()
    with Provider(fault="503", latency=0.01).serving() as running:
        yield running


@pytest.mark.parametrize("size", [80, 200])
def test_status_shows_a_failing_endpoint_in_its_own_words(
    annoy: Annoy, limiting: Provider, tmp_path: Path, size: int
) -> None:
    annoy("run", "complete", "--base-url", limiting.url, "-m", "sim", "--tries", "1")
    with in_terminal(tmp_path, "status", columns=size) as terminal:
        shown = terminal.wait_for_end()
        assert b"\x1b[31m" in terminal.raw
    flat = " ".join(shown.split())
    assert re.search(r"! sim at http://127.0.0.1:\d+/v1: (\d) of the newest \1 attempts", flat)
    assert re.search(r"failed \(\d http_503\), the newest at 20\S+Z: \w+", flat)
    assert re.search(r"-> the endpoint was unavailable or slow; annoy run", flat)


@pytest.mark.parametrize("size", [80, 200])
def test_status_is_aligned_and_suggests_the_next_command(worked: Path, size: int) -> None:
    with in_terminal(worked.parent, "status", columns=size) as terminal:
        shown = terminal.wait_for_end()
    assert "…" not in shown
    head, *rows = re.findall(r"^(?:stage|transform|complete|parse|generate) .*$", shown, re.M)
    assert head.split() == ["stage", "done", "rejected", "yield"]
    assert {len(row) for row in rows} == {len(head)}
    assert shown.endswith("next:     annoy export codeio DIR")


@pytest.mark.parametrize("size", [80, 200])
def test_failures_have_the_advice_under_their_rows(worked: Path, size: int) -> None:
    with in_terminal(worked.parent, "failures", columns=size) as terminal:
        shown = terminal.wait_for_end()
    assert "…" not in shown
    assert re.search(r"^  +\d+  rejected +no_function +response:\d+", shown, re.M)
    assert re.search(r"^ +-> the model found no function in the file; nothing to do$", shown, re.M)
    assert re.search(r"^read an example: annoy show \w+:\d+$", shown, re.M)


@pytest.mark.parametrize("size", [80, 200])
def test_doctor_wraps_under_its_columns(worked: Path, size: int) -> None:
    with in_terminal(worked.parent, "doctor", columns=size) as terminal:
        shown = terminal.wait_for_end()
    assert re.search(r"^ok       interpreter Python 3", shown, re.M)
    assert re.search(r"^warning  endpoint    no key for https://api.openai.com/v1:", shown, re.M)
    assert re.search(r"^ {21}-> works without a key: annoy run --teacher tracer$", shown, re.M)
    assert re.search(r"\n\n\d warnings?, \d ok$", shown)


def test_status_without_colour_has_none(worked: Path) -> None:
    with in_terminal(worked.parent, "status", NO_COLOR="1") as terminal:
        assert "next:     annoy export" in terminal.wait_for_end()
        assert b"\x1b" not in terminal.raw


def test_status_of_a_store_with_calls_alone_does_not_suggest_ingest(
    annoy: Annoy, tmp_path: Path
) -> None:
    store = open_store(f"sqlite:///{tmp_path}/annoy.db", create=True)
    plan_calls(store, 1)
    store.close()
    assert sqlite3.connect(tmp_path / "annoy.db").execute("SELECT * FROM sources").fetchall() == []
    assert re.search(r"^next: +annoy run", annoy("status").stdout, re.M)


def test_plan_names_the_commands_that_do_what_it_forecasts(annoy: Annoy, worked: Path) -> None:
    said = annoy("plan", "max_turns=3", "--rerun", "verify", "--teacher", "tracer").stderr
    assert said.splitlines()[-1] == (
        "next: annoy policy max_turns=3, then annoy reverify, then annoy run --teacher tracer"
    )
