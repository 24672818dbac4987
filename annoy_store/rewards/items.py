"""Scores many answers at the same time, for the service and for trainers.

Decision: an answer that cannot be scored has the score None and an `error`, never 0: neither a
failure of the sandbox nor an invalid ground truth says anything about the answer.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from annoy_store.errors import SandboxError, UsageError
from annoy_store.rewards.process_sandbox import sandbox_slots
from annoy_store.rewards.scores import score

logger = logging.getLogger(__name__)


def score_items(items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Score answers, as many at the same time as the sandbox has slots.

    Args:
        items: Mappings with `answer`, `ground_truth` and, if known, `finish_reason`.

    Returns:
        The result of `score_item` for each, in order.
    """
    with ThreadPoolExecutor(sandbox_slots(), "annoy-reward") as threads:
        return list(threads.map(score_item, items))


def score_item(item: Any) -> dict[str, Any]:
    """Score one answer; never raises for what is in `item`.

    Args:
        item: A mapping with `answer`, `ground_truth` and, if known, `finish_reason`.

    Returns:
        `score`, `status`, `mismatch` and `feedback`; or a `score` of None, and `error`.
    """
    if not isinstance(item, Mapping) or not isinstance(item.get("answer"), str):
        return _no_score("an item needs a text `answer`")
    reason = item.get("finish_reason")
    finish_reason = reason if isinstance(reason, str) else "stop"
    try:
        return asdict(
            score(item["answer"], item.get("ground_truth") or {}, finish_reason=finish_reason)
        )
    except UsageError as error:
        return _no_score(str(error))
    except SandboxError as error:
        logger.exception("an answer could not be scored")
        return _no_score(f"the sandbox failed: {error}")


def _no_score(error: str) -> dict[str, Any]:
    return {"score": None, "status": None, "mismatch": None, "feedback": None, "error": error}
