"""The README holds: its tour runs as printed, and every command in it is one that annoy takes."""

from __future__ import annotations

import contextlib
import importlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from annoy_store.db.views import VIEWS

README = Path(__file__).parents[2] / "README.md"
CHECKOUT = README.parent


def text() -> str:
    return README.read_text(encoding="utf-8")


def fences(language: str, mark: str = "") -> Iterator[str]:
    for found in re.finditer(rf"{mark}```{language}\n(.*?)```", text(), re.DOTALL):
        yield found[1]


def commands() -> list[str]:
    """Every `annoy ..` in a shell fence, comments and pipes cut off."""
    lines = [line for body in fences("sh") for line in body.replace("\\\n", " ").splitlines()]
    lines += [ln[2:] for body in fences("console") for ln in body.splitlines() if ln[:2] == "$ "]
    parts = [p.strip() for ln in lines for p in re.split(r"&&|\s\|\s|\s#", ln)]
    return sorted({p for p in parts if p.startswith("annoy ")})


def questions() -> list[str]:
    """Every `annoy ..` in the table of questions, in its order."""
    found = re.search(r"<!-- questions -->\n(.*?)<!-- /questions -->", text(), re.DOTALL)
    assert found
    return re.findall(r"`(annoy [^`]*)`", found[1])


def _group() -> Any:
    return _package().annoy


def _package() -> Any:
    try:
        return importlib.import_module("annoy_store.commands")
    except ImportError:
        return importlib.import_module("commands")


def _sections() -> dict[str, tuple[str, ...]]:
    return dict(_package().SECTIONS)


def _names() -> list[str]:
    return list(_package().names())


def _short_help(name: str) -> str:
    return str(_package().short_help(name))


@pytest.fixture(scope="module")
def annoy() -> click.Group:
    return _group()  # type: ignore[no-any-return]


@pytest.mark.parametrize("line", commands())
def test_every_command_is_taken(line: str, annoy: click.Group) -> None:
    """Parsed by the real command line, not run."""
    words = shlex.split(line)[1:]
    context = annoy.make_context("annoy", words, resilient_parsing=False)
    with context:
        name, command, rest = annoy.resolve_command(context, context._protected_args + context.args)
        assert command is not None
        command.make_context(name, rest, parent=context)


def commands_table() -> str:
    group = _group()
    names = [n for listed in _sections().values() for n in listed if n in _names()]
    names += [n for n in group.list_commands(click.Context(group)) if n not in names]
    rows = [f"| `annoy {name}` | {_short_help(name)} |" for name in names]
    return "\n".join(["| command | does |", "|---|---|", *rows])


def views_table() -> str:
    rows = [f"| `{v.name}`: {v.meaning} | `{v.example}` |" for v in VIEWS]
    return "\n".join(["| view | one question to start with |", "|---|---|", *rows])


TABLES = {"commands": commands_table, "views": views_table}


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_up_to_date(name: str) -> None:
    found = re.search(rf"<!-- {name} -->\n(.*?)\n?<!-- /{name} -->", text(), re.DOTALL)
    assert found
    assert found[1] == TABLES[name](), "refresh them with: python -m tests.integration.test_readme"


def test_the_setup_commands_are_those_of_ci() -> None:
    ci = (CHECKOUT / ".ci" / "run").read_text()
    for line in ("pip install . && annoy demo", "pip install -e '.[test]' && pytest"):
        assert line in text()
        assert line in ci


@dataclass
class Tour:
    """A folder in which the tour's commands were run."""

    folder: Path
    environment: dict[str, str]
    surprises: list[str] = field(default_factory=list)  # what should have been printed, and was not

    def run(self, command: str) -> str:
        with contextlib.chdir(self.folder):
            words = shlex.split(command)[1:]
            ran = CliRunner().invoke(_group(), words, prog_name="annoy", env=self.environment)
        assert ran.exit_code == 0, f"{command}: {ran.output}"
        return ran.stdout


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Tour:
    """Run the tour's commands in one folder."""
    folder = tmp_path_factory.mktemp("tour")
    environment = {"PYTHONPATH": str(CHECKOUT), "HOME": str(folder)}
    tour = Tour(folder, environment)
    for body in fences("console", "<!-- tour -->\n"):
        for command, expected in _steps(body):
            if command.startswith("export "):
                name, value = command.removeprefix("export ").split("=", 1)
                environment[name] = value
                continue
            printed = tour.run(command)
            for line in expected:
                if " ".join(line.split()) not in " ".join(printed.split()):
                    tour.surprises.append(f"{command}: {line!r} is not in\n{printed}")
    tour.run("annoy export codeio out/codeio")
    tour.run("annoy takedown source:1 --why 'asked to'")
    return tour


@pytest.mark.slow
def test_the_tour_runs_as_printed(tour: Tour) -> None:
    """What is printed below a command comes out of it."""
    assert tour.surprises == []


@pytest.mark.slow
def test_questions_are_answered(
    tour: Tour, annoy: click.Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command of the table of questions answers something on the tour's store."""
    monkeypatch.chdir(tour.folder)
    assert len(questions()) > 8
    for command in [*questions(), "annoy show out/codeio/train.jsonl:17"]:
        words = shlex.split(command)[1:]
        answer = CliRunner().invoke(annoy, words, prog_name="annoy", env=tour.environment)
        assert answer.exit_code == 0, f"{command}: {answer.output}"
        assert len(answer.stdout.splitlines()) > 0, command
    assert "\n- from demo " in answer.stdout


def _steps(body: str) -> Iterator[tuple[str, list[str]]]:
    for chunk in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command, *output = chunk.splitlines()
        yield command, [line for line in output if line.strip() and line.strip() != "..."]


def test_help_is_shown_without_error(annoy: click.Group) -> None:
    result = CliRunner().invoke(annoy, ["--help"])
    assert result.exit_code == 0


def _refresh() -> None:
    """Write the tables into the README again."""
    whole = text()
    for name, render in TABLES.items():
        block = f"<!-- {name} -->\n{render()}\n<!-- /{name} -->"
        pattern = rf"<!-- {name} -->.*?<!-- /{name} -->"
        whole = re.sub(pattern, lambda _, new=block: new, whole, flags=re.DOTALL)  # type: ignore[misc]
    README.write_text(whole, encoding="utf-8")


if __name__ == "__main__":
    _refresh()
