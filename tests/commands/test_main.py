"""The front door: cheap help, one line for every error, codes that scripts can trust."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

import commands
from tests.commands.conftest import CHECKOUT, Annoy, Process

NAMES = commands.names()


def test_a_file_is_a_command_and_an_underscore_hides_one() -> None:
    assert {"init", "ingest", "sql", "show", "status", "policy", "retry", "doctor"} <= set(NAMES)
    assert not [name for name in NAMES if name.startswith("_")]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_with_an_example(annoy: Annoy, name: str) -> None:
    result = annoy(name, "--help")
    assert result.exit_code == 0
    assert "\n  Example" in result.stdout
    assert f"annoy {name}" in result.stdout
    assert commands.short_help(name).rstrip(".") in " ".join(result.stdout.split())


@pytest.mark.parametrize("name", NAMES)
def test_every_option_has_help(name: str) -> None:
    context = click.Context(commands.annoy)
    command = commands.annoy.get_command(context, name)
    assert command is not None
    options = [p for p in command.params if isinstance(p, click.Option)]
    assert all(option.help for option in options)


def test_every_command_has_a_place_in_the_help(annoy: Annoy) -> None:
    text = annoy("--help").stdout
    assert all(f"\n  {name} " in text for name in NAMES)
    places = [text.index(f"\n  {name} ") for name in ("ingest", "run", "sql", "retry", "doctor")]
    assert places == sorted(places)


@pytest.mark.parametrize(("alias", "name"), commands.ALIASES.items())
def test_an_alias_runs_its_command_and_is_hidden(
    annoy: Annoy, process: Process, alias: str, name: str
) -> None:
    assert alias not in NAMES
    assert f"\n  {alias} " not in annoy("--help").stdout
    shown = annoy(alias, "--help")
    assert shown.exit_code == 0
    assert shown.stdout == annoy(name, "--help").stdout
    assert f"annoy {name} --help" in annoy(alias, "--nope").stderr
    assert f"plain,{alias}" not in _completions(process, f"annoy {alias}", 1)
    assert "plain,--json" in _completions(process, f"annoy {alias} --js", 2)


def test_plan_accepts_the_old_name_of_rerun(annoy: Annoy) -> None:
    assert "--replan" not in annoy("plan", "--help").stdout
    annoy("init")
    old = annoy("plan", "--replan", "verify", "--json")
    assert old.exit_code == 0
    assert old.stdout == annoy("plan", "--rerun", "verify", "--json").stdout


@pytest.mark.parametrize("words", ["status", "run --model m --base-url http://127.0.0.1:9/v1"])
def test_a_command_with_nothing_to_do_imports_nothing_heavy(worked: Path, words: str) -> None:
    code = (
        f"import sys; sys.argv = ['annoy', *{words.split()!r}]\n"
        "from annoy_store.__main__ import main\n"
        "try:\n    main()\n"
        "except SystemExit as ended:\n    assert not ended.code, ended.code\n"
        "heavy = {'sqlalchemy.dialects.postgresql', 'openai', 'aiohttp', 'httpx2', 'alembic',"
        " 'psycopg', 'duckdb', 'pyarrow', 'pandas', 'numpy', 'pydantic_settings', 'genai_prices'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=worked.parent, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("words", ["sql SELECT(1)", "failures", "export codeio out"])
def test_a_command_that_uses_pyarrow_imports_no_pandas(worked: Path, words: str) -> None:
    code = (
        f"import sys; sys.argv = ['annoy', *{words.split()!r}]\n"
        "from annoy_store.__main__ import main\n"
        "try:\n    main()\n"
        "except SystemExit as ended:\n    assert not ended.code, ended.code\n"
        "print('pyarrow' in sys.modules, 'pandas' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=worked.parent, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "True False"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from annoy_store.__main__ import commands; from click.testing import CliRunner;"
        "assert CliRunner().invoke(commands(), ['--help']).exit_code == 0;"
        "heavy = {'sqlalchemy', 'pydantic', 'rich', 'openai', 'duckdb', 'pyarrow', 'alembic'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


LOG = (
    "import logging, sys; import annoy_store.__main__ as main; {setup};"
    "logging.getLogger('annoy_store.db.file_lock').warning('locked by %d', 7);"
    "logging.getLogger('annoy_store.queue.workers').info('details')"
)


@pytest.mark.parametrize(
    ("setup", "printed"),
    [
        ("pass", ""),
        ("main._log_to_stderr()", "annoy: locked by 7\n"),
        (
            "main._log_to_stderr(); main.commands().main(['-v', 'init'], standalone_mode=False)",
            "annoy: locked by 7\nannoy: details\n",
        ),
    ],
    ids=["library", "command line", "verbose"],
)
def test_logs_are_printed_by_the_command_line_only(
    tmp_path: Path, setup: str, printed: str
) -> None:
    command = [sys.executable, "-c", LOG.format(setup=setup)]
    env = {"PYTHONPATH": str(CHECKOUT), "PATH": os.environ["PATH"]}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == printed


def test_it_runs_as_a_module_anywhere(process: Process) -> None:
    assert process("--version").stdout.startswith("annoy ")
    assert process("-h").stdout.startswith("Usage: annoy ")


def test_no_command_shows_the_help(annoy: Annoy) -> None:
    result = annoy()
    assert result.exit_code == 2
    assert "Usage: annoy" in result.output


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["run", "verfy"], "(did you mean verify?)"),
        (["ingst"], "(did you mean ingest?)"),
        (["nonsense"], "unknown command 'nonsense' (help: annoy --help)"),
        (["ingest"], "Missing argument"),
        (["ingest", "--limit", "0", "x"], "--limit"),
        (["ingest", "--nope", "x"], "--nope"),
        (["sql", "--format", "xml", "x"], "xml"),
        (["retry", "nostage"], "nostage"),
        (["policy", "novalue"], "KEY=VALUE"),
        (["sql", "SELECT 1", "-p", "novalue"], "NAME=VALUE"),
        (["sql", "SELECT 1", "--seconds", "inf"], "--seconds"),
        (["sql", "SELECT 1", "--seconds", "nan"], "--seconds"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(annoy: Annoy, args: list[str], words: str) -> None:
    annoy("init")
    result = annoy(*args)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("annoy: ")
    assert words in line
    assert "--help)" in line


def test_interrupt_is_exit_130(tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(CHECKOUT), "PATH": os.environ["PATH"]}
    subprocess.run(
        [sys.executable, "-m", "annoy_store", "init"],
        cwd=tmp_path,
        env=env,
        check=True,
        capture_output=True,
    )
    with subprocess.Popen(
        [sys.executable, "-m", "annoy_store", "status", "--watch", "--json"],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline().startswith("{")
        watching.send_signal(signal.SIGINT)
        _, words = watching.communicate(timeout=20)
    assert watching.returncode == 130
    assert "Traceback" not in words


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_error(process: Process, tmp_path: Path) -> None:
    process("init")
    query = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 200000) SELECT i FROM n"
    )
    env = {"PYTHONPATH": str(CHECKOUT), "PATH": os.environ["PATH"]}
    with subprocess.Popen(
        [sys.executable, "-m", "annoy_store", "sql", "--live", query, "--format", "jsonl"],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as asked:
        assert asked.stdout is not None
        assert asked.stdout.readline() == '{"i": 1}\n'
        asked.stdout.close()
        assert asked.stderr is not None
        words = asked.stderr.read()
        asked.wait(20)
    assert words == ""
    assert asked.returncode == 0


def test_a_bug_is_one_line_and_debug_shows_where(
    annoy: Annoy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("commands._shared.load_settings", _break)
    result = annoy("status")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert (
        line == "annoy: internal error: ZeroDivisionError: oh (annoy -v ... prints the traceback)"
    )
    assert "Traceback" in annoy("-v", "status").stderr
    monkeypatch.setenv("ANNOY_DEBUG", "1")
    assert "Traceback" in annoy("status").stderr


def _break(*_: object, **__: object) -> None:
    raise ZeroDivisionError("oh")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_code_for_the_shell(annoy: Annoy, shell: str) -> None:
    assert "_ANNOY_COMPLETE" in annoy("completion", shell).stdout


def test_completion_answers(process: Process) -> None:
    assert _completions(process, "annoy ing", 1) == ["plain,ingest"]


def _completions(process: Process, words: str, at: int) -> list[str]:
    env = {
        "PYTHONPATH": str(CHECKOUT),
        "PATH": "/usr/bin:/bin",
        "_ANNOY_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(at),
    }
    return process(env=env).stdout.splitlines()


def test_quiet_says_less(annoy: Annoy, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    assert annoy("ingest", "a.py").stderr.startswith("next: ")
    (tmp_path / "b.py").write_text("x = 2\n")
    assert annoy("-q", "ingest", "b.py").stderr == ""
