"""Rewards for the questions of this export, from a scoring service; standard library, Python 3.8+.

Start the service with `annoy serve rewards` and set ANNOY_REWARD_URL to its address, and
ANNOY_REWARD_TOKEN to its token if it has one. Without ANNOY_REWARD_URL the answers are scored in
this process by `annoy_store.rewards`, which has to be installed then.

`codeio_reward` is a reward function for TRL, `compute_score` one for verl
(`reward.custom_reward_function.path=reward.py`).
"""

from __future__ import annotations

import importlib
import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

ITEMS = 256  # per request
SECONDS = 300.0  # until a request is given up, retries included
PAUSE = 0.5  # seconds, doubled at every retry


class NoScore(RuntimeError):
    """An answer could not be scored; this is no verdict about it."""


def codeio_reward(prompts: list[Any], completions: list[Any], **columns: Any) -> list[float | None]:
    """Score completions for TRL: one number per completion, None where it could not be scored."""
    texts = [one if isinstance(one, str) else _text(one) for one in completions]
    items = [
        {"answer": text, "ground_truth": truth}
        for text, truth in zip(texts, _ground_truths(columns, len(texts)))  # noqa: B905
    ]
    return [result.get("score") for result in score_all(items)]


def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: Any = None, **_: Any
) -> float:
    """Score one answer for verl. Raises NoScore if it could not be scored."""
    result = score_all([{"answer": solution_str, "ground_truth": ground_truth}])[0]
    if result.get("score") is None:
        raise NoScore(result.get("error"))
    return float(result["score"])


def score_all(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Score answers, in their order.

    An item has `answer`, `ground_truth` and, if known, `finish_reason`. A result has `score`,
    `status`, `mismatch` and `feedback`; where an answer could not be scored, `score` is None and
    `error` says why.
    """
    url = os.environ.get("ANNOY_REWARD_URL")
    if not url:
        return _score_here(items)
    results: list[dict[str, Any]] = []
    for start in range(0, len(items), ITEMS):
        results += _post(url, items[start : start + ITEMS])
    return results


def _score_here(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    try:
        rewards = importlib.import_module("annoy_store.rewards")
    except ImportError as error:
        raise NoScore(
            "set ANNOY_REWARD_URL to the address of `annoy serve rewards`, or install annoy-store"
        ) from error
    return list(rewards.score_items(items))


def _post(url: str, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    headers = {"content-type": "application/json"}
    if os.environ.get("ANNOY_REWARD_TOKEN"):
        headers["authorization"] = "Bearer " + os.environ["ANNOY_REWARD_TOKEN"]
    body = json.dumps({"items": items}).encode()
    deadline, pause = time.monotonic() + SECONDS, PAUSE
    while True:
        left = max(1.0, deadline - time.monotonic())
        request = urllib.request.Request(url.rstrip("/") + "/v1/score", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=left) as reply:
                return list(json.load(reply)["results"])
        except urllib.error.HTTPError as error:
            if error.code not in (429, 502, 503, 504):
                raise NoScore(error.read(500).decode(errors="replace")) from error
            reason: Exception = error
        except (OSError, ValueError) as error:
            reason = error
        if time.monotonic() + pause > deadline:
            raise NoScore("no answer from %s: %s" % (url, reason)) from reason  # noqa: UP031
        time.sleep(pause)
        pause = min(pause * 2, 10.0)


def _text(messages: list[dict[str, Any]]) -> str:
    content = messages[-1].get("content") if messages else None
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return str(content or "")


def _ground_truths(columns: dict[str, Any], expected: int) -> list[Any]:
    for name in ("ground_truth", "reward_model", "extra_info"):
        column = columns.get(name)
        if column is not None and name != "ground_truth":
            column = [(row or {}).get("ground_truth") for row in column]
        if column is not None and len(column) == expected and None not in column:
            return list(column)
    raise NoScore("no column of ground truths: keep the columns (remove_unused_columns=False)")
