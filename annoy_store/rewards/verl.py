"""A custom reward function for verl (`reward.custom_reward_function.path` and `.name`).

Source: the contract of `compute_score` in verl 0.9: called once per answer, in threads, with the
row's `data_source`, `reward_model.ground_truth` and `extra_info`; returns a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annoy_store.rewards.scores import score


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Mapping[str, Any] | str,
    extra_info: Mapping[str, Any] | None = None,
    **_: Any,
) -> float:
    """Score one answer.

    Args:
        data_source: The data set of the row; not read.
        solution_str: The text of the model.
        ground_truth: `reward_model.ground_truth` of the export format `rl`.
        extra_info: Further facts of the row; not read.

    Returns:
        1.0 for a correct answer, else 0.0.

    Raises:
        UsageError: The ground truth is not valid.
        SandboxError: The sandbox failed twice; this is no verdict about the answer.
    """
    return score(solution_str, ground_truth).score
