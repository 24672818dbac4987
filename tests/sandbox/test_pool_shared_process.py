"""Calls that share a process return what separate calls return."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annoy_store.interfaces import ExecutionResult, Limits, Program
from annoy_store.sandbox import LocalSandbox, open_sandbox
from tests.sandbox.conftest import opened

LIMITS = Limits(cpu_seconds=0.3, wall_seconds=0.3, memory_mb=64)
COUNTING = Program("n = 0\ndef main_solution():\n    global n\n    n += 1\n    return n\n")
ANYTHING = Program(
    "import ctypes, os, sys, time\n"
    "def main_solution(do):\n"
    "    if do == 'raise': raise ValueError(do)\n"
    "    if do == 'exit': sys.exit(0)\n"
    "    if do == 'leave': os._exit(0)\n"
    "    if do == 'abort': os.abort()\n"
    "    if do == 'crash': ctypes.string_at(0)\n"
    "    if do == 'set': return {1}\n"
    "    if do == 'fill': return len(bytearray(1 << 30))\n"
    "    if do == 'nest': os.mkdir('/tmp/left')\n"
    "    if do == 'spin':\n"
    "        while True: pass\n"
    "    if do == 'sleep': time.sleep(9)\n"
    "    if do == 'forge': [os.write(fd, b'x' * 40) for fd in range(3, 20) if _is(fd)]\n"
    "    return do\n"
    "def _is(fd):\n"
    "    try: return os.fstat(fd).st_mode & 0o170000 == 0o010000\n"
    "    except OSError: return False\n"
)
DEEDS = ["raise", "exit", "leave", "abort", "crash", "set", "fill", "nest", "spin", "sleep"]


def outcomes(ran: list[ExecutionResult]) -> list[tuple[object, ...]]:
    return [(r.outcome, r.output, r.error_type, r.phase, r.input) for r in ran]


def deeds(words: list[str]) -> list[str]:
    return [json.dumps({"do": word}) for word in words]


def test_share_process_is_off_by_default(sandbox: LocalSandbox) -> None:
    alone = sandbox.call(COUNTING, ["{}"] * 3, LIMITS)
    assert [r.output for r in alone] == ["1", "1", "1"]
    shared = sandbox.call(COUNTING, ["{}"] * 3, LIMITS, share_process=True)
    assert [r.output for r in shared] == ["1", "2", "3"]
    assert all(r.cpu_ms > 0 and r.wall_ms > 0 for r in shared)
    assert [r.output for r in sandbox.call(COUNTING, ["{}"] * 2, LIMITS)] == ["1", "1"]


@pytest.mark.parametrize("deed", [*DEEDS, "forge"])
def test_share_process_isolates_a_failing_call(sandbox: LocalSandbox, deed: str) -> None:
    texts = deeds(["a", deed, "b", "c"])
    shared = sandbox.call(ANYTHING, texts, LIMITS, share_process=True)
    assert outcomes(shared) == outcomes(sandbox.call(ANYTHING, texts, LIMITS))
    assert [shared[i].output for i in (0, 2, 3)] == ['"a"', '"b"', '"c"']


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from([*DEEDS[:6], "a", "b", "é"]), max_size=8))
def test_share_process_returns_what_separate_calls_return(
    sandbox: LocalSandbox, words: list[str]
) -> None:
    shared = sandbox.call(ANYTHING, deeds(words), LIMITS, share_process=True)
    assert outcomes(shared) == outcomes(sandbox.call(ANYTHING, deeds(words), LIMITS))


def test_share_process_counts_lines_per_call(sandbox: LocalSandbox) -> None:
    code = "def main_solution(n):\n    for _ in range(n):\n        n += 1\n    return n\n"
    texts = [json.dumps({"n": n}) for n in (1, 10, 100)]
    within = Limits(lines=100)
    shared = sandbox.call(Program(code), texts, within, share_process=True)
    assert [r.lines for r in shared] == [
        r.lines for r in sandbox.call(Program(code), texts, within)
    ]
    assert shared[2].lines == 100


def test_share_process_needs_an_isolation_that_blocks_forks(each: LocalSandbox) -> None:
    shared = each.call(COUNTING, ["{}"] * 2, LIMITS, environment_seed=1, share_process=True)
    forks_blocked = each.describe()["isolation"] != "minimum"
    assert [r.output for r in shared] == (["1", "2"] if forks_blocked else ["1", "1"])


def test_share_process_is_off_where_subprocesses_are_allowed() -> None:
    with opened("strong"), open_sandbox(slots=1, allow_subprocess=True) as sandbox:
        ran = sandbox.call(COUNTING, ["{}"] * 2, LIMITS, share_process=True)
        assert [r.output for r in ran] == ["1", "1"]


def test_call_together_ends_at_the_first_failure(sandbox: LocalSandbox) -> None:
    for deed in (deed for deed in DEEDS if deed != "nest"):
        ran = sandbox.call_together(ANYTHING, deeds(["a", "b", deed, "c"]), LIMITS)
        assert [r.output for r in ran] in (['"a"', '"b"'], [])
        assert deed not in {"raise", "exit", "set"} or len(ran) == 2
    ran = sandbox.call_together(ANYTHING, deeds(["a", "b", "c"]), LIMITS)
    assert outcomes(ran) == outcomes(sandbox.call(ANYTHING, deeds(["a", "b", "c"]), LIMITS))


def test_call_together_needs_an_isolation_that_blocks_forks(each: LocalSandbox) -> None:
    ran = each.call_together(COUNTING, ["{}"] * 2, LIMITS)
    forks_blocked = each.describe()["isolation"] != "minimum"
    assert [r.output for r in ran] == (["1", "2"] if forks_blocked else [])


def test_calls_of_one_process_have_the_same_recursion_limit(sandbox: LocalSandbox) -> None:
    code = (
        "import sys\ndef deep(n):\n    try:\n        return deep(n + 1)\n"
        "    except RecursionError:\n        return n\n"
        "def main_solution():\n    return [sys.getrecursionlimit(), deep(0)]\n"
    )
    counted = Limits(lines=100)
    alone = sandbox.call(Program(code), ["{}"], counted)[0].output
    together = sandbox.call_together(Program(code), ["{}"] * 3, counted)
    assert [r.output for r in together] == [alone] * 3
