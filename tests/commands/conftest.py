"""The command line as a person meets it: in-process by `annoy`, as a process by `process`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from commands import annoy as front

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
            command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
            **{"env": {"PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin"}, **options},  # type: ignore[call-overload]
        )  # fmt: skip

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
