"""Questions of the known forms are read back."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from annoy_store.ingest.codeio.questions import given_value, read_question, shows_value
from annoy_store.prompts.template import load_template
from tests.stages.conftest import run_stage, run_stage_in, sandbox  # noqa: F401
from tests.support.codeio_rows import (
    IO,
    PROBLEM,
    RAW,
    script_prompt,
    user,
)
from tests.support.factories import DOUBLE

values = st.dictionaries(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=12)
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=5,
    ),
    max_size=4,
)


@given(values)
def test_read_question_recovers_what_a_script_asked(value: dict[str, Any]) -> None:
    text = json.dumps(value)
    question = read_question([user(script_prompt("input", value))])
    assert question is not None
    assert (question.kind, question.problem, question.io) == ("predict_output", PROBLEM, IO)
    assert question.code == DOUBLE
    assert shows_value(question, text)
    found = given_value(question)
    assert found is not None
    assert found.value == json.loads(text)


def test_given_value_reads_a_bare_output_as_a_string() -> None:
    question = read_question([user(script_prompt("output", "a b, c"))])
    assert question is not None
    assert shows_value(question, '"a b, c"')
    found = given_value(question)
    assert found is not None
    assert found.value == "a b, c"


def test_read_question_understands_the_bundled_templates() -> None:
    words = {"problem": PROBLEM, "io": IO, "code": DOUBLE}
    for kind, given_, value in (
        ("predict_output", "input", '{"x":1}'),
        ("predict_input", "output", "2"),
    ):
        question = read_question(load_template(kind).render(**words, **{given_: value}))
        assert question is not None
        assert (question.kind, question.value, question.code) == (kind, value, DOUBLE)
    raw = read_question(load_template("transform").render(code=RAW))
    assert raw is not None
    assert (raw.kind, raw.code) == ("transform", RAW)
    assert read_question([user("What is love?")]) is None
