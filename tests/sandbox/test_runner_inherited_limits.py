"""Limits that the host inherited: none is exceeded, and one that is too low is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.sandbox.conftest import opened

CALLS = """
import json, sys, threading
from annoy_store.errors import AnnoyError
from annoy_store.interfaces import Limits, Program
from annoy_store.sandbox import open_sandbox

CODE = '''
import resource, threading
def main_solution():
    names = ("AS", "STACK", "NOFILE", "FSIZE")
    found = {name: resource.getrlimit(getattr(resource, "RLIMIT_" + name))[0] for name in names}
    threads = [threading.Thread(target=int) for _ in range(8)]
    for thread in threads:
        thread.start()
    return found
'''
try:
    limits = Limits(memory_mb=int(sys.argv[2]))
    with open_sandbox(slots=1, isolation=sys.argv[1], unsafe=True, limits=limits) as sandbox:
        ran = sandbox.call(Program(sys.argv[3] + CODE), ["{}"], limits)[0]
        print(json.dumps([ran.outcome, json.loads(ran.output or "null")]))
except AnnoyError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""
LEVELS = ("strong", "fallback", "minimum")
STACK = 8 << 20


def below(limit: str, level: str, memory_mb: int = 256, imports: str = "") -> tuple[str, object]:
    """Call a program in a process with a limit; return the outcome and the limits seen inside."""
    command = ["sh", "-c", f'{limit}; exec "$@"', "-", sys.executable, "-c", CALLS]
    told = subprocess.run(
        [*command, level, str(memory_mb), imports],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert told.returncode == 0, told.stderr
    outcome, seen = eval(told.stdout, {"null": None})
    return outcome, seen


LOWERED = ("ulimit -Sv 1000000", "ulimit -d 2000000", "ulimit -n 40", "ulimit -f 2000")
MORE = (*LOWERED, "ulimit -Ss 1024", "ulimit -t 60")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "limit",
    [
        *("ulimit -v 2000000", "ulimit -s unlimited"),
        *(pytest.param(limit, marks=pytest.mark.slow) for limit in MORE),
    ],
)
def test_zygote_works_below_inherited_limits(limit: str, level: str) -> None:
    opened(level).close()
    outcome, seen = below(limit, level)
    assert outcome == "ok", seen
    assert isinstance(seen, dict)
    assert 256 << 20 <= seen["AS"] < 2_000_000 << 10  # the call's own room, whatever was inherited
    assert seen["STACK"] == STACK
    assert seen["NOFILE"] == (40 if "-n" in limit else 64)
    assert seen["FSIZE"] <= 16 << 20


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("ulimit -v 900000", "MB of address space, and this process may have 878 (ulimit -v)"),
        pytest.param(
            *("ulimit -d 900000", "MB of data, and this process may have 878 (ulimit -d)"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("ulimit -t 4", "need 6 s of CPU time, and this process may have 4 (ulimit -t)"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_limits_that_are_too_low_are_named(limit: str, expected: str, level: str) -> None:
    opened(level).close()
    kind, message = below(limit, level, memory_mb=1024)
    assert kind == "LimitTooLow"
    assert expected in str(message)
    assert "raise that limit" in str(message)
    assert "bubblewrap" not in str(message)


def test_limit_too_low_for_more_modules_is_an_error_of_the_sandbox() -> None:
    """numpy takes room before the call: the sandbox opens, and the call is no verdict."""
    pytest.importorskip("numpy")
    kind, message = below("ulimit -v 300000", "minimum", imports="import numpy\n")
    assert kind == "SandboxError"
    assert "(ulimit -v)" in str(message)


def test_other_low_limits_are_named_when_no_level_works() -> None:
    code = "from annoy_store.sandbox.isolation import _no_sandbox_message as say; print(say({}, 0))"
    command = ["sh", "-c", 'ulimit -n 40; exec "$@"', "-", sys.executable, "-c", code]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Raise the limits of this process that are low: ulimit -n 40. Install" in told


def test_run_ends_before_its_jobs_when_a_limit_is_below_the_policy(tmp_path: Path) -> None:
    def annoy(words: str) -> subprocess.CompletedProcess[str]:
        script = 'ulimit -v 4000000; exec "$@"'
        command = ["sh", "-c", script, "-", sys.executable, "-m", "annoy_store", *words.split()]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    assert annoy("init").returncode == 0
    assert annoy("policy memory_mb=8000").returncode == 0
    ended = annoy("run generate")
    assert ended.returncode != 0
    assert "this process may have 3906 (ulimit -v)" in ended.stderr
    assert annoy("policy memory_mb=512").returncode == 0
    assert annoy("run generate").returncode == 0
