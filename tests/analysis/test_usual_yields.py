"""Few results move an estimate, many make it."""

from __future__ import annotations

import pytest

from annoy_store.analysis.usual_yields import shrunk_rate, usual_incorrect, usual_tokens


def test_shrunk_rate_goes_from_the_usual_to_the_measured_yield() -> None:
    values = [shrunk_rate(0.1 * n, n, 0.9) for n in (0, 5, 10, 1_000)]
    assert [v.value for v in values] == pytest.approx([0.9, 0.5, 0.3667, 0.104], rel=0.01)
    assert [v.is_measured for v in values] == [False, True, True, True]


def test_usual_incorrect_is_the_last_known_for_later_turns() -> None:
    assert [usual_incorrect(turn) for turn in (1, 2, 3, 8)] == [0.5, 0.87, 0.94, 0.94]


def test_usual_tokens_are_those_of_the_kind_of_question() -> None:
    assert usual_tokens("transform", 1).prompt > usual_tokens("predict_output", 1).prompt
    assert usual_tokens("predict_output", 2) == usual_tokens("predict_input", 3)
