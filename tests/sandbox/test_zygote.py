"""Zygotes are replaced when they fail, die with their host, and leak nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from annoy_store.errors import SandboxError
from annoy_store.interfaces import Limits, Program
from annoy_store.sandbox import LocalSandbox, open_sandbox
from annoy_store.sandbox import pool as pool_module
from annoy_store.sandbox.zygote import ZygoteError, ZygoteProcess
from tests.sandbox.conftest import opened
from tests.support import hostile_suite

ONE = Program("def main_solution():\n    return 1\n")
SLEEP = Program("import time\ndef main_solution():\n    time.sleep(30)\n")
DEEP = Program("x = " + "-" * 200_000 + "1\ndef main_solution():\n    return 1\n")
HOST = """
import sys, threading
from annoy_store.interfaces import Limits, Program
from annoy_store.sandbox import open_sandbox
sandbox = open_sandbox(slots=2, isolation=sys.argv[1], unsafe=True)
spin = Program("def main_solution():\\n    while True: pass\\n")
sleep = Program("import time\\ndef main_solution():\\n    time.sleep(100)\\n")
limits = Limits(cpu_seconds=60, wall_seconds=100)
for program in (spin, sleep):
    threading.Thread(target=sandbox.call, args=(program, ["{}"], limits)).start()
while len(sandbox._busy) < 2:
    pass
