"""Choice of the isolation level, interpreters, and the seccomp filter."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from annoy_store.errors import UsageError
from annoy_store.interfaces import Limits, Program
from annoy_store.sandbox import LocalSandbox, isolation, open_sandbox, runner
from annoy_store.sandbox.interpreter import RUNNER, inspect_interpreter, readable_paths
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
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened("fallback").close()
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'setting up uid map: Permission denied' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(isolation, "bubblewrap_binaries", lambda: [str(broken)])
    with open_sandbox(slots=1) as sandbox:
        assert sandbox.info.isolation == "fallback"
        assert "uid map: Permission denied" in sandbox.describe()["refused"]["strong"]


def test_failed_self_tests_detect_weak_isolation() -> None:
    with ThreadPoolExecutor(1) as spawner:
        weak = ZygoteProcess(IsolationLevel("minimum"), inspect_interpreter(), [], 0, spawner)
        try:
            holes = isolation.failed_self_tests(IsolationLevel("fallback"), weak)
        finally:
            weak.kill()
    assert "code reads files of the user" in holes
    assert "code reaches the network" in holes
    assert "code starts processes" in holes


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


def test_open_sandbox_rejects_unknown_levels_and_interpreters(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the levels are strong, fallback, minimum"):
        open_sandbox(isolation="mighty")
    with pytest.raises(UsageError, match="does not run"):
        open_sandbox(python=str(tmp_path / "python"))
    with pytest.raises(UsageError, match="is not Python"):
        open_sandbox(python=shutil.which("true"))


def test_sandbox_info_identifies_interpreter_packages_and_runner(sandbox: LocalSandbox) -> None:
    info = sandbox.info
    assert info.python == ".".join(map(str, sys.version_info[:3]))
    assert info.packages["pytest"] == pytest.__version__
    assert len(info.interpreter) == 32
    assert len(info.runner_version) == 12
    about = sandbox.describe()
    assert about["interpreter"] == info.interpreter
    assert about["packages"] == info.packages


def test_sandbox_info_changes_with_the_packages() -> None:
    interpreter = inspect_interpreter()
    more = {**interpreter.packages, "sympy": "1.14"}
    other = type(interpreter)(**{**vars(interpreter), "packages": more})
    assert interpreter.sandbox_info("strong") == interpreter.sandbox_info("strong")
    assert (
        other.sandbox_info("strong").interpreter != interpreter.sandbox_info("strong").interpreter
    )


def test_readable_paths_cover_the_interpreter_only() -> None:
    interpreter = inspect_interpreter()
    allowed = readable_paths(interpreter)
    assert "/" not in allowed
    assert not any(str(Path(__file__)).startswith(path + "/") for path in allowed)
    assert any(os.path.realpath(interpreter.path).startswith(path) for path in allowed)


def test_interpreter_may_be_a_symbolic_link(tmp_path: Path) -> None:
    link = tmp_path / "python"
    link.symlink_to(os.path.realpath(sys.executable))
    with open_sandbox(slots=1, python=str(link), unsafe=True) as sandbox:
        assert sandbox.call(ONE, ["{}"], Limits())[0].output == "1"


def test_interpreter_below_tmp_leads_to_no_writable_folder() -> None:
    """Nor are the folders that lead to it, which are neither tmpfs nor the interpreter."""
    opened("strong").close()
    stay = """
import os
def main_solution(path):
    try:
        open(path, "x").close()
    except OSError:
        return sorted(os.listdir("/tmp"))
    return "written"
