"""Which draws make pairs, why others are rejected, and when drawing ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from annoy_store.config import Policy
from annoy_store.hashing import digest
from annoy_store.interfaces import ExecutionResult
from annoy_store.parsing.json_values import UnsupportedValue
from annoy_store.stages.input_sampling import SampledInputs, parse_json, rejection_reason

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


def test_parse_json_rejects_what_no_question_can_hold() -> None:
    assert parse_json('{"a":[1]}') == {"a": [1]}
    assert parse_json(None) is None
    for text in ("NaN", "[" * 70 + "]" * 70, "hello"):
        with pytest.raises(UnsupportedValue):
            parse_json(text)
