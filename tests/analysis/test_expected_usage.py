"""Tokens and cost of calls are those that were measured, or follow from them."""

from __future__ import annotations

from typing import Any

import pytest

from annoy_store.analysis.expected_usage import CallForecast, expected_usage
from annoy_store.analysis.yields import History, TurnUsage
from annoy_store.inference.prices import Price

MANY = 100_000  # so many answers that the usual tokens weigh nothing


def measured(
    kind: str, model: str, prompt: int, cached: int, completion: int, usd: float | None
) -> TurnUsage:
    """Usage of many first turns, given per call."""
    each = [n * MANY for n in (prompt, cached, completion)]
    return TurnUsage(kind, 1, "openai", model, MANY, *each, None if usd is None else usd * MANY)


SEEN = History(
    usage=(
        measured("transform", "big", 100, 0, 50, 0.1),
        measured("predict_output", "big", 200, 100, 10, None),
        measured("predict_output", "small", 400, 0, 30, 0.05),
    ),
)


def choose_big(kind: str) -> tuple[str, str | None]:
    return "openai", "big"


def one(
    calls: dict[tuple[str, int], float], choose: Any = choose_big, **known: Any
) -> CallForecast:
    [found] = expected_usage(calls, SEEN, choose, known)
    return found


def test_expected_usage_is_that_of_the_chosen_model() -> None:
    found = one({("predict_output", 1): 5}, big=Price(1.0, 0.5, 10.0))
    assert found.prompt_tokens == pytest.approx(1000, rel=0.01)
    assert found.completion_tokens == pytest.approx(50, rel=0.01)
    usd = 5 * ((200 - 100) * 1.0 + 100 * 0.5 + 10 * 10.0) / 1e6
    assert found.usd == pytest.approx(usd, rel=0.01)


def test_expected_usage_without_a_price_uses_the_average_cost() -> None:
    assert one({("transform", 1): 5}).usd == pytest.approx(0.5, rel=0.01)
    assert one({("predict_output", 1): 5}).usd is None


def test_expected_usage_of_a_new_model_uses_all_models_and_its_price() -> None:
    found = one({("predict_output", 1): 1}, lambda _: ("openai", "new"), new=Price(1.0, 1.0, 1.0))
    assert found.prompt_tokens == pytest.approx(300, rel=0.01)
    assert found.usd == pytest.approx((300 + 20) / 1e6, rel=0.01)
    assert one({("predict_output", 1): 1}, lambda _: ("openai", "new")).usd is None


def test_expected_usage_of_batches_costs_half_and_of_programs_nothing() -> None:
    full = one({("transform", 1): 4}, big=Price(1.0, 1.0, 1.0))
    half = one({("transform", 1): 4}, lambda _: ("batch", "big"), big=Price(1.0, 1.0, 1.0))
    assert half.usd == pytest.approx((full.usd or 0) / 2)
    assert one({("transform", 1): 4}, lambda _: ("tracer", None)).usd == 0


def test_expected_usage_without_any_attempts_is_unknown() -> None:
    (found,) = expected_usage({("predict_input", 1): 3}, History(), choose_big, {})
    assert (found.prompt_tokens, found.completion_tokens, found.usd) == (None, None, None)
    assert not found.is_measured


def test_expected_usage_of_a_new_kind_is_scaled_from_the_others() -> None:
    """The usual answer to a question has five sixths of the tokens of a transformation."""
    history = History(usage=(TurnUsage("transform", 1, "openai", "big", 10, 1410, 0, 3600, 6.0),))
    (found,) = expected_usage({("predict_input", 1): 2}, history, choose_big, {})
    assert found.prompt_tokens == pytest.approx(2 * 60)
    assert found.completion_tokens == pytest.approx(2 * 300)
    assert found.usd == pytest.approx(2 * 0.5)
    assert not found.is_measured
    price = {"big": Price(1.0, 1.0, 10.0)}
    (priced,) = expected_usage({("predict_input", 1): 2}, history, choose_big, price)
    assert priced.usd == pytest.approx(2 * (60 + 3000) / 1e6)


def test_expected_usage_of_a_revision_is_scaled_from_its_first_turn() -> None:
    found = one({("predict_output", 2): 1})
    assert found.prompt_tokens == pytest.approx(200 * 760 / 400)
    assert found.completion_tokens == pytest.approx(10 * 350 / 250)


def test_expected_usage_of_few_answers_is_shrunk_towards_that_of_others() -> None:
    """Five answers of ten times the usual length weigh as much as the usual length."""
    usual = TurnUsage("predict_input", 1, "openai", "big", 1000, 400_000, 0, 250_000, None)
    few = TurnUsage("predict_input", 2, "openai", "big", 5, 5 * 760, 0, 5 * 3500, None)
    history = History(usage=(usual, few))
    (found,) = expected_usage({("predict_input", 2): 1}, history, choose_big, {})
    assert found.prompt_tokens == pytest.approx(760)
    assert found.completion_tokens == pytest.approx((350 + 3500) / 2)
    assert found.is_measured
