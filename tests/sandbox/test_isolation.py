"""Choice of the isolation level, and what is reported when one fails."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from annoy_store.errors import UsageError
from annoy_store.interfaces import Limits, Program
from annoy_store.sandbox import isolation, open_sandbox
from annoy_store.sandbox.interpreter import inspect_interpreter
from annoy_store.sandbox.zygote import IsolationLevel, ZygoteProcess
from tests.sandbox.conftest import opened

ONE = Program("def main_solution():\n    return 1\n")


def no_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "bubblewrap_binaries", list)


def test_strongest_isolation_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    opened("strong").close()
    opened("fallback").close()
    with open_sandbox(slots=1) as sandbox:
        assert (sandbox.info.isolation, sandbox.describe()["refused"]) == ("strong", {})
    no_bubblewrap(monkeypatch)
    with open_sandbox(slots=1) as sandbox:
        assert sandbox.info.isolation == "fallback"
        assert sandbox.describe()["refused"] == {"strong": "bubblewrap is not installed"}


def test_bubblewrap_binaries_all_work(monkeypatch: pytest.MonkeyPatch) -> None:
    binaries = isolation.bubblewrap_binaries()
    if len(binaries) < 2:
        pytest.skip(f"only {len(binaries)} bubblewrap here")
    for binary in binaries:
        monkeypatch.setattr(isolation, "bubblewrap_binaries", lambda binary=binary: [binary])
        with opened("strong") as sandbox:
            assert sandbox.describe()["bubblewrap"] == binary
            assert sandbox.call(ONE, ["{}"], Limits())[0].output == "1"


def test_bubblewrap_failure_is_reported_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened("fallback").close()
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'setting up uid map: Permission denied' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(isolation, "bubblewrap_binaries", lambda: [str(broken)])
    with open_sandbox(slots=1) as sandbox:
        assert sandbox.info.isolation == "fallback"
        assert "uid map: Permission denied" in sandbox.describe()["refused"]["strong"]
    assert "using sandbox isolation fallback because strong failed: " in caplog.text


def test_failed_self_tests_detect_weak_isolation() -> None:
    with ThreadPoolExecutor(1) as spawner:
        weak = ZygoteProcess(IsolationLevel("minimum"), inspect_interpreter(), [], 0, spawner)
        try:
            holes = isolation.failed_self_tests(IsolationLevel("fallback"), weak, Limits())
        finally:
            weak.kill()
    assert "code reads files of the user" in holes
    assert "code writes files of the user" in holes
    assert "code reaches the network" in holes
    assert "code starts processes" in holes
    assert "code locks files" in holes
    assert "code changes modes of files" in holes


def test_minimum_isolation_needs_the_unsafe_option(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="--unsafe-no-sandbox"):
        open_sandbox(isolation="minimum")
    with open_sandbox(slots=1, isolation="minimum", unsafe=True) as sandbox:
        assert sandbox.call(ONE, ["{}"], Limits())[0].output == "1"
    no_bubblewrap(monkeypatch)
    with pytest.raises(UsageError, match="bubblewrap is not installed"):
        open_sandbox(isolation="strong", unsafe=True)


def test_subprocesses_need_strong_isolation(monkeypatch: pytest.MonkeyPatch) -> None:
    opened("strong").close()
    program = Program(
        "import os, subprocess, time\n"
        "def main_solution():\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        time.sleep(60)\n"
        "    return subprocess.run(['echo', 'hi'], capture_output=True, text=True).stdout\n"
    )
    with open_sandbox(slots=1, allow_subprocess=True) as sandbox:
        ran = sandbox.call(program, ["{}"] * 2, Limits())
        assert [r.output for r in ran] == ['"hi\\n"'] * 2
        assert sandbox.describe()["subprocesses"]
    no_bubblewrap(monkeypatch)
    with pytest.raises(UsageError, match="Subprocesses need the strong sandbox"):
        open_sandbox(allow_subprocess=True, unsafe=True)


ATTACKS_WITH_SUBPROCESSES = {
    "signals": "[os.kill(p, s) for p in (1, os.getppid()) for s in (1, 2, 3, 6, 9, 10, 15, 17, 19)]",
    "limits": "resource.prlimit(1, resource.RLIMIT_NOFILE, (1, 1))",
    "modes": "subprocess.run(['chmod', '600', '/dev/null'], check=True)",
    "times": "subprocess.run(['touch', '-d', '@1', '/dev/null', '/tmp'], check=True)",
    "namespaces": "subprocess.run(['unshare', '--user', 'true'], check=True)",
    "locks": "subprocess.run(['flock', '/usr', 'true'], check=True)",
    "memory": "subprocess.run(['ipcmk', '--shmem', '100'], check=True)",
}


@pytest.mark.parametrize("attack", ATTACKS_WITH_SUBPROCESSES)
def test_subprocesses_stay_inside_the_sandbox(attack: str) -> None:
    opened("strong").close()
    program = Program(
        "import os, resource, subprocess\n"
        "def main_solution():\n"
        "    try:\n"
        f"        {ATTACKS_WITH_SUBPROCESSES[attack]}\n"
        "    except (OSError, subprocess.CalledProcessError):\n"
        "        return 'denied'\n"
        "    return 'done'\n"
    )
    before = os.stat("/dev/null")
    with open_sandbox(slots=1, allow_subprocess=True) as sandbox:
        ran = sandbox.call(program, ["{}"], Limits())[0]
        expected = '"done"' if attack == "signals" else '"denied"'  # pid 1 is not reached
        assert (ran.outcome, ran.output) == ("ok", expected)
        assert sandbox.call(ONE, ["{}"], Limits())[0].output == "1"
    after = os.stat("/dev/null")
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)


def test_open_sandbox_rejects_unknown_levels_and_interpreters(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="known are: strong, fallback, minimum"):
        open_sandbox(isolation="mighty")
    with pytest.raises(UsageError, match="does not run"):
        open_sandbox(python=str(tmp_path / "python"))
    with pytest.raises(UsageError, match="is not Python"):
        open_sandbox(python=shutil.which("true"))
