"""What of a pair stands in the question: calls with results, inputs, and what is neither."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annoy_store.tasks.shown import QuestionText, shown_in_question

ADD = "def main_solution(n):\n    return n + 2\n"
TWO = '''
def two_sum(a, t):
    """Find two positions.

    >>> two_sum([2, 7, 11], 9)
    [0, 1]
    >>> values = [3, 3]
    >>> found = two_sum(values, t=6)
    >>> found
    [0, 1]
    >>> two_sum((1, 2), 3)
    """
    return [0, 1]


def main_solution(nums, target=6):
    items = list(nums)
    return two_sum(items, target)
'''


def shown(
    given_: Any, output: Any, *, code: str = "", problem: str = "", io: str = "", base: str = ADD
) -> str:
    question = QuestionText(problem, io, base + code, "main_solution")
    [word] = shown_in_question(question, [(json.dumps(given_), json.dumps(output))])
    return word


@pytest.mark.parametrize(
    "code",
    [
        "assert main_solution(5) == 7\n",
        "assert 7 == main_solution(n=5)\n",
        "print(main_solution(5))  # 7\n",
        "print(main_solution(5))\n# Output: 7\n",
        "x = 5\nresult = main_solution(x)\nprint(result)  # -> 7\n",
        "for n, want in [(4, 6), (5, 7)]:\n    assert main_solution(n) == want\n",
        (
            "def test():\n    for case in ({'a': 5, 'b': 7},):\n"
            "        assert main_solution(case['a']) == case['b']\n"
        ),
        (
            "import unittest\nclass T(unittest.TestCase):\n    def test_it(self):\n"
            "        self.assertEqual(main_solution(5), 7)\n"
        ),
        (
            "import pytest\n@pytest.mark.parametrize('n, want', [(5, 7)])\n"
            "def test_it(n, want):\n    assert main_solution(n) == want\n"
        ),
        "if __name__ == '__main__':\n    print(main_solution(**{'n': 5}) == 7)\n",
        "assert all(main_solution(n) == m for n, m in zip([4, 5], [6, 7]))\n",
        "# main_solution(5) returns 7\n",
        '"""\n>>> main_solution(5)\n7\n"""\n',
        '"""\n>>> old_name(5)\n7\n"""\n',
        '"""\nIn [1]: main_solution(5)\nOut[1]: 7\n"""\n',
        '"""\n>>> n = 5\n>>> print(main_solution(n))\n7\n"""\n',
        '"""\n>>> main_solution(5) == 7\nTrue\n"""\n',
        "TESTS = [{'input': {'n': 5}, 'output': 7}]\n",
        'def g():\n    """Say main_solution(5) -> 7."""\n',
        "assert [main_solution(n) for n in (4, 5)] == [6, 7]\n",
        "assert list(map(main_solution, [4, 5])) == [6, 7]\n",
        "assert {n: main_solution(n) for n in (4, 5)} == {4: 6, 5: 7}\n",
        "'''\n>>> for n in range(4, 6):\n...     print(main_solution(n))\n6\n7\n'''\n",
        "import pytest\n@pytest.mark.parametrize('n, want', [pytest.param(5, 7, id='five')])\ndef test_it(n, want):\n    assert main_solution(n) == want\n",
        "import pytest\n@pytest.mark.parametrize('n', [5])\n@pytest.mark.parametrize('want', [7])\ndef test_it(n, want):\n    assert main_solution(n) == want\n",
        "class T:\n    @parameterized.expand([(5, 7)])\n    def test_it(self, n, want):\n        assert main_solution(n) == want\n",
        "class T:\n    def setUp(self):\n        self.n = 5\n    def test_it(self):\n        self.assertEqual(main_solution(self.n), 7)\n",
        "class T:\n    n = 5\n    def test_it(self):\n        self.assertEqual(main_solution(self.n), 7)\n",
        "assert str(main_solution(5)) == '7'\n",
        "assert main_solution(max(5, 4)) == 7\n",
    ],
)
def test_shown_finds_a_call_with_its_result_in_code(code: str) -> None:
    assert shown({"n": 5}, 7, code=code) == "call"
    assert shown({"n": 6}, 8, code=code) == "no"
    assert shown({"n": 5}, 70, code=code) == "input"


@pytest.mark.parametrize(
    "code",
    [
        "def check(n, want):\n    assert main_solution(n) == want\n\n\ncheck(5, 7)\n",
        "def check(f, n, want):\n    assert f(n) == want\n\n\ncheck(main_solution, 5, 7)\n",
        "TESTS = [(5, 7), (6, 8)]\n",
        "TESTS = [{'args': [5], 'expected': 7}]\n",
        "cases = {5: 7}\n",
    ],
)
def test_shown_finds_rows_of_tests(code: str) -> None:
    assert shown({"n": 5}, 7, code=code) == "call"
    assert shown({"n": 5}, 70, code=code) == "no"


@pytest.mark.parametrize(
    "code", ["TABLE = [(5, 7), (6, 9)]\n", "POINTS = {5: 7}\n", "print(5, 7)\n", "x = foo(5, 7)\n"]
)
def test_shown_takes_no_other_table_for_tests(code: str) -> None:
    assert shown({"n": 5}, 7, code=code) == "no"


@pytest.mark.parametrize(
    "text",
    [
        "f(5) returns 7",
        "For example, `main_solution(5)` gives `7`.",
        "Calling main_solution(5)\nreturns 7.",
        "main_solution(5) = 7, main_solution(6) = 8",
        "7 == main_solution(5)",
        "It returns 7 for f(5).",
        "```python\nx = 5\nprint(f(x))  # 7\n```",
        'Input: {"n": 5}\nOutput: 7',
        "Input:\n```json\n{'n': 5}\n```\n\nOutput:\n```json\n7\n```",
        "Input: n = 5\nOutput: 7",
        "With `n` = 5, the result is 7.",
    ],
)
def test_shown_finds_a_call_with_its_result_in_prose(text: str) -> None:
    assert shown({"n": 5}, 7, problem=text) == "call"
    assert shown({"n": 5}, 7, io=text) == "call"
    assert shown({"n": 9}, 11, problem=text) == "no"


@pytest.mark.parametrize(
    "text",
    [
        "Try main_solution(5).",
        'For instance {"n": 5}.',
        "For instance {'n':5}.",
        '```\n{\n  "n": 5\n}\n```',
        "f(n=5)",
    ],
)
def test_shown_finds_an_input_without_its_result(text: str) -> None:
    assert shown({"n": 5}, 7, problem=text) == "input"


@pytest.mark.parametrize(
    "text",
    [
        "Take 5 numbers; the sum is 7.",
        "n: 5",
        "At most 5 items in O(5) steps.",
        "It runs in O(5).",
        "f(n) = n + 2",
        '{"n": 6}',
        "main_solution(55) returns 7",
        "max(5, 7)",
    ],
)
def test_shown_ignores_single_numbers(text: str) -> None:
    assert shown({"n": 5}, 9, problem=text) == "no"


def test_shown_ignores_calls_of_other_functions() -> None:
    code = "def half(n):\n    return n / 2\n\n\nassert half(5) == 2.5\n"
    assert shown({"n": 5}, 7, code=code) == "no"
    assert shown({"n": 5}, 2.5, code=code) == "no"


@pytest.mark.parametrize(
    ("given_", "output", "word"),
    [
        ({"nums": [2, 7, 11], "target": 9}, [0, 1], "call"),
        ({"target": 9, "nums": [2, 7, 11]}, [0, 1], "call"),
        ({"nums": [3, 3], "target": 6}, [0, 1], "call"),
        ({"nums": [3, 3]}, [0, 1], "call"),  # by the default of target
        ({"nums": [1, 2], "target": 3}, [0, 1], "input"),
        ({"nums": [2, 7, 11], "target": 8}, [0, 1], "no"),
    ],
)
def test_shown_binds_calls_of_a_helper(given_: Any, output: Any, word: str) -> None:
    assert shown(given_, output, base=TWO) == word


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Input: nums = [2,7,11,15], target = 9\nOutput: [0,1]", "call"),
        ("nums: [2, 7, 11, 15]\ntarget: 9\nResult: [0, 1]", "call"),
        ("With nums = [2,7,11,15] and target = 9, ...", "input"),
        ("nums = [2,7,11,15] and target = 8", "no"),
    ],
)
def test_shown_reads_arguments_by_name(text: str, word: str) -> None:
    assert shown({"nums": [2, 7, 11, 15], "target": 9}, [0, 1], problem=text, base=TWO) == word


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("abc", "f(5) returns abc"),
        ("abc", "f(5) -> 'abc'"),
        ("a b\nc", ">>> print(f(5))\na b\nc"),
        (True, "f(5) is True"),
        (True, "assert f(5)"),
        (0.3333333333, ">>> f(5)\n0.33333"),
        ([[1, 2], [3]], ">>> f(5)\n((1, 2), (3,))"),
        ({"a": 1}, "f(5) => {'a':1}"),
        (-3, "f(5) = -3"),
        (1000, "f(5) returns 1_000"),
    ],
)
def test_shown_compares_results_by_value(output: Any, text: str) -> None:
    problem = f"```python\n{text}\n```" if text.startswith("assert") else text
    assert shown({"n": 5}, output, problem=problem) == "call"


def test_shown_of_a_method_and_of_an_alias() -> None:
    code = (
        "class Solution:\n    def solve(self, xs):\n"
        '        """\n        >>> Solution().solve([1, 2])\n        3\n        """\n'
        "        return sum(xs)\n\n\nmain_solution = Solution().solve\n"
    )
    assert shown({"xs": [1, 2]}, 3, base=code) == "call"


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "c"]),
        st.recursive(
            st.integers(-99, 99) | st.text("xyz'\" ", max_size=5) | st.booleans(),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=6,
        ),
        min_size=1,
    ),
    st.lists(st.integers(), max_size=4),
)
def test_shown_finds_any_call_as_python_writes_it(arguments: dict[str, Any], output: Any) -> None:
    parameters = ", ".join(arguments)
    code = f"def main_solution({parameters}):\n    return 0\n"
    call = f"main_solution({', '.join(map(repr, arguments.values()))})"
    by_name = f"main_solution({', '.join(f'{k}={v!r}' for k, v in reversed(arguments.items()))})"
    for example in (f"assert {call} == {output!r}", f"{output!r} == {by_name}"):
        assert shown(arguments, output, base=code + example) == "call"
    assert shown(arguments, output, base=code, problem=f"Example: {json.dumps(arguments)}.") != "no"
    assert shown(arguments | {"d": 1}, output, base=code) == "no"


@given(st.text(), st.text())
def test_shown_reads_any_text(problem: str, code: str) -> None:
    assert shown({"n": 5}, [1], problem=problem, base=code) in ("call", "input", "no")
