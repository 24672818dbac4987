"""Removing tests: only whole statements, and the rest behaves as before."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annoy_store.db.engine import Database
from annoy_store.ingest.doctest.importer import ingest_samples
from annoy_store.ingest.sources import IngestOptions
from annoy_store.parsing.strip_tests import without_tests
from tests.ingest.doctest.test_functions import left, pairs, taken

TWICE = 'def twice(x):\n    "Doubles."\n    return 2 * x\n'
CLAIMS = "assert twice(1) == 2\nassert twice(2) == 4\n"


def code_of(code: str) -> str:
    (tested,) = taken(code)
    return str(tested.sample.values["refcode"])


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "é𝄞"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_line_ends_are_those_of_python(odd: str, ends: str) -> None:
    code = f'S = "{odd}"\n# {odd}\n{TWICE}é = 1; {CLAIMS}X = 5\n'
    whole = code_of(code.replace("\n", ends))
    assert whole.startswith(f'S = "{odd}"\n# {odd}\n{TWICE}é = 1\nX = 5\n\n\ndef main_solution')


def test_strip_tests_handles_form_feeds_between_functions() -> None:
    whole = code_of(f"{TWICE}\x0c\ndef g(x):\n    return x\n\x0cassert g(1)\n{CLAIMS}")
    assert "def g(x):\n    return x\n" in whole
    assert "assert" not in whole


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("x = 1; assert twice(3) == 6", "x = 1\n"),
        ("assert twice(3) == 6; x = 1", "x = 1\n"),
        ("assert twice(3) == 6; x = 1; assert twice(4) == 8; y = 2;", "x = 1; y = 2;\n"),
        ("assert twice(3) == 6; assert twice(4) == 8;  # 8", ""),
        ("x = 1;  # one\nassert twice(3) == 6", "x = 1;  # one\n"),
        ("x = 1; \\\n  assert twice(3) == 6  # 6", "x = 1\n"),
        ('assert (\n twice(3)\n == 6); x = """a\nb"""', 'x = """a\nb"""\n'),
        ("@(  # @ here\n id)\ndef test_it():\n    assert twice(3) == 6", ""),
        ('if __name__ == "__main__":\n    x = 1', ""),
        ('if __name__ == "__main__":\n    x = 1\nelse:\n    x = 2', None),
        ('if __name__ != "__main__":\n    x = 2', None),
        ("assert (n := 3)\nM = n", None),
    ],
)
def test_strip_tests_removes_whole_statements_only(line: str, kept: str | None) -> None:
    whole = code_of(f"{TWICE}{line}\nZ = 1\n{CLAIMS}")
    there = whole[len(TWICE) : whole.index("Z = 1")]
    assert there == (line + "\n" if kept is None else kept)


def test_strip_tests_keeps_helpers_that_look_like_tests() -> None:
    names = ("testify", "TestX", "Test_y", "setUp", "tearDownAll", "test_even")
    helpers = "".join(f"def {name}(x):\n    return x\n" for name in names)
    whole = code_of(
        f"{helpers}class Tested:\n    pass\n"
        "def test_gone():\n    pass\nclass TestIt:\n    def test_x(self): pass\n"
        "class Case(django.test.TestCase):\n    pass\nclass More(Case, TestCase):\n    pass\n"
        'def twice(x):\n    "Doubles."\n    return test_even(2 * x)\n' + CLAIMS
    )
    assert helpers in whole
    assert "class Tested" in whole
    assert "test_gone" not in whole
    assert "TestIt" not in whole
    assert "Case" not in whole


DOCUMENTED = r'''r"""About \d.

>>> add(5, 6)
11
"""
def add(a, b):
    """Adds \"\"\" two numbers \\.

    Examples
    --------
    >>> add(1, 2)
    3
    >>> add(
    ...     2, 2)
    4

    Not more than two.
    """
    return a + b
def other(a):
    u'>>> add(7, 1)\n8'
    return a
'''


def test_strip_tests_removes_doctest_answers_and_keeps_prose() -> None:
    (tested,) = taken(DOCUMENTED)
    assert [output for _, output in pairs(tested)] == [3, 4, 8]
    code, words = tested.sample.values["refcode"], tested.sample.values["problem_statement"]
    assert ">>>" not in code
    assert not re.search(r"^ *(3|4|8|11)$", code, re.M)
    assert code.startswith('r"""About \\d.\n"""\ndef add')
    assert words == 'Adds """ two numbers \\.\n\nNot more than two.'
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["__doc__"] == "About \\d.\n"
    assert names["add"].__doc__.split() == words.split()
    assert names["other"].__doc__ == ""


def test_asserts_that_stay_in_the_code_make_no_pairs() -> None:
    inside = "def check():\n    assert twice(1) == 2\n    assert twice(5) == 10\n"
    (tested,) = taken(TWICE + inside + CLAIMS + "assert twice(3) == 6\n")
    assert [given["x"] for given, _ in pairs(tested)] == [2, 3]
    assert left(TWICE + inside) == [("twice", "answers_shown")]


