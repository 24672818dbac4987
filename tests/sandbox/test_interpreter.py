"""Descriptions of interpreters, and which of their files are readable inside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import pytest

from annoy_store.interfaces import Limits, Program
from annoy_store.sandbox import LocalSandbox, open_sandbox
from annoy_store.sandbox.interpreter import RUNNER, inspect_interpreter, readable_paths
from tests.sandbox.conftest import opened

ONE = Program("def main_solution():\n    return 1\n")


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
