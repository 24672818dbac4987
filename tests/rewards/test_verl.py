"""The reward function takes what verl passes."""

from __future__ import annotations

import json

from annoy_store.rewards import compute_score
from tests.rewards.examples import truth


def test_compute_score_scores_one_answer() -> None:
    text = json.dumps(truth("predict_input"))
    given = {"data_source": "annoy_store", "ground_truth": text, "extra_info": {"index": 0}}
    assert compute_score(solution_str='{"input": {"n": -3}}', **given) == 1.0
    assert compute_score(solution_str='{"input": {"n": 2}}', reward_router=None, **given) == 0.0