print("ready", flush=True)
threading.Event().wait()
"""


def only(sandbox: LocalSandbox) -> ZygoteProcess:
    """Return the one idle zygote."""
    return next(zygote for zygotes in sandbox._idle.values() for zygote in zygotes)


def test_zygote_that_died_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    with open_sandbox(slots=1, unsafe=True) as sandbox:
        first = only(sandbox)
        first._process.kill()
        first._process.wait()
        assert sandbox.call(ONE, ["{}"] * 3, Limits())[2].output == "1"
        assert only(sandbox) is not first
    assert "restarting a sandbox process" in caplog.text


def test_zygote_that_hangs_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("annoy_store.sandbox.zygote.COMPILE_SECONDS", 0.3)
    with opened("fallback") as sandbox:
        os.kill(only(sandbox)._process.pid, signal.SIGSTOP)
        assert sandbox.call(ONE, ["{}"], Limits())[0].output == "1"


def test_zygote_is_replaced_after_its_last_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "CALLS_PER_ZYGOTE", 5)
    with open_sandbox(slots=1, unsafe=True) as sandbox:
        first = only(sandbox)
        ran = sandbox.call(ONE, ["{}"] * 12, Limits())
        assert [r.output for r in ran] == ["1"] * 12
        assert first._process.poll() is not None
        assert only(sandbox).n_calls == 2


def test_ceiling_stops_a_sleeper_with_a_wall_timeout() -> None:
    """Also one that used a tenth of its CPU limit before each wall limit."""
    with open_sandbox(slots=1, unsafe=True) as sandbox:
        limits = Limits(cpu_seconds=0.02, wall_seconds=60, ceiling_seconds=1.0)
        ran = sandbox.call(SLEEP, ["{}"], limits)[0]
        assert (ran.outcome, ran.error_message) == (
            "wall_timeout",
            "was not done after 1 s, for it slept",
        )
        assert sandbox.call(ONE, ["{}"], Limits())[0].output == "1"


def test_code_that_computes_and_then_sleeps_is_a_wall_timeout() -> None:
    code = (
        "import time\ndef main_solution():\n    while time.process_time() < 0.3: pass\n"
        "    time.sleep(60)\n"
    )
    with open_sandbox(slots=1, unsafe=True) as sandbox:
        limits = Limits(cpu_seconds=2.0, wall_seconds=1.0, ceiling_seconds=60)
        ran = sandbox.call(Program(code), ["{}"], limits)[0]
    assert (ran.outcome, ran.error_message) == ("wall_timeout", "slept for 1 s")
    assert 300 <= ran.cpu_ms < 2000


def test_starved_code_raises_a_sandbox_error() -> None:
    """The limit asks for more CPU time than any machine gives until the ceiling."""
    with open_sandbox(slots=1, unsafe=True) as sandbox:
        limits = Limits(cpu_seconds=50, wall_seconds=60, ceiling_seconds=0.4)
        with pytest.raises(SandboxError, match=r"was not done after 0\.4 s"):
            sandbox.call(SLEEP, ["{}"], limits)
        assert sandbox.call(ONE, ["{}"], Limits())[0].output == "1"


def test_trouble_is_reported_by_the_zygote_alone() -> None:
    forged = "import os\ndef main_solution():\n    os._exit(71)\n"
    with open_sandbox(slots=1, unsafe=True) as sandbox:
        assert sandbox.call(Program(forged), ["{}"], Limits())[0].outcome == "no_result"


@pytest.mark.parametrize(
    "use",
    [
        "open('/tmp/a', 'w').close()",
        "open('/tmp/a', 'w').close(); os.unlink('/tmp/a')",
        "os.mkdir('/dev/shm/a'); os.rmdir('/dev/shm/a')",
        "tempfile.gettempdir()",
    ],
)
def test_zygote_is_replaced_when_its_scratch_folders_were_used(use: str) -> None:
    code = f"import os, tempfile\ndef main_solution():\n    {use}\n    return os.listdir('/tmp')\n"
    with opened("strong") as sandbox:
        first = only(sandbox)
        assert sandbox.call(ONE, ["{}"] * 2, Limits())[1].output == "1"
        assert only(sandbox) is first
        with_none = sandbox.call(Program(code.replace(use, "pass")), ["{}"], Limits())[0]
        ran = sandbox.call(Program(code), ["{}"] * 2, Limits())
        assert first._process.poll() is not None
        assert ran[0].output == ran[1].output
        assert sandbox.call(Program(code.replace(use, "pass")), ["{}"], Limits())[0].output == (
            with_none.output
        )


def test_zygote_error_keeps_finished_results() -> None:
    with open_sandbox(slots=1, unsafe=True) as sandbox:
        real, seen = ZygoteProcess.run, []

        def failing(self: ZygoteProcess, *given: object, **more: object):  # type: ignore[no-untyped-def]
            for number, reply in enumerate(real(self, *given, **more)):  # type: ignore[arg-type]
                if number == 2 and not seen:
                    seen.append(number)
                    raise ZygoteError("gone")
                yield reply

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ZygoteProcess, "run", failing)
            code = Program("def main_solution(n):\n    return n\n")
            ran = sandbox.call(code, [f'{{"n":{n}}}' for n in range(5)], Limits())
        assert [r.output for r in ran] == ["0", "1", "2", "3", "4"]
        assert seen == [2]


def test_zygote_survives_code_that_kills_the_compiler() -> None:
    with open_sandbox(slots=1, unsafe=True) as sandbox:
        limits = Limits(cpu_seconds=1.0, memory_mb=256)
        ran = sandbox.call(DEEP, ["{}"], limits)[0]
        assert ran.outcome in {"exception", "memory", "crash", "cpu_timeout", "ok"}
        assert sandbox.call(ONE, ["{}"], limits)[0].output == "1"


def test_close_ends_all_processes_and_rejects_calls() -> None:
    before = hostile_suite.alive()
    sandbox = open_sandbox(slots=2, unsafe=True)
    assert hostile_suite.alive() - before
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(sandbox.call, SLEEP, ["{}"], Limits())
        while not sandbox._busy:
            time.sleep(0.001)
        sandbox.close()
        with pytest.raises(SandboxError):
            under_way.result()
    with pytest.raises(SandboxError, match="closed"):
        sandbox.call(ONE, ["{}"], Limits())
    assert hostile_suite.survivors(before) == set()


def test_zygote_outlives_the_thread_that_started_it() -> None:
    with open_sandbox(slots=1, unsafe=True) as sandbox:
        asking = threading.Thread(target=sandbox.call, args=(ONE, ["{}"], Limits(), 1))
        asking.start()
        asking.join()
        zygote = sandbox._idle["plain", 1][0]
        time.sleep(0.05)
        assert zygote._process.poll() is None
        assert sandbox.call(ONE, ["{}"], Limits(), 1)[0].output == "1"
        assert sandbox._idle["plain", 1] == [zygote]


@pytest.mark.parametrize("level", ["strong", "fallback", "minimum"])
def test_zygote_dies_with_its_host(level: str) -> None:
    opened(level).close()
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", HOST, level]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == "ready\n"
        assert len(hostile_suite.alive(host.pid)) >= 2
        host.kill()
        host.wait()
        assert hostile_suite.survivors(set(), host.pid) == set()


@pytest.mark.slow
def test_pool_leaks_nothing_in_200_calls() -> None:
    grown(200)


@pytest.mark.slow
def test_pool_leaks_nothing_in_10000_calls() -> None:
    grown(10_000)


def grown(checks: int) -> None:
    """Run that many checks and assert that descriptors, processes and memory do not grow."""
    with open_sandbox(slots=1, unsafe=True) as sandbox:
        sandbox.call(ONE, ["{}"] * 200, Limits())
        before = measured(sandbox)
        for start in range(0, checks, 200):
            code = f"# {start}\nkept = [0] * 1000\ndef main_solution():\n    return 1\n"
            ran = sandbox.call(Program(code), ["{}"] * 200, Limits())
            assert all(r.outcome == "ok" for r in ran)
        after = measured(sandbox)
    assert after["descriptors"] == before["descriptors"]
    assert after["processes"] == before["processes"]
    assert after["inside"] == before["inside"]
    assert after["peak_kb"] - before["peak_kb"] < 2048
    assert after["host_kb"] - before["host_kb"] < 8192


def measured(sandbox: LocalSandbox) -> dict[str, int]:
    """Measure what could grow, on both sides."""
    usage = sandbox.zygote_usage()["plain", 0]
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "processes": len(hostile_suite.alive()),
        "inside": usage["descriptors"],
        "peak_kb": usage["peak_kb"],
        "host_kb": pages * 4,
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_outcomes_do_not_depend_on_load() -> None:
    """The same thousand checks, on this machine as it is and beside eight busy processes."""
    programs = [
        Program(f"def main_solution(n):\n    return sum(i * {k} for i in range(n))\n")
        for k in range(97)
    ]
    programs += [
        Program("def main_solution(n):\n    while True: pass\n"),
        Program("import time\ndef main_solution(n):\n    time.sleep(60)\n"),
        Program("def main_solution(n):\n    return [0] * 10**10\n"),
    ]
    limits = Limits(cpu_seconds=0.5, wall_seconds=4.0, ceiling_seconds=120.0, memory_mb=256)
    texts = [f'{{"n": {n}}}' for n in range(0, 50_000, 5_000)]

    def outcomes() -> list[list[tuple[str, str | None]]]:
        with open_sandbox(slots=4, unsafe=True) as sandbox, ThreadPoolExecutor(4) as pool:
            ran = pool.map(lambda p: sandbox.call(p, texts, limits), programs)
            return [[(r.outcome, r.output) for r in batch] for batch in ran]

    idle = outcomes()
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(8)]
    try:
        assert outcomes() == idle
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert sum(len(batch) for batch in idle) == 1_000
    assert {outcome for batch in idle for outcome, _ in batch} == {
        *("ok", "cpu_timeout", "wall_timeout", "memory")
    }
