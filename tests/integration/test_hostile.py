"""The hostile suite at every isolation level, as the current and as an unprivileged user."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from annoy_store.errors import UsageError
from annoy_store.sandbox.interpreter import RUNNER
from tests.support import hostile_suite

NOBODY = 65534
SELECTION = (
    "daemon_double_fork read_secret write_outside touch_standard_library environment "
    "environment_of_others tcp_loopback unix_path unix_abstract kill_everybody kill_parent "
    "kill_host ptrace_parent limits_of_parent fork_bomb scratch_locked signal_by_owner passwords"
)


@dataclass(frozen=True)
class SuiteRun:
    """One run of the whole suite."""

    level: str
    attacks: dict[str, hostile_suite.Attack]
    harm: list[str]
    survivors: set[int]


LEVELS = ["strong", *(pytest.param(n, marks=pytest.mark.slow) for n in ("fallback", "minimum"))]


@pytest.fixture(scope="module", params=LEVELS)
def suite_run(request: pytest.FixtureRequest) -> Iterator[SuiteRun]:
    with tempfile.TemporaryDirectory(prefix="annoy-victims-") as folder:
        before = hostile_suite.alive()
        try:
            attacks, harm = hostile_suite.attack(request.param, Path(folder))
        except UsageError as error:
            pytest.skip(f"no {request.param} sandbox here: {error}")
        yield SuiteRun(request.param, attacks, harm, hostile_suite.survivors(before))


def test_hostile_suite_is_complete() -> None:
    known = hostile_suite.snippets()
    assert len(known) >= 80
    assert all({"strong", "fallback"} <= snippet.expected.keys() for snippet in known)


def test_hostile_snippets_end_as_expected(suite_run: SuiteRun) -> None:
    assert hostile_suite.unexpected(suite_run.level, suite_run.attacks) == {}
    assert len(suite_run.attacks) >= 80


def test_hostile_snippets_harm_nothing_and_leave_no_process(suite_run: SuiteRun) -> None:
    assert suite_run.harm == []
    assert suite_run.survivors == set()


def as_nobody(level: str, names: str) -> dict[str, object]:
    """Run the suite under another uid, with an interpreter that this uid can start."""
    python = usable_by_nobody()
    with tempfile.TemporaryDirectory(prefix="annoy-victims-") as folder:
        os.chmod(folder, 0o700)
        os.chown(folder, NOBODY, NOBODY)
        command = [
            sys.executable,
            "-m",
            "tests.support.hostile_suite",
            str(NOBODY),
            level,
            python,
            folder,
        ]
        answer = subprocess.run(
            [*command, names], capture_output=True, text=True, cwd=Path(__file__).parents[2]
        )
    if "UsageError" in answer.stderr:
        pytest.skip(f"no {level} sandbox for an ordinary user: {answer.stderr.splitlines()[-1]}")
    assert answer.returncode == 0, answer.stderr
    found: dict[str, object] = json.loads(answer.stdout)
    return found


def usable_by_nobody() -> str:
    """Return an interpreter that an unprivileged user can run, or skip."""
    if os.geteuid() != 0:
        pytest.skip("we are an ordinary user already")
    for python in (sys.executable, shutil.which("python3", path="/usr/bin:/usr/local/bin")):
        if python is not None and _runs([python, "-c", "0"]) and _runs(["cat", str(RUNNER)]):
            return python
    pytest.skip("no interpreter here that an ordinary user can run")


def _runs(command: list[str]) -> bool:
    try:
        return subprocess.run(command, user=NOBODY, capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.parametrize("level", ["strong", "fallback"])
def test_isolation_holds_for_an_unprivileged_user(level: str) -> None:
    found = as_nobody(level, SELECTION)
    assert (found["wrong"], found["harm"], found["ran"]) == ({}, [], len(SELECTION.split()))


@pytest.mark.slow
@pytest.mark.parametrize("level", ["strong", "fallback", "minimum"])
def test_hostile_suite_as_an_unprivileged_user(level: str) -> None:
    found = as_nobody(level, "")
    assert (found["wrong"], found["harm"]) == ({}, [])