"""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        venv.create(os.path.join(folder, "deep", "env"), symlinks=True)
        python = os.path.join(folder, "deep", "env", "bin", "python")
        with open_sandbox(slots=1, python=python, isolation="strong") as sandbox:
            places = [f"{folder}/x", f"{folder}/deep/x", f"{folder}/deep/env/x", "/tmp/x"]
            texts = [json.dumps({"path": place}) for place in places]
            ran = sandbox.call(Program(stay), texts, Limits())
    led = json.dumps([os.path.basename(folder)])
    assert [r.output for r in ran] == [led, led, led, '"written"']


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("subprocesses", [True, False])
def test_seccomp_filter_jumps_stay_inside_it(machine: str, subprocesses: bool) -> None:
    steps = runner.filter_steps(machine, subprocesses, metadata=True)
    for place, (code, yes, no, operand) in enumerate(steps):
        if code in (runner.EQUAL, runner.AT_LEAST, runner.BITS):
            assert place + 1 + max(yes, no) < len(steps)
            assert 0 <= yes < 256
            assert 0 <= no < 256
        if code == runner.JUMP:
            assert place + 1 + operand < len(steps)
    assert steps[-1] == (runner.RETURN, 0, 0, runner.ALLOW)
    assert len(steps) < 4096


ALLOWED = {
    "openat": (257, 56),
    "read": (0, 63),
    "futex": (202, 98),
    "mmap": (9, 222),
    "getpid": (39, 172),
}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_seccomp_filter_follows_the_syscall_tables(machine: str) -> None:
    column = ["x86_64", "aarch64"].index(machine)
    steps = runner.filter_steps(machine, False, metadata=True)
    refused = {**runner.NEVER, **runner.PROCESSES, **runner.METADATA}
    for numbers in refused.values():
        if numbers[column] >= 0:
            assert verdict(steps, machine, numbers[column]) == runner.EPERM
    for numbers in ALLOWED.values():
        assert verdict(steps, machine, numbers[column]) == runner.ALLOW
    guarded = {name: numbers[column] for name, numbers in runner.GUARDED.items()}
    named = {numbers[column] for numbers in refused.values()} | set(guarded.values())
    for number in set(range(runner.NEWEST_SYSCALL + 1)) - named:
        assert verdict(steps, machine, number) == runner.ALLOW
    own, sigkill = runner.OWN_PID, 9
    assert verdict(steps, machine, guarded["clone"], [17]) == runner.EPERM
    assert verdict(steps, machine, guarded["clone"], [runner.CLONE_THREAD]) == runner.ALLOW
    assert verdict(steps, machine, guarded["clone3"]) == runner.ENOSYS
    assert verdict(steps, machine, guarded["kill"], [own, 15]) == runner.ALLOW
    assert verdict(steps, machine, guarded["kill"], [own, sigkill]) == runner.EPERM
    assert verdict(steps, machine, guarded["kill"], [1, 0]) == runner.EPERM
    assert verdict(steps, machine, guarded["tgkill"], [own, 7, 6]) == runner.ALLOW
    assert verdict(steps, machine, guarded["prlimit64"], [0, 3, 1]) == runner.ALLOW
    assert verdict(steps, machine, guarded["prlimit64"], [0, 9, 1]) == runner.EPERM
    assert verdict(steps, machine, guarded["prlimit64"], [0, 0, 1]) == runner.EPERM
    assert verdict(steps, machine, guarded["prlimit64"], [0, 0, 1 << 32]) == runner.EPERM
    assert verdict(steps, machine, guarded["prlimit64"], [own, 0, 0]) == runner.ALLOW
    assert verdict(steps, machine, guarded["prlimit64"], [1, 9, 1]) == runner.EPERM
    assert verdict(steps, machine, guarded["fcntl"], [3, 8]) == runner.EPERM
    assert verdict(steps, machine, guarded["fcntl"], [3, 1]) == runner.ALLOW
    assert verdict(steps, machine, 500) == runner.ENOSYS
    assert verdict(steps, "another", 0) == runner.KILL


def verdict(
    steps: list[runner.Step], machine: str, call: int, given: list[int] | None = None
) -> int:
    """Evaluate a seccomp filter as the kernel would, on one system call."""
    words = {0: call, 4: runner.AUDIT_ARCH.get(machine, 7)}
    for place, value in enumerate([*(given or []), 0, 0, 0, 0, 0, 0][:6]):
        words[16 + 8 * place], words[20 + 8 * place] = value & 0xFFFFFFFF, value >> 32
    at = register = x = kept = 0
    while True:
        code, yes, no, operand = steps[at]
        at += 1
        if code == runner.RETURN:
            return operand
        if code == runner.LOAD:
            register = words[operand]
        elif code == runner.AND:
            register &= operand
        elif code == runner.CONSTANT:
            register = operand
        elif code == runner.KEEP:
            kept = register
        elif code == runner.KEPT:
            register = kept
        elif code == runner.TO_X:
            x = register
        elif code == runner.SHIFT:
            register >>= operand
        elif code == runner.SHIFT_BY_X:
            register >>= x
        elif code == runner.JUMP:
            at += operand
        else:
            holds = {
                runner.EQUAL: register == operand,
                runner.AT_LEAST: register >= operand,
                runner.BITS: bool(register & operand),
            }[code]
            at += yes if holds else no


def test_probe_runs_without_the_host_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("SOME_API_KEY", "sk-1")
    answer = subprocess.run([sys.executable, str(RUNNER), "probe", "json"], capture_output=True)
    assert b'"found": ["json"]' in answer.stdout
    with open_sandbox(slots=1, unsafe=True) as sandbox:
        code = "import os\ndef main_solution():\n    return sorted(os.environ)\n"
        seen = sandbox.call(Program(code), ["{}"], Limits())[0].output
    assert seen is not None
    assert "KEY" not in seen
    assert "PYTHONPATH" not in seen
