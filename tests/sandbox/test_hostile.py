"""The hostile suite on every rung, as ourselves and as an ordinary user."""

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
BRIEFLY = (
    "daemon_double_fork read_secret write_outside touch_standard_library environment "
    "environment_of_others tcp_loopback unix_path unix_abstract kill_everybody kill_parent "
    "kill_host ptrace_parent limits_of_parent fork_bomb scratch_locked signal_by_owner passwords"
)


@dataclass(frozen=True)
class Battle:
    """One run of the whole suite."""

    rung: str
    attacks: dict[str, hostile_suite.Attack]
    harm: list[str]
    survivors: set[int]


RUNGS = ["strong", "fallback", pytest.param("minimum", marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=RUNGS)
def battle(request: pytest.FixtureRequest) -> Iterator[Battle]:
    with tempfile.TemporaryDirectory(prefix="annoy-victims-") as folder:
        before = hostile_suite.alive()
        try:
            attacks, harm = hostile_suite.attack(request.param, Path(folder))
        except UsageError as error:
            pytest.skip(f"no {request.param} sandbox here: {error}")
        yield Battle(request.param, attacks, harm, hostile_suite.survivors(before))


def test_the_suite_is_complete() -> None:
    known = hostile_suite.snippets()
    assert len(known) >= 80
    assert all({"strong", "fallback"} <= snippet.expected.keys() for snippet in known)


def test_every_snippet_ends_as_expected_and_leaves_the_next_check_alone(battle: Battle) -> None:
    assert hostile_suite.unexpected(battle.rung, battle.attacks) == {}
    assert len(battle.attacks) >= 80


def test_nothing_outside_was_harmed_and_nothing_survives(battle: Battle) -> None:
    assert battle.harm == []
    assert battle.survivors == set()


def as_nobody(rung: str, names: str) -> dict[str, object]:
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
            rung,
            python,
            folder,
        ]
        answer = subprocess.run(
            [*command, names], capture_output=True, text=True, cwd=Path(__file__).parents[2]
        )
    if "UsageError" in answer.stderr:
        pytest.skip(f"no {rung} sandbox for an ordinary user: {answer.stderr.splitlines()[-1]}")
    assert answer.returncode == 0, answer.stderr
    found: dict[str, object] = json.loads(answer.stdout)
    return found


def usable_by_nobody() -> str:
    """Return an interpreter that an ordinary user can run, or skip."""
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


@pytest.mark.parametrize("rung", ["strong", "fallback"])
def test_an_ordinary_user_is_as_safe(rung: str) -> None:
    found = as_nobody(rung, BRIEFLY)
    assert (found["wrong"], found["harm"], found["ran"]) == ({}, [], len(BRIEFLY.split()))


@pytest.mark.slow
@pytest.mark.parametrize("rung", ["strong", "fallback", "minimum"])
def test_an_ordinary_user_against_the_whole_suite(rung: str) -> None:
    found = as_nobody(rung, "")
    assert (found["wrong"], found["harm"]) == ({}, [])
