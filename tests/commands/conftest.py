"""The command line as a person meets it: in-process by `annoy`, as a process by `process`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from annoy_store.config import RunSettings
from annoy_store.db.migrate import open_store
from annoy_store.ingest.sources import IngestOptions, ingest
from annoy_store.worker.run import run
from commands import annoy as front

WORKED = ("roman.py", "savings.py", "brackets.py", "app_settings.py")
CHECKOUT = Path(__file__).parent.parent.parent
Annoy = Callable[..., Result]
Process = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def annoy() -> Annoy:
    """Run `annoy ARGS`; exceptions that a person would see as tracebacks fail the test."""

    def run(*args: object, **options: object) -> Result:
        result = CliRunner().invoke(front, [str(a) for a in args], prog_name="annoy", **options)  # type: ignore[arg-type]
        assert result.exception is None or isinstance(result.exception, SystemExit), (
            result.exception
        )
        return result

    return run


@pytest.fixture
def process(tmp_path: Path) -> Process:
    """Run `annoy ARGS` as a process of its own in the test's folder."""

    def run(*args: object, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "annoy_store", *(str(a) for a in args)]
        return subprocess.run(
            command,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **{"env": {"PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin"}, **options},  # type: ignore[call-overload]
        )

    return run


@pytest.fixture
def one_line() -> Callable[[Result], str]:
    """The error of a command that failed: exactly one line on stderr, and nothing on stdout."""

    def read(result: Result) -> str:
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        lines = result.stderr.splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("annoy: ")
        return lines[0]

    return read


@pytest.fixture(scope="session")
def _worked_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which three bundled sources went through the whole pipeline."""
    folder = tmp_path_factory.mktemp("worked")
    for name in WORKED:
        shutil.copy(CHECKOUT / "annoy_store" / "demo" / name, folder)
    store = open_store(f"sqlite:///{folder}/annoy.db", create=True)
    ingest(store, [folder], IngestOptions(origin="demo", licence="MIT"))
    run(store, RunSettings(teacher="tracer"))
    store.close()
    return folder / "annoy.db"


@pytest.fixture
def worked(_worked_template: Path, tmp_path: Path) -> Path:
    """`annoy.db` in the test's folder, with real sources, samples, chains and a rejection."""
    shutil.copy(_worked_template, tmp_path / "annoy.db")
    return tmp_path / "annoy.db"
