"""Line counting has no effect that a program can notice, at any recursion depth."""

from __future__ import annotations

import json

import pytest

from annoy_store.interfaces import Limits, Program
from annoy_store.sandbox import LocalSandbox, open_sandbox
from tests.sandbox.test_runner import VERSIONS, interpreter

DEEP = Program(
    "def deeper(n):\n    return 0 if n == 0 else 1 + deeper(n - 1)\n"
    "def main_solution(n):\n    return deeper(n)\n"
)
DEEPEST = Program(
    "import json\n"
    "def deeper(n):\n    try:\n        return deeper(n + 1)\n"
    "    except RecursionError:\n        return n\n"
    "def main_solution(limit):\n    import sys\n"
    "    if limit: sys.setrecursionlimit(limit)\n"
    "    return [deeper(0), sys.getrecursionlimit()]\n"
)


def outcomes(sandbox: LocalSandbox, program: Program, texts: list[str], lines: int) -> list[object]:
    ran = sandbox.call(program, texts, Limits(lines=lines))
    return [(r.outcome, r.output, r.error_type) for r in ran]


@pytest.mark.parametrize("version", VERSIONS[3:])
def test_line_counting_keeps_the_recursion_limit(version: str) -> None:
    depths = [json.dumps({"n": n}) for n in range(970, 1000)]
    limits = [json.dumps({"limit": n}) for n in (0, 300, 2000)]
    with open_sandbox(slots=1, python=interpreter(version), unsafe=True) as sandbox:
        for program, texts in ((DEEP, depths), (DEEPEST, limits)):
            plain = outcomes(sandbox, program, texts, 0)
            for lines in (100_000, 700):
                assert outcomes(sandbox, program, texts, lines) == plain
