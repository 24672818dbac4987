"""Transform answers: chosen functions, types and texts, and tolerance of any text."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annoy_store.inference.backends.tracer.transform_answer import write_transform_answer
from annoy_store.parsing import sections

DEMO = sorted((Path(__file__).parents[4] / "annoy_store" / "demo").glob("*.py"))


def sample(code: str) -> sections.ParsedSample:
    answer = write_transform_answer(dedent(code))
    found = sections.parse_sections(answer)
    assert isinstance(found, sections.ParsedSample), answer
    return found


def reason(code: str) -> str:
    answer = write_transform_answer(dedent(code))
    fault = sections.parse_sections(answer)
    assert isinstance(fault, sections.ParseFailure), answer
    assert fault.reason == "no_function"
    return answer.split("\n")[1]


def test_transform_answer_keeps_dependencies_only() -> None:
    made = sample("""
        from __future__ import annotations
        import math, os
        LIMIT = 3
        UNUSED = 4

        def helper(x):
            return math.floor(x) + LIMIT

        def other(x):
            return os.getcwd()

        def scale(numbers: list[int], by: int) -> list[int]:
            '''Scale every number and round it down.'''
            return [helper(n / by) for n in numbers]

        print("ready", scale([1, 2], 2))
        if __name__ == "__main__":
            n = int(input())
    """)
    code = made.refcode
    assert code.startswith("from __future__")
    assert "LIMIT = 3" in code
    assert "def helper" in code
    for left_out in ("UNUSED", "other", "print", "input", "__main__"):
        assert left_out not in code
    assert "def main_solution(numbers: list, by: int):\n    return scale(numbers, by)" in code
    assert "Scale every number and round it down." in made.problem_statement
    assert "`numbers`" in made.problem_statement
    assert made.problem_statement.endswith("?")


@pytest.mark.parametrize(
    ("head", "body", "kind"),
    [
        ("def f(a: 'Optional[List[str]]'):", "return len(a)", "list of str"),
        ("def f(a: dict[str, list[int]]):", "return len(a)", "dict"),
        ("def f(a):", "':type a: List[List[int]]'; return a", "list of list of int"),
        ("def f(a):", "'@param a: integer'; return a", "int"),
        ("def f(a):", "'Args:\\n    a (float): x'; return a", "float"),
        ("def f(a=2.5):", "return a", "float"),
        ("def f(zz):", "return zz % 7", "int"),
        ("def f(zz):", "return zz * 0.5", "float"),
        ("def f(zz):", "return zz.upper()", "str"),
        ("def f(zz):", "return [c for c in zz if c.isalpha()]", "str"),
        ("def f(zz):", "return [x + 1 for x in zz]", "list of int"),
        ("def f(zz):", "return zz[0][1] - 1", "list of list of int"),
        ("def f(zz):", "return [a * b for a, b in zz]", "list of list"),
        ("def f(zz):", "return {k: v for k, v in zz.items()}", "dict"),
        ("def g(m):\n    return m >> 1\ndef f(zz):", "return g(zz)", "int"),
        ("def f(s):", "return 1", "str"),
        ("def f(matrix):", "return 1", "list of list of int"),
        ('def f(a, b: \'Literal["x", "y"]\'):', "return a", "int"),
    ],
)
def test_parameters_get_their_types(head: str, body: str, kind: str) -> None:
    made = sample(f"{head}\n    {body}\n")
    assert f"({kind}):" in made.io_requirements.split("Output:")[0]


def test_example_values_give_types_and_ranges() -> None:
    made = sample("""
        def f(a, b):
            '''Do it.

            >>> f([3, 9], "x1")
            2
            '''
            return [a, b]
        assert f([4, 5, 8], b="y2")
    """)
    assert "`a` (list of int)" in made.io_requirements
    assert "from 3 to 11" in made.io_requirements
    assert "x1" in made.input_generator


def test_guard_clauses_bound_generated_values() -> None:
    made = sample("""
        def f(n: int):
            if n < 7:
                raise ValueError("too small")
            if n > 9:
                raise ValueError("too large")
            return n
    """)
    assert "random.randint(7, 9)" in made.input_generator


def test_main_solution_wraps_methods_sets_generators_and_mutations() -> None:
    method = sample("class Solution:\n    def go(self, nums):\n        return set(nums)\n")
    assert "return sorted(Solution().go(nums))" in method.refcode
    made = sample("def rows(n):\n    for i in range(n):\n        yield i\n")
    assert "return list(rows(n))" in made.refcode
    changed = sample("def turn(nums):\n    nums.reverse()\n")
    assert "    turn(nums)\n    return nums" in changed.refcode


def test_main_solution_builds_trees_and_linked_lists_from_lists() -> None:
    made = sample("""
        class Solution:
            def flip(self, root):
                '''
                :type root: TreeNode
                :rtype: TreeNode
                '''
                if root:
                    root.left, root.right = self.flip(root.right), self.flip(root.left)
                return root
    """)
    assert "return tree_values(Solution().flip(build_tree(root)))" in made.refcode
    assert "class TreeNode" in made.refcode


def test_transform_answer_imports_names_that_judges_provide() -> None:
    code = sample(
        "def f(nums: List[int]) -> int:\n    return Counter(nums).most_common()[0][1]"
    ).refcode
    assert "from typing import List" in code
    assert "from collections import Counter" in code


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("", "no function"),
        ("X = 1\n", "no function"),
        ("print 'hello'\n", "Python 2 (line 1)"),
        ("def f(:\n", "does not parse as Python 3 (line 1)"),
        ("def f():\n    return 1\n", "0 arguments"),
        ("def f(n):\n    print(n)\n", "returns nothing"),
        ("def f(n):\n    return n + int(input())\n", "input()"),
        ("def f(n):\n    return helper(n) % 2\n", "helper, which this file does not define"),
        ("import socket\ndef f(n):\n    return socket.SOL_SOCKET % n\n", "socket"),
        ("from . import x\ndef f(n):\n    return x.y(n) % 2\n", "its own package"),
        ("import tools_of_ours\ndef f(n):\n    return tools_of_ours.y(n) % 2\n", "not at hand"),
        ("def f(thing):\n    return thing.colour + 1\n", "an object of its own kind"),
        ("def f(qq):\n    return 1\n", "cannot be told"),
        ("@magic\ndef f(n):\n    return n\n", "wrapped by @magic"),
        ("(" * 150 + ")" * 150, ""),
        ("x = " + "-" * 5000 + "1", ""),
        ("def f(n): return " + "+".join(["n"] * 3000), ""),
        ("def f(n):\n    return n\x00\n", ""),
    ],
)
def test_transform_answer_says_why_nothing_suits(code: str, words: str) -> None:
    assert words in reason(code)


def test_transform_answer_handles_fences_in_the_code() -> None:
    made = sample('def f(text):\n    """Count ```fences```."""\n    return text.count("```")\n')
    assert '"```"' in made.refcode


def sound(answer: str) -> bool:
    found = sections.parse_sections(answer)
    return isinstance(found, sections.ParsedSample) or found.reason == "no_function"


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300))
def test_transform_answer_accepts_any_text(text: str) -> None:
    assert sound(write_transform_answer(text))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(DEMO))
def test_transform_answer_accepts_damaged_sources(number: int, path: Path) -> None:
    draw = random.Random(number)
    lines = path.read_text("utf-8").split("\n")
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(lines))
        lines[at : at + draw.choice((0, 1, 1, 2))] = draw.choice(
            (
                [],
                [lines[at][: len(lines[at]) // 2]],
                ["    return x"],
                [re.sub(r"\w+", "x", lines[at])],
            )
        )
    assert sound(write_transform_answer("\n".join(lines)))


def test_transform_answer_finds_functions_in_real_files(data: Path) -> None:
    with (data / "rawcode.jsonl").open(encoding="utf-8") as lines:
        answers = [
            write_transform_answer(json.loads(line)["content"])
            for n, line in enumerate(lines)
            if n % 5 == 0
        ]
    assert all(map(sound, answers))
    made = sum(
        isinstance(sections.parse_sections(answer), sections.ParsedSample) for answer in answers
    )
    assert 0.4 < made / len(answers) < 0.8