def test_samples_that_cannot_be_separated_are_refused_with_a_reason(
    store: Database, tmp_path: Path
) -> None:
    torn = "\\\nassert twice(3) == 6"
    own = "def main_solution(x):\n    return x\nY = main_solution(1)\n"
    assert left(TWICE + CLAIMS + own) == [("twice", "name_taken")]
    assert left(TWICE + CLAIMS + torn) == [("twice", "not_separable")]
    (tmp_path / "a.py").write_text(TWICE + CLAIMS + own)
    tally = ingest_samples(store, [tmp_path], IngestOptions())
    assert tally.refused == {"name_taken": 1}
    assert "a.py: twice: its file uses a main_solution" in tally.examples["name_taken"][0]


ODD = st.text(st.sampled_from("aé𝄞\u2028\x85\x0b\x0c\x1c#;@' \t>"), max_size=8)
PIECES = st.one_of(
    ODD.map(lambda text: f"S.append({text!r})"),
    ODD.map(lambda text: f'S.append("""{text}\n  {text}""")'),
    ODD.map(lambda text: f'S.append("{text}"); assert S  # {text}'),
    ODD.map(
        lambda text: f'def told():\n    """{text}\n    >>> {text}\n    {text}"""\n    return S'
    ),
    ODD.map(lambda text: f"# {text}"),
    st.sampled_from(
        [
            "S.append(1); assert S; S.append(2)",
            "assert S is not None; S.append(3)",
            "S.append(4);\\\n assert keep(1)",
            "\x0c",
            "\x0cassert len(S) > -1  # é",
            "",
            "print(S, end='')",
            "def testify(t):\n    return [t]\nS += testify(5)",
            "def test_kept():\n    return 6",
            "S.append(test_kept())",
            "def test_a():\n\tassert False",
            "if True: S.append(7); assert S",
            "class TestA:\n    def test_b(self):\n        '''\n        >>> 1\n        '''",
            "def doc():\n    'é'; '''\n    >>> é\n    1\n\n    more'''; return S",
            'if __name__ == "__main__":\n    S.append("main")',
            "@staticmethod\ndef test_c(): pass",
        ]
    ),
)
WORK = """\
def work(x):
    '''Works.

    >>> work(1)
    [1]
    >>> work(2)
    [2]
    '''
    return [x, *S]
"""
INPUTS: list[dict[str, Any]] = [{"x": 1}, {"x": "é"}]


def results(code: str, name: str) -> list[Any]:
    names: dict[str, Any] = {"__name__": "imported"}
    exec(code, names)
    return [*(names[name](**given) for given in INPUTS), names["S"]]


@given(st.lists(PIECES, max_size=9), st.integers(0, 9), st.sampled_from(["\n", "\r\n", "\r"]))
def test_strip_tests_keeps_the_behaviour_of_the_code(
    pieces: list[str], place: int, ends: str
) -> None:
    begin = ["S = []", "def test_kept():\n    return 0", "keep = bool"]
    code = "\n".join([*begin, *pieces[:place], WORK, *pieces[place:], ""]).replace("\n", ends)
    (tested,) = taken(code)
    refcode = tested.sample.values["refcode"]
    assert results(refcode, "main_solution") == results(code, "work")
    assert "work(1)" not in refcode
    assert not re.search(r"(?m)^[\t ]*assert (?!S$|False)", refcode)


EXAMPLES = '''import math


def gcd(a, b):
    """The greatest divisor.

    Example:
        >>> gcd(4, 6)
        2
    """
    return math.gcd(a, b)


def main_solution(a, b):
    """
    >>> main_solution(4, 6)
    2
    """
    return gcd(a, b)


assert main_solution(4, 6) == 2


def test_gcd():
    assert gcd(4, 6) == 2


print(main_solution(9, 6))  # 3

if __name__ == "__main__":
    print(main_solution(4, 6))
'''


def test_without_tests_leaves_no_example() -> None:
    left = without_tests(EXAMPLES, "main_solution")
    assert "6" not in left
    assert "The greatest divisor." in left
    names: dict[str, Any] = {}
    exec(left, names)
    assert names["main_solution"](4, 6) == 2


@pytest.mark.parametrize(
    "code",
    [
        "def main_solution(x):\n    return x\n",
        "def main_solution(x):\n    '''>>> main_solution(1)'''\n    return main_solution.__doc__\n",
        (
            "seen = []\ndef main_solution(x):\n    seen.append(x)\n    return len(seen)\n"
            "assert main_solution(1) == 1\n"
        ),
        "def test_value(x):\n    return x\ndef main_solution(x):\n    return test_value(x)\n",
        "def main_solution(x:\n    '''>>> 1'''",
        "",
    ],
)
def test_without_tests_leaves_code_whose_meaning_would_change(code: str) -> None:
    assert without_tests(code, "main_solution").strip() == code.strip()


def test_without_tests_leaves_what_other_code_uses() -> None:
    code = "def test_data():\n    return 1\n\n\ndef main_solution(x):\n    return x\n"
    user = "def input_generator():\n    return {'x': test_data()}\n"
    assert without_tests(code, "main_solution", user) == code.strip()
    assert "test_data" not in without_tests(code, "main_solution")
