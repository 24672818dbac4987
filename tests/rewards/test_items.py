"""Many answers are scored in order, and what cannot be scored has no score."""

from __future__ import annotations

import pytest

from annoy_store.errors import SandboxError
from annoy_store.rewards import items
from annoy_store.rewards.items import score_item, score_items
from tests.rewards.examples import truth


def test_score_items_keeps_the_order() -> None:
    given = [
        {"answer": f'{{"output": {n}}}', "ground_truth": truth("predict_output")} for n in range(20)
    ]
    assert [n for n, result in enumerate(score_items(given)) if result["score"] == 1.0] == [9]


@pytest.mark.parametrize("item", [None, {}, {"answer": 3}, {"answer": "a"}, "a", [1]])
def test_score_item_of_anything_else_has_no_score(item: object) -> None:
    result = score_item(item)
    assert result["score"] is None
    assert result["error"]


def test_score_item_has_no_score_where_the_sandbox_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise SandboxError("gone")

    monkeypatch.setattr(items, "score", fail)
    result = score_item({"answer": "a", "ground_truth": truth("predict_output")})
    assert (result["score"], result["error"]) == (None, "the sandbox failed: gone")


def test_score_item_passes_the_finish_reason() -> None:
    item = {"answer": "It", "ground_truth": truth("predict_output"), "finish_reason": "length"}
    assert "cut off" in score_item(item)["feedback"]
