"""Help pages: options in groups, no line is too wide, no command is broken, colours if wanted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import commands
from tests.support.terminal import in_terminal


def all_commands(
    command: click.Command = commands.annoy, words: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    yield words
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            child = command.get_command(click.Context(command), name)
            assert child is not None
            yield from all_commands(child, (*words, name))


def help_page(*words: str, columns: int = 80) -> str:
    runner = CliRunner(env={"COLUMNS": str(columns)})
    result = runner.invoke(commands.annoy, [*words, "--help"], prog_name="annoy")
    assert result.exit_code == 0, result.output
    return result.stdout


def headings(page: str) -> list[str]:
    return re.findall(r"^([A-Z][\w, -]*):$", page, re.MULTILINE)


def test_every_help_page_fits_80_columns() -> None:
    for words in all_commands():
        page = help_page(*words)
        assert [line for line in page.splitlines() if len(line) > 80] == []
        assert "\xa0" not in page


@pytest.mark.parametrize(
    ("words", "groups"),
    [
        ("run", ["Model", "Limits", "Sandbox", "Scope", "Output"]),
        ("resample", ["Scope", "Model, with --pin", "Output"]),
        ("bench score", ["Model", "Limits", "Sandbox", "Output"]),
        ("batch export", ["Model", "Limits", "Scope", "Output"]),
        ("ingest", ["Input", "Origin", "Scope", "Output"]),
        ("export", ["Rows", "Splits", "Files", "Output", "Formats"]),
    ],
)
def test_options_are_in_groups(words: str, groups: list[str]) -> None:
    assert headings(help_page(*words.split())) == groups


def test_commands_in_prose_are_not_broken() -> None:
    for columns in range(40, 100):
        page = help_page("run", columns=columns)
        assert "(`annoy retry`)" in page
        assert page.count("[env: ANNOY_MAX_CONNECTIONS]") == 1


def test_a_help_page_is_coloured_on_a_terminal_that_wants_it(tmp_path: Path) -> None:
    with in_terminal(tmp_path, "run", "--help") as terminal:
        terminal.wait_for_end()
        assert b"\x1b[32m\x1b[1mSandbox:\x1b[0m" in terminal.raw
    for plain in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        with in_terminal(tmp_path, "run", "--help", **plain) as terminal:
            assert "Sandbox:" in terminal.wait_for_end()
            assert b"\x1b" not in terminal.raw
