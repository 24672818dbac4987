"""A reward function for TRL (`GRPOTrainer(reward_funcs=codeio_reward)`).

Source: the contract of `reward_funcs` in TRL 1.16: called with `prompts`, `completions` and every
further column of the data set as lists; returns one number per completion, or None where the reward
does not apply.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from annoy_store.errors import UsageError
from annoy_store.parsing.reply_message import joined_text
from annoy_store.rewards.items import score_items
from annoy_store.rewards.truth import parse_truth


def codeio_reward(
    prompts: Sequence[Any], completions: Sequence[Any], **columns: Any
) -> list[float | None]:
    """Score completions against the ground truths of their rows.

    Args:
        prompts: One per completion; not read.
        completions: Texts, or conversations: lists of messages, of which the last one answers.
        **columns: The columns of the data set as lists: `reward_model` or `extra_info` of the
            export format `rl`, or `ground_truth` alone.

    Returns:
        One reward per completion: 1.0 for a correct answer, 0.0 for any other, None where the
        sandbox failed.

    Raises:
        UsageError: The columns hold no ground truths, or invalid ones.
    """
    truths = _ground_truths(columns, len(completions))
    for truth in truths:
        parse_truth(truth)  # raises, where `score_items` only reports
    items = [
        {"answer": _text(completion), "ground_truth": truth}
        for completion, truth in zip(completions, truths, strict=True)
    ]
    return [result["score"] for result in score_items(items)]


def _text(completion: Any) -> str:
    """Return the text of a completion: itself, or the content of its last message."""
    if isinstance(completion, str):
        return completion
    last = completion[-1] if completion else {}
    return joined_text(last.get("content"))


def _ground_truths(columns: Mapping[str, Any], expected: int) -> list[Any]:
    for name in ("ground_truth", "reward_model", "extra_info"):
        column = columns.get(name)
        if column is None:
            continue
        if name != "ground_truth":
            column = [(row or {}).get("ground_truth") for row in column]
        if len(column) == expected and None not in column:
            return list(column)
    raise UsageError(
        "the data set has no column of ground truths (reward_model, extra_info or ground_truth): "
        "export it with annoy export rl, and keep its columns (remove_unused_columns=False)"
    )
