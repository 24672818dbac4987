"""One program of several fenced blocks."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annoy_store.parsing.fences import Fence, find_fences
from annoy_store.parsing.program import join_blocks

SOLVE = "def solve(n):\n    return isqrt(n)"
IMPORT = "from math import isqrt"


def fences(*blocks: str) -> list[Fence]:
    """The fences of blocks, each a language (or none), a line end and code."""
    return list(find_fences("\n".join(f"```{block}\n```" for block in blocks).split("\n")))


def solved(*blocks: str, n: int = 9) -> Any:
    code = join_blocks(fences(*blocks), "solve")
    assert code is not None
    names: dict[str, Any] = {"__name__": "imported"}
    exec(compile(code, "joined", "exec"), names)
    return names["solve"](n)


@pytest.mark.parametrize(
    "blocks",
    [
        (f"python\n{IMPORT}", f"python\n{SOLVE}"),
        (f"python\n{SOLVE}", f"python\n{IMPORT}"),
        (f"\n{IMPORT}", f"\n{SOLVE}"),
        (f"\n{IMPORT}", f"python\n{SOLVE}"),
        (f"py\n{IMPORT}", "bash\npip install it", f"python3\n{SOLVE}"),
        (f"python\n{IMPORT}", f"python\nfrom __future__ import annotations\n{SOLVE}"),
        (f"python\n{IMPORT}\ndef solve(n):\n    root = isqrt(n)", "python\n    return root"),
        (f"python\n{IMPORT}\ndef solve(n):\n    return [", "python\n    isqrt(n)][0]"),
        (f"python\n{IMPORT}", f"python\n{SOLVE}", "python\nsolve = staticmethod(solve)"),
        (f"python\n{IMPORT}\n{SOLVE}", "python\nprint(solve(1 / 0))", "python\nsolve(1 / 0)"),
        (f"python\n{IMPORT}\n{SOLVE}", "python\nshown = solve('?')\nassert shown == 3"),
        (f"python\n{IMPORT}\n{SOLVE}", "python\n>>> solve(9)\n3", "\n3", "python\n3"),
        (f"python\n{IMPORT}\ndef solve(n):\n    return 0", f"python\n{SOLVE}"),
        (f"python\n{IMPORT}", "python\ndef solve(n):\n    return helper", f"python\n{SOLVE}"),
        (f"rust\n{IMPORT}\n{SOLVE}",),
    ],
)
def test_join_blocks_makes_one_program(blocks: tuple[str, ...]) -> None:
    assert solved(*blocks) == 3


def test_join_blocks_keeps_the_order_and_what_only_acts() -> None:
    first, second = "import sys", "sys.setrecursionlimit(5000)"
    code = join_blocks(fences(f"python\n{first}", f"python\n{second}", f"python\n{SOLVE}"), "solve")
    assert code == f"{first}\n\n{second}\n\n{SOLVE}"


def test_join_blocks_takes_the_last_definition_alone() -> None:
    draft = "import os\n\ndef solve(n):\n    return os.getpid()"
    whole = f"{IMPORT}\n\n{SOLVE}"
    assert join_blocks(fences(f"python\n{draft}", f"python\n{whole}"), "solve") == whole


def test_join_blocks_takes_only_what_lacks_from_a_draft() -> None:
    draft = f"{IMPORT}\n\n@print\ndef solve(n):\n    return 0\n\nHELP = 1"
    code = join_blocks(fences(f"python\n{draft}", f"python\n{SOLVE}"), "solve")
    assert code == f"{IMPORT}\n\n\nHELP = 1\n\n{SOLVE}"


def test_join_blocks_leaves_out_a_sample_input() -> None:
    blocks = fences("\nn = 5", f"python\n{SOLVE}", "json\n{}")
    assert join_blocks(blocks, "solve") == SOLVE


def test_join_blocks_without_a_definition_gives_the_nearest() -> None:
    assert join_blocks(fences("\n1", "\ndef solve(:"), "solve") == "def solve(:"
    assert join_blocks(fences("\n1", "\n2"), "solve") == "1"
    assert join_blocks(fences("\n \n"), "solve") is None


PIECES = [
    *("A = 1", "import math", "B = A + 1", "def helper(n):\n    return n", "x = (", "print(A)"),
    *(
        "def solve(n):\n    return helper(n) + A",
        "def solve(n):\n    return B",
        "1",
        "solve = print",
    ),
]


@given(st.lists(st.tuples(st.sampled_from(["", "python", "text"]), st.sampled_from(PIECES))))
def test_join_blocks_gives_valid_code_that_defines_the_function(
    pieces: list[tuple[str, str]],
) -> None:
    code = join_blocks(fences(*(f"{language}\n{piece}" for language, piece in pieces)), "solve")
    assert (code is None) == (not pieces)
    if any("solve(" in piece or "solve =" in piece for _, piece in pieces):
        assert code is not None
        ast.parse(code)
        assert "solve" in code
