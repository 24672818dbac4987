"""The runner works under every interpreter from 3.8 on that this machine has."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import venv
from pathlib import Path

import pytest

from annoy_store.errors import UsageError
from annoy_store.interfaces import Limits, Program
from annoy_store.sandbox import open_sandbox

LITTERS = """
import os

def main_solution(x):
    before = len(os.listdir('/tmp'))
    open('/tmp/litter', 'w').write('x')
    return [before, x]
"""

VERSIONS = [f"3.{minor}" for minor in range(8, 15)]
CODE = (
    "import random, datetime\n"
    "def main_solution(n):\n"
    "    total = 0\n"
    "    for i in range(n):\n"
    "        total += i\n"
    "    return [total, random.random(), datetime.datetime.now().year]\n"
)
GENERATOR = "def input_generator():\n    return {'n': random.randint(1, 50)}\n"


def interpreter(version: str) -> str:
    """Return an interpreter of this version, or skip."""
    if version == ".".join(map(str, sys.version_info[:2])):
        return sys.executable
    installed = Path.home().glob(f".pyenv/versions/{version}.*/bin/python")
    found = [*map(str, installed), *filter(None, [shutil.which(f"python{version}")])]
    return next(iter(found)) if found else pytest.skip(f"no Python {version} here")


@pytest.mark.parametrize("version", VERSIONS)
def test_runner_works_under_each_python_version(version: str) -> None:
    program = Program(CODE, generator=GENERATOR)
    with open_sandbox(slots=1, python=interpreter(version), unsafe=True) as sandbox:
        assert re.match(re.escape(version) + r"\.\d", sandbox.info.python)
        drawn = sandbox.draw(program, [1, 2], Limits(lines=1000))
        assert [r.outcome for r in drawn] == ["ok", "ok"]
        assert all(r.lines for r in drawn)
        texts = [r.input or "" for r in drawn]
        assert [r.output for r in sandbox.call(program, texts, Limits())] == [
            r.output for r in drawn
        ]
        there = sandbox.call(program, texts, Limits(), environment_seed=1)
        assert all(
            a.outcome == "ok" and a.output != b.output for a, b in zip(there, drawn, strict=True)
        )
        spin = Program("def main_solution():\n    while True: pass\n")
        quick = Limits(cpu_seconds=0.1)
        assert sandbox.call(spin, ["{}"], quick)[0].outcome == "cpu_timeout"
        fork = Program("import os\ndef main_solution():\n    os.fork()\n")
        if sandbox.info.isolation != "minimum":
            assert sandbox.call(fork, ["{}"], quick)[0].error_type == "PermissionError"


def test_runner_works_with_an_interpreter_below_tmp() -> None:
    """A virtual environment in /tmp is visible inside, kept between calls, and read-only."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        venv.create(folder / "venv", with_pip=False)
        python = str(folder / "venv" / "bin" / "python")
        with open_sandbox(slots=1, python=python, isolation="strong") as sandbox:
            got = [sandbox.call(Program(LITTERS), ['{"x": 1}'], Limits())[0] for _ in range(3)]
    except UsageError as error:
        pytest.skip(f"no strong level here: {error}")
    finally:
        shutil.rmtree(folder)
    assert [ran.output for ran in got] == ["[1,1]"] * 3
