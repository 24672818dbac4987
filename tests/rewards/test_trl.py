"""The reward function takes what TRL passes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from annoy_store.errors import SandboxError, UsageError
from annoy_store.rewards import codeio_reward, items
from tests.rewards.examples import truth

TRUTHS = [json.dumps(truth("predict_output")), json.dumps(truth("predict_input"))]
ANSWERS = ['{"output": 9}', '{"input": {"n": 4}}']
OTHERS: dict[str, Any] = {"completion_ids": [[1], [2]], "trainer_state": None, "log_extra": None}


@pytest.mark.parametrize(
    "columns",
    [
        {"ground_truth": TRUTHS},
        {"reward_model": [{"style": "rule", "ground_truth": text} for text in TRUTHS]},
        {"extra_info": [{"ground_truth": text} for text in TRUTHS]},
    ],
)
@pytest.mark.parametrize("conversational", [False, True])
def test_codeio_reward_scores_each_completion(
    columns: dict[str, Any], conversational: bool
) -> None:
    completions: list[Any] = (
        [[{"role": "assistant", "content": text}] for text in ANSWERS]
        if conversational
        else ANSWERS
    )
    assert codeio_reward(["a", "b"], completions, **columns, **OTHERS) == [1.0, 0.0]


def test_codeio_reward_of_an_empty_conversation_is_0() -> None:
    assert codeio_reward(["a"], [[]], ground_truth=TRUTHS[:1]) == [0.0]


def test_codeio_reward_is_none_where_the_sandbox_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise SandboxError("gone")

    monkeypatch.setattr(items, "score", fail)
    assert codeio_reward(["a"], ["b"], ground_truth=TRUTHS[:1]) == [None]


def test_codeio_reward_tells_that_ground_truths_are_missing() -> None:
    with pytest.raises(UsageError, match="remove_unused_columns"):
        codeio_reward(["a"], ["b"], answer=["9"])
