"""Which draws make pairs, why others are rejected, and when drawing ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from annoy_store.config import Policy
from annoy_store.hashing import digest
from annoy_store.interfaces import ExecutionResult
from annoy_store.parsing.json_values import UnsupportedValue
from annoy_store.stages.input_sampling import (
    HOPELESS_DRAWS,
    SampledInputs,
    parse_json,
    rejection_reason,
)

POLICY = Policy()


def drawn(value: Any, output: Any = 1, **fields: Any) -> ExecutionResult:
    return ExecutionResult("ok", input=json.dumps(value), output=json.dumps(output), **fields)


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (drawn({"x": 1}), None),
        (drawn({"x": 1}, None), "no_output"),
        (drawn({"x": [0] * 20}), "input_too_large"),
        (drawn({"x": 1}, "a" * 100), "output_too_large"),
        (ExecutionResult("ok", input="{}", output="9" * 5000), "output_too_large"),
        (ExecutionResult("missing_module", missing_module="sympy"), "missing_module:sympy"),
        (ExecutionResult("exception", error_type="KeyError", phase="call"), "exception:KeyError"),
        (
            ExecutionResult("exception", error_type="KeyError", phase="generate"),
            "generator_exception:KeyError",
        ),
        (ExecutionResult("cpu_timeout", phase="generate"), "generator_cpu_timeout"),
        (ExecutionResult("not_json"), "not_json"),
        (ExecutionResult("repeated", input='{"never": "drawn"}'), "bad_frame"),
    ],
)
def test_rejection_reason_of_draws(result: ExecutionResult, reason: str | None) -> None:
    assert rejection_reason(result, POLICY) == reason


def test_sampled_inputs_keep_distinct_inputs_with_their_seeds() -> None:
    draws = SampledInputs()
    draws.add(11, drawn({"a": 1, "b": 2}), POLICY)
    draws.add(12, drawn({"b": 2, "a": 1}), POLICY)
    draws.add(13, drawn({"a": 3, "b": 2}), POLICY)
    assert [seed for seed, _ in draws.pairs.values()] == [11, 13]
    assert next(iter(draws.pairs)) == digest("input", {"a": 1, "b": 2})
    assert (draws.n_draws, dict(draws.rejections)) == (3, {"too_few_distinct": 1})


def test_sampled_inputs_count_a_repeated_input_by_its_first_reason() -> None:
    draws = SampledInputs()
    draws.add(1, drawn({"x": 0}, None), POLICY)
    draws.add(2, ExecutionResult("repeated", input='{"x": 0}'), POLICY)
    assert dict(draws.rejections) == {"no_output": 2}


def test_sampled_inputs_detail_is_of_the_most_frequent_reason() -> None:
    draws = SampledInputs()
    assert (draws.reason(), draws.detail) == ("too_few_distinct", None)
    for number, name in enumerate(("KeyError", "ValueError", "ValueError")):
        draws.add(
            number,
            ExecutionResult(
                "exception", error_type=name, error_message=f"{name} {number}", phase="call"
            ),
            POLICY,
        )
    assert (draws.reason(), draws.detail) == ("exception:ValueError", "ValueError 2")


def test_sampled_inputs_need_fewer_pairs_of_long_runs() -> None:
    short, long = SampledInputs(), SampledInputs()
    short.add(1, drawn({"x": 1}, lines=10), POLICY)
    long.add(1, drawn({"x": 1}, lines=POLICY.count_lines), POLICY)
    assert short.pairs_needed(POLICY) == POLICY.pairs_wanted
    assert long.pairs_needed(POLICY) == POLICY.long_pairs


@pytest.mark.parametrize(
    ("result", "n_draws"),
    [
        (ExecutionResult("exception", error_type="NameError", phase="load"), 1),
        (ExecutionResult("cpu_timeout", phase="call"), POLICY.max_timeouts),
        (
            ExecutionResult("exception", error_type="PermissionError", phase="call"),
            HOPELESS_DRAWS,
        ),
        (
            ExecutionResult("not_json", phase="result", cpu_ms=POLICY.draw_cpu_seconds * 500),
            2,
        ),
    ],
)
def test_sampled_inputs_are_finished_at_a_bound(result: ExecutionResult, n_draws: int) -> None:
    draws = SampledInputs()
    for number in range(n_draws):
        assert not draws.is_finished(POLICY)
        draws.add(number, result, POLICY)
    assert draws.is_finished(POLICY)


def _failure(number: int, outcome: str = "exception", message: str = "no") -> ExecutionResult:
    given = json.dumps({"x": number})
    return ExecutionResult(outcome, given, None, "OSError", message, phase="call")


@pytest.mark.parametrize(
    ("changed", "finished"),
    [
        (_failure(5), True),
        (ExecutionResult("repeated", '{"x": 1}'), True),
        (_failure(5, message="no"), True),
        (_failure(5, message="another"), False),
        (_failure(5, "memory"), False),
        (_failure(5, "output_too_large"), False),
        (drawn({"x": 5}, [0] * 30), False),
        (drawn({"x": 5}, None), False),
        (drawn({"x": 5}), False),
    ],
)
def test_sampled_inputs_are_finished_if_the_first_draws_fail_the_same_way(
    changed: ExecutionResult, finished: bool
) -> None:
    draws = SampledInputs()
    for number in range(HOPELESS_DRAWS):
        assert not draws.is_finished(POLICY)
        draws.add(number, changed if number == 5 else _failure(number), POLICY)
    assert draws.is_finished(POLICY) == finished


def test_sampled_inputs_compare_failures_without_addresses() -> None:
    draws = SampledInputs()
    for number in range(HOPELESS_DRAWS):
        draws.add(number, _failure(number, message=f"<socket at 0x7f0{number}> refused"), POLICY)
    assert draws.is_finished(POLICY)


def test_parse_json_rejects_what_no_question_can_hold() -> None:
    assert parse_json('{"a":[1]}') == {"a": [1]}
    assert parse_json(None) is None
    for text in ("NaN", "[" * 70 + "]" * 70, "hello"):
        with pytest.raises(UnsupportedValue):
            parse_json(text)
