"""The hostile suite at every isolation level, as the current and as an unprivileged user.

The default run has the whole suite at the strongest level and a selection of every kind at the
fallback and, where it can change its user, as an unprivileged one; the slow run has all of it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
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
    "kill_host ptrace_parent limits_of_parent fork_bomb scratch_locked signal_by_owner passwords "
    "mode_of_devices times_of_devices attribute_by_number mode_by_number times_of_scratch "
    "size_of_interpreter truncate_to_read truncate_by_odd_access flags_of_the_library "
    "flock_of_the_library flock_of_devices record_lock_of_the_library lease_of_the_library "
    "shared_memory_of_others messages_of_others semaphores_of_others message_queue_of_others "
    "posix_memory_of_others affinity_of_others priority_of_others limits_of_others "
    "signals_of_others memory_of_others processes_by_number namespaces_by_number users_by_number "
    "sockets_by_number page_cache_of_the_library unlisted_system_calls state_of_standard_streams "
    "state_of_inode_numbers state_of_files state_of_the_interpreter"
)


@dataclass(frozen=True)
class SuiteRun:
    """One run of the whole suite."""

    level: str
    attacks: dict[str, hostile_suite.Attack]
    harm: list[str]
    survivors: set[int]


LEVELS = ["strong", *(pytest.param(n, marks=pytest.mark.slow) for n in ("fallback", "minimum"))]


def run_suite(level: str, chosen: Sequence[hostile_suite.Snippet] | None = None) -> SuiteRun:
    """Run snippets at a level, or skip where that level does not work."""
    with tempfile.TemporaryDirectory(prefix="annoy-victims-") as folder:
        before = hostile_suite.alive()
        try:
            attacks, harm = hostile_suite.attack(level, Path(folder), chosen=chosen)
        except UsageError as error:
            pytest.skip(f"no {level} sandbox here: {error}")
        return SuiteRun(level, attacks, harm, hostile_suite.survivors(before))


@pytest.fixture(scope="module", params=LEVELS)
def suite_run(request: pytest.FixtureRequest) -> SuiteRun:
    return run_suite(request.param)


def test_hostile_suite_is_complete() -> None:
    known = hostile_suite.snippets()
    assert len(known) >= 230
    assert all({"strong", "fallback"} <= snippet.expected.keys() for snippet in known)


def test_hostile_snippets_end_as_expected(suite_run: SuiteRun) -> None:
    assert hostile_suite.unexpected(suite_run.level, suite_run.attacks) == {}
    assert len(suite_run.attacks) >= (80 if suite_run.level == "minimum" else 230)


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


CLEAN = {"wrong": {}, "harm": [], "survivors": []}


@pytest.mark.parametrize("level", ["strong", "fallback"])
def test_isolation_holds_for_an_unprivileged_user(level: str) -> None:
    assert as_nobody(level, SELECTION) == {"ran": len(SELECTION.split()), **CLEAN}


def test_isolation_holds_at_the_fallback() -> None:
    chosen = [snippet for snippet in hostile_suite.snippets() if snippet.name in SELECTION.split()]
    found = run_suite("fallback", chosen)
    assert hostile_suite.unexpected("fallback", found.attacks) == {}
    assert (found.harm, found.survivors, len(found.attacks)) == ([], set(), len(SELECTION.split()))


@pytest.mark.slow
@pytest.mark.parametrize("level", ["strong", "fallback", "minimum"])
def test_hostile_suite_as_an_unprivileged_user(level: str) -> None:
    found = as_nobody(level, "")
    assert found.pop("ran") in range(80 if level == "minimum" else 230, 1000)
    assert found == CLEAN
