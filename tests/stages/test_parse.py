"""parse makes samples of answers, and gives every failure its own reason."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from annoy_store.db.engine import Database
from annoy_store.db.tables import sample_origins, samples
from tests.support import factories

GOOD = """## Main Function
```python
def main_solution(n):
    return n + 1
```
## Input Output Description
Input: n (int). Output: int.
## Input Generator
```python
def input_generator():
    return {"n": 1}
```
## Problem Statement
What follows n?
"""


def answer(text: str, finish_reason: str = "stop", content: str = "a = 1"):
    source = factories.source(content)
    turn, call = factories.asked(f"about {content}", about=content, source_id=source)
    return [turn, factories.response(call, text, finish_reason=finish_reason)]


def test_parse_makes_a_sample_with_its_origin(run_stage, sqlite_store: Database) -> None:
    [outcome] = run_stage("parse", answer(GOOD))
    assert outcome.state == "done"
    with sqlite_store.read() as connection:
        sample = connection.execute(select(samples)).one()
        origin = connection.execute(select(sample_origins)).one()
    assert sample.refcode.startswith("def main_solution")
    assert (origin.sample_id, origin.source_id, origin.response_id) == (sample.id, 1, 1)


def test_parse_merges_equal_answers_to_two_sources(run_stage, sqlite_store: Database) -> None:
    run_stage("parse", answer(GOOD, content="a = 1") + answer(GOOD, content="b = 2"))
    with sqlite_store.read() as connection:
        assert len(connection.execute(select(samples)).all()) == 1
        assert len(connection.execute(select(sample_origins)).all()) == 2


@pytest.mark.parametrize(
    ("text", "finish_reason", "reason"),
    [
        (GOOD.replace("## Problem Statement", "Also"), "stop", "section_missing:problem_statement"),
        (GOOD[:90], "length", "truncated"),
        (GOOD[:90], "incomplete", "truncated"),
        (GOOD[:90], "MAX_TOKENS", "truncated"),
        (GOOD.replace("def main_solution", "def main"), "stop", "name_missing:main_solution"),
        (GOOD.replace("return n + 1", "return n +"), "stop", "syntax_error:main_function"),
        ("", "stop", "empty"),
    ],
)
def test_parse_rejects_with_a_reason(run_stage, text: str, finish_reason: str, reason: str) -> None:
    [outcome] = run_stage("parse", answer(text, finish_reason))
    assert (outcome.state, outcome.reason) == ("rejected", reason)


def test_parse_takes_tests_and_doctests_out_of_the_code(run_stage, sqlite_store: Database) -> None:
    tested = GOOD.replace(
        "def main_solution(n):\n",
        'def main_solution(n):\n    """Next.\n\n    >>> main_solution(3)\n    4\n    """\n',
    ).replace("return n + 1\n", "return n + 1\n\n\nassert main_solution(3) == 4\n")
    run_stage("parse", answer(tested))
    with sqlite_store.read() as connection:
        code = connection.scalar(select(samples.c.refcode))
    assert code == 'def main_solution(n):\n    """Next.\n    """\n    return n + 1'
