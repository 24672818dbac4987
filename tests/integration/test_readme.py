"""README and guide hold: tours run as printed, every command in them is taken, and runs."""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from annoy_store.db.views import VIEWS
from annoy_store.rewards.process_sandbox import process_sandbox
from commands.guide import PAGES as PAGES_FOLDER
from commands.guide import topics
from tests.support import codeio_rows
from tests.support.provider import Provider

README = Path(__file__).parents[2] / "README.md"
CHECKOUT = README.parent
PAGES = [PAGES_FOLDER / f"{topic}.md" for topic in topics()]
DOCUMENTS = [README, *PAGES]
MAX_README_LINES = 220


def text() -> str:
    """README and guide, one after the other."""
    return "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)


def fences(language: str, mark: str = "", source: str | None = None) -> Iterator[str]:
    whole = text() if source is None else source
    for found in re.finditer(rf"{mark}```{language}\n(.*?)```", whole, re.DOTALL):
        yield found[1]


def shell_commands(source: str | None = None) -> list[str]:
    """Every `annoy ..` in a shell fence, in order, comments and pipes cut off."""
    bodies = fences("sh", source=source)
    lines = [line for body in bodies for line in body.replace("\\\n", " ").splitlines()]
    parts = [p.strip() for ln in lines for p in re.split(r"&&|\s\|\s|\s#", ln)]
    return [p for p in parts if p.startswith("annoy ")]


def commands() -> list[str]:
    """Every `annoy ..` in a fence, once."""
    lines = [ln[2:] for body in fences("console") for ln in body.splitlines() if ln[:2] == "$ "]
    return sorted({*shell_commands(), *(ln for ln in lines if ln.startswith("annoy "))})


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

    def invoke(self, command: str) -> Result:
        with contextlib.chdir(self.folder):
            words = shlex.split(command)[1:]
            return CliRunner().invoke(_group(), words, prog_name="annoy", env=self.environment)

    def run(self, command: str) -> str:
        ran = self.invoke(command)
        assert ran.exit_code == 0, f"{command}: {ran.output}"
        return ran.stdout

    def follow(self, page: Path) -> int:
        """Run the tours of a page; return the number of commands."""
        steps = 0
        for body in fences("console", "<!-- tour -->\n", page.read_text(encoding="utf-8")):
            for command, expected in _steps(body):
                steps += 1
                if command.startswith("export "):
                    name, value = command.removeprefix("export ").split("=", 1)
                    self.environment[name] = value
                    continue
                printed = self.run(command)
                self.surprises += [
                    f"{command}: {line!r} is not in\n{printed}"
                    for line in expected
                    if " ".join(line.split()) not in " ".join(printed.split())
                ]
        return steps


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Tour:
    """Run the README's tour in one folder, which then holds the store of the demo."""
    folder = tmp_path_factory.mktemp("tour")
    tour = Tour(folder, {"PYTHONPATH": str(CHECKOUT), "HOME": str(folder)})
    tour.follow(README)
    return tour


@pytest.fixture
def tour(demo: Tour, tmp_path: Path) -> Tour:
    """A folder of one's own with the store of the demo."""
    shutil.copytree(demo.folder / "annoy-demo", tmp_path / "annoy-demo")
    return Tour(tmp_path, {**demo.environment, "HOME": str(tmp_path)})


@pytest.mark.slow
def test_the_tour_runs_as_printed(demo: Tour) -> None:
    """What is printed below a command comes out of it."""
    assert demo.surprises == []


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_the_example_of_a_page_runs_as_printed(tour: Tour, page: Path) -> None:
    for name, body in re.findall(
        r"<!-- file (\S+) -->\n```\w+\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL
    ):
        (tour.folder / name).write_text(body)
    assert tour.follow(page) > 0
    assert tour.surprises == []


@pytest.mark.slow
def test_the_record_is_one_of_the_demo(demo: Tour) -> None:
    """What of its texts is shown stands in one exported record, in this order."""
    (shown,) = [json.loads(body) for body in fences("json", "<!-- record -->\n")]
    lines = (demo.folder / "annoy-demo" / "codeio" / "train.jsonl").read_text().splitlines()
    patterns = {
        key: re.compile(".*".join(map(re.escape, re.split(r"(?: ?\.\. ?)+", value))), re.DOTALL)
        for key, value in shown.items()
    }
    assert any(
        all(pattern.search(record[key] or "") for key, pattern in patterns.items())
        for record in map(json.loads, lines)
    )


