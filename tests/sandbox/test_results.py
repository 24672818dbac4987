"""Process state outranks the report of a child, and malformed reports do no harm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annoy_store.hashing import clean_text
from annoy_store.interfaces import ExecutionResult, Limits
from annoy_store.sandbox.results import (
    PHASES,
    REPORTED_OUTCOMES,
    NotSerializable,
    normalise_json,
    parse_json,
    to_result,
)
from annoy_store.sandbox.zygote import ZygoteError, ZygoteReply

OUTCOMES = REPORTED_OUTCOMES | {"no_result", "cpu_timeout", "wall_timeout", "crash", "bad_frame"}
HEAD = {"status": 0, "killed": None, "cpu": 0.01, "wall": 0.02, "framed": True, "silent": False}
GOOD = b'{"outcome": "ok", "phase": "result", "output": "[1]"}'


def judged(payload: bytes = GOOD, guarded: bool = True, **head: Any) -> ExecutionResult:
    return to_result(ZygoteReply({**HEAD, **head}, payload), "{}", Limits(), guarded)


@pytest.mark.parametrize(
    ("head", "outcome"),
    [
        ({}, "ok"),
        ({"killed": "cpu"}, "cpu_timeout"),
        ({"cpu": 5.0}, "cpu_timeout"),
        ({"killed": "wall"}, "wall_timeout"),
        ({"killed": "asleep"}, "wall_timeout"),
        ({"killed": "wall", "cpu": 6.0}, "cpu_timeout"),
        ({"killed": "flood", "framed": False}, "bad_frame"),
        ({"killed": "late"}, "ok"),
        ({"killed": "late", "framed": False, "silent": True, "status": -9}, "no_result"),
        ({"framed": False, "silent": True}, "no_result"),
        ({"framed": False}, "bad_frame"),
        ({"status": -11}, "crash"),
        ({"status": 1}, "bad_frame"),
        ({"status": -9, "cpu": 5.1}, "cpu_timeout"),
    ],
)
def test_to_result_prefers_process_state_to_the_report(head: dict[str, Any], outcome: str) -> None:
    ran = judged(**head)
    assert ran.outcome == outcome
    assert (ran.output is None) == (outcome != "ok")
    assert ran.input == "{}"


def test_to_result_raises_for_zygote_errors() -> None:
    with pytest.raises(ZygoteError, match="not done after 120 s"):
        judged(killed="ceiling")
    with pytest.raises(ZygoteError, match="out of memory"):
        judged(status=-9)
    assert judged(status=-9, guarded=False).error_type == "SIGKILL"


@given(st.binary(max_size=60))
def test_to_result_accepts_any_bytes(payload: bytes) -> None:
    assert judged(payload).outcome in OUTCOMES


WORDS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(
        ["a\0b", "\ud800", "x" * 10**6, 10**30, -1, "[1]", "{}", '{"a":1}', '{"a":1,"a":2}']
    )
)
ODD = WORDS | st.lists(WORDS, max_size=2) | st.dictionaries(st.text(max_size=3), WORDS, max_size=2)
REPORTS = st.fixed_dictionaries(
    {
        "outcome": st.sampled_from(sorted(REPORTED_OUTCOMES)) | ODD,
        "phase": st.sampled_from(sorted(PHASES)) | ODD,
    },
    optional={
        "output": st.sampled_from(["1", "[NaN]", '"\ud800"', "[" * 300 + "]" * 300]) | ODD,
        "type": st.text(max_size=120) | ODD,
        "message": st.text(max_size=600) | ODD,
        "module": st.sampled_from(["numpy", "a.b", "é"]) | ODD,
        "input": st.sampled_from(["{}", '{"a": [1e999]}', "[]"]) | ODD,
        "mutated": st.booleans() | ODD,
        "lines": st.integers(0, 200) | ODD,
        "trouble": ODD,
    },
)


def assert_reports_fit(examples: int) -> None:
    """Whatever a child reports, each column of a row gets a value of its type and bound."""

    @settings(max_examples=examples, deadline=None)
    @given(REPORTS, st.booleans())
    def reported(report: dict[str, Any], draw: bool) -> None:
        reply = ZygoteReply(HEAD, json.dumps(report).encode())
        ran = to_result(reply, None if draw else "{}", Limits(lines=100), True)
        assert ran.outcome in OUTCOMES
        assert isinstance(ran.mutated, bool)
        assert ran.lines is None or (type(ran.lines) is int and 0 <= ran.lines <= 100)
        assert (ran.outcome == "missing_module") == (ran.missing_module is not None)
        for text, most in (
            *((ran.error_type, 100), (ran.error_message, 500), (ran.missing_module, 100)),
            *((ran.phase, 8), (ran.input, 65_536), (ran.output, 65_536)),
        ):
            assert text is None or (isinstance(text, str) and len(text) <= most)
            assert text is None or text == clean_text(text)
        assert (ran.output is not None) == (ran.outcome == "ok")
        assert ran.output is None or normalise_json(ran.output) == ran.output
        assert ran.input is None or isinstance(json.loads(ran.input), dict)
        assert ran.outcome != "ok" or ran.input is not None

    reported()


def test_to_result_lets_only_fields_that_fit_through() -> None:
    assert_reports_fit(300)


@pytest.mark.slow
def test_to_result_lets_only_fields_that_fit_through_long() -> None:
    assert_reports_fit(20_000)


@pytest.mark.parametrize(
    "fields",
    [
        {"outcome": ["ok"]},
        {"outcome": {"ok": 1}},
        {"phase": ["result"]},
        {"lines": 10**30},
        {"lines": True},
        {"lines": 1.0},
        {"lines": -1},
        {"mutated": 1},
        {"type": "x" * 101},
        {"type": "a\0b"},
        {"type": 5},
        {"message": "x" * 501},
        {"outcome": "missing_module", "module": "a\0b"},
        {"outcome": "missing_module", "module": "x" * 10**6},
        {"outcome": "missing_module", "module": "a b"},
        {"outcome": "missing_module"},
        {"module": "numpy"},
        {"output": '"' + "x" * 65_536 + '"'},
        {"output": None},
        {"input": "{}"},
        {"trouble": "OSError: seccomp refused"},
        {"another": 1},
    ],
)
def test_to_result_of_a_report_that_does_not_fit_is_bad_frame(fields: dict[str, Any]) -> None:
    report = {"outcome": "ok", "phase": "result", "output": "[1]", **fields}
    ran = to_result(ZygoteReply(HEAD, json.dumps(report).encode()), "{}", Limits(lines=9), True)
    assert ran.outcome == "bad_frame"
    assert (ran.input, ran.output, ran.lines, ran.missing_module) == ("{}", None, None, None)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ('{"a":1}', "ok"),
        ("[1]", "bad_frame"),
        ("7", "bad_frame"),
        (None, "bad_frame"),
        ('{"a":"' + "x" * 65_536 + '"}', "bad_frame"),
        ('{"a":1,"a":2}', "not_json"),
        ('{"a":' + "[" * 300 + "]" * 300 + "}", "not_json"),
    ],
)
def test_to_result_accepts_only_objects_as_drawn_inputs(text: str | None, outcome: str) -> None:
    report = {"outcome": "ok", "phase": "result", "output": "[1]", "input": text}
    ran = to_result(ZygoteReply(HEAD, json.dumps(report).encode()), None, Limits(), True)
    assert (ran.outcome, ran.input) == (outcome, text if outcome == "ok" else None)
    del report["input"]
    ran = to_result(ZygoteReply(HEAD, json.dumps(report).encode()), None, Limits(), True)
    assert ran.outcome == "bad_frame"


def test_to_result_normalises_the_output() -> None:
    report = {"outcome": "ok", "phase": "result", "output": '{ "b":1.50, "a":"\\u00e9" }'}
    assert judged(json.dumps(report).encode()).output == '{"b":1.5,"a":"é"}'


@pytest.mark.parametrize("output", ['{"a":1,"a":1}', '"\\ud800"', '[{"\udfff":0}]'])
def test_to_result_refuses_an_output_that_loses_a_part(output: str) -> None:
    ran = judged(json.dumps({"outcome": "ok", "phase": "result", "output": output}).encode())
    assert (ran.outcome, ran.error_type, ran.output) == ("not_json", "LossyJson", None)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "1e999", "{", "", "[" * 300 + "]" * 300])
def test_normalise_json_rejects_unsupported_texts(text: str) -> None:
    with pytest.raises(NotSerializable):
        normalise_json(text)


def test_parse_json_accepts_wide_values() -> None:
    assert len(parse_json(json.dumps([[]] * 1000))) == 1000
