"""Process state outranks the report of a child, and malformed reports do no harm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    with pytest.raises(ZygoteError, match="seccomp"):
        judged(b'{"trouble": "OSError: seccomp refused"}')
    assert judged(status=-9, guarded=False).error_type == "SIGKILL"


@given(st.binary(max_size=60))
def test_to_result_accepts_any_bytes(payload: bytes) -> None:
    assert judged(payload).outcome in OUTCOMES


WORDS = st.none() | st.booleans() | st.integers() | st.text(max_size=8)


@given(
    st.fixed_dictionaries(
        {
            "outcome": st.sampled_from(sorted(REPORTED_OUTCOMES)) | WORDS,
            "phase": st.sampled_from(sorted(PHASES)) | WORDS,
        },
        optional={
            name: WORDS
            | st.lists(WORDS, max_size=2)
            | st.dictionaries(st.text(max_size=3), WORDS, max_size=2)
            for name in ("output", "type", "message", "module", "input", "mutated", "lines")
        },
    )
)
def test_to_result_accepts_any_report_and_keeps_only_json(report: dict[str, Any]) -> None:
    ran = judged(json.dumps(report).encode())
    assert ran.outcome in OUTCOMES
    assert isinstance(ran.mutated, bool)
    assert all(isinstance(x, str | None) for x in (ran.error_type, ran.error_message, ran.phase))
    if ran.outcome == "ok":
        assert ran.output is not None
        assert normalise_json(ran.output) == ran.output


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