@pytest.mark.slow
def test_questions_are_answered(
    tour: Tour, annoy: click.Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command of the table of questions answers something on the tour's store."""
    monkeypatch.chdir(tour.folder)
    tour.run("annoy export codeio out/codeio")
    tour.run("annoy takedown source:1 --why 'asked to'")
    assert len(questions()) > 8
    for command in [*questions(), "annoy show out/codeio/train.jsonl:17"]:
        words = shlex.split(command)[1:]
        answer = CliRunner().invoke(annoy, words, prog_name="annoy", env=tour.environment)
        assert answer.exit_code == 0, f"{command}: {answer.output}"
        assert len(answer.stdout.splitlines()) > 0, command
    assert "\n- from demo " in answer.stdout


# Commands that are run by other tests: what they need is not here, or they do not end.
ELSEWHERE = {
    "annoy demo": "the tour",
    "--ray ": "tests marked ray",
    "annoy view": "tests/commands/test_view.py",
    "annoy serve": "tests/rewards/test_service.py",
    "annoy batch cancel 3": "the example of its page",
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda path: path.stem)
def test_every_command_runs(tour: Tour, page: Path) -> None:
    """The commands of a page, one after the other, on the demo's store and a loopback endpoint."""
    prepare(tour)
    failed = []
    with Provider(key="sk-tour").serving() as provider:
        tour.environment |= {"ANNOY_BASE_URL": provider.url, "ANNOY_MODEL": "my-model"}
        for line in shell_commands(page.read_text(encoding="utf-8")):
            if any(part in line for part in ELSEWHERE):
                continue
            if "batch import" in line:
                answer(tour.folder)
            result = tour.invoke(here(line, provider.url))
            if result.exit_code not in (0, 3):
                failed.append(f"{line}: {result.output[-600:]}")
    assert not failed, "\n".join(failed)


def here(line: str, endpoint: str) -> str:
    """A command with the names of this machine, ending when nothing is left to do."""
    replaced = {
        "postgresql://db.example/annoy": "sqlite:///annoy-demo/annoy.db",
        "http://localhost:8000/v1": endpoint,
        "/opt/samples/bin/python": sys.executable,
        " --watch": "",
        "--purge": "--purge --yes",
        "--judged-by 8": "--judged-by 9",
    }
    for old, new in replaced.items():
        line = line.replace(old, new)
    return line


def prepare(tour: Tour) -> None:
    """Make the files that the commands name."""
    folder = tour.folder
    for key in ("OPENAI_API_KEY", "DEEPSEEK_API_KEY"):
        tour.environment[key] = "sk-tour"
    (folder / "src").mkdir()
    (folder / "src" / "double.py").write_text("def double(x):\n    return 2 * x\n")
    (folder / "more.jsonl").write_text(json.dumps({"content": "x = 1", "repo": "team/project"}))
    (folder / "exercises").mkdir()
    (folder / "exercises" / "half.py").write_text(TESTED)
    tour.run("annoy ingest more.jsonl")
    price = "input = 0.3\ncached = 0.1\noutput = 1.2\n"
    (folder / "annoy.toml").write_text(f"[prices.gpt-5-mini]\n{price}[prices.my-model]\n{price}")
    data = codeio_rows.everything(folder)
    shutil.copy(data / "x_parsed.jsonl", folder / "rawcode_1k_parsed.jsonl")
    shutil.copy(data / "c_verified.jsonl", folder / "codeio_1k_gens_verified.jsonl")
    for name in ("annoy.db", "colleague.db"):
        shutil.copy(folder / "annoy-demo" / "annoy.db", folder / name)
    (folder / "benchmark.jsonl").write_text(json.dumps({"input": {"n": 1}, "output": 31415}))


def answer(folder: Path) -> None:
    """Answer a file of requests, as `vllm run-batch` does."""
    message = {"role": "assistant", "content": '{"output": 1}'}
    body = {"choices": [{"message": message, "finish_reason": "stop"}]}
    requests = map(json.loads, (folder / "requests.jsonl").read_text().splitlines())
    rows = [
        {"custom_id": row["custom_id"], "response": {"status_code": 200, "body": body}}
        for row in requests
    ]
    assert rows
    (folder / "results.jsonl").write_text("\n".join(map(json.dumps, rows[1:])))
    (folder / "errors.jsonl").write_text(json.dumps({**rows[0], "error": None}))


TESTED = '''def half(n):
    """Halve a number.

    >>> half(4)
    2
    >>> half(10)
    5
    >>> half(6)
    3
    """
    return n // 2
'''


def _steps(body: str) -> Iterator[tuple[str, list[str]]]:
    for chunk in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command, *output = chunk.splitlines()
        yield command, [line for line in output if line.strip() and line.strip() != "..."]


@pytest.mark.parametrize("source", list(fences("python", "<!-- python -->\n")))
def test_python_of_the_guide_prints_what_it_says(
    source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = re.findall(r"^print\(.*\)  # (.*)$", source, re.MULTILINE)
    assert expected
    exec(compile(source, "guide", "exec"), {})
    process_sandbox.close()
    assert capsys.readouterr().out.splitlines() == expected


def test_help_is_shown_without_error(annoy: click.Group) -> None:
    result = CliRunner().invoke(annoy, ["--help"])
    assert result.exit_code == 0


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= MAX_README_LINES


def test_links_between_our_files_lead_somewhere() -> None:
    for page in DOCUMENTS:
        whole = page.read_text(encoding="utf-8")
        links = re.findall(r"(?:\]\(|src(?:set)?=\")(?!http|#)([^)\"]+)", whole)
        assert [link for link in links if not (page.parent / link).is_file()] == []


def test_the_readme_links_every_page_of_the_guide() -> None:
    readme = README.read_text(encoding="utf-8")
    assert [page.name for page in PAGES if f"(annoy_store/guide/{page.name})" not in readme] == []


def _refresh() -> None:
    """Write the tables into their pages again."""
    for page in DOCUMENTS:
        whole = page.read_text(encoding="utf-8")
        for name, render in TABLES.items():
            block = f"<!-- {name} -->\n{render()}\n<!-- /{name} -->"
            pattern = rf"<!-- {name} -->.*?<!-- /{name} -->"
            whole = re.sub(pattern, lambda _, new=block: new, whole, flags=re.DOTALL)  # type: ignore[misc]
        page.write_text(whole, encoding="utf-8")


if __name__ == "__main__":
    _refresh()
