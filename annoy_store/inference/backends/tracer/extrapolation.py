"""Extrapolates the result when the budget of lines is spent, from what the open functions knew.

The outermost function whose result can be computed so far decides. If a number changed by the same
amount in every round seen and the number of rounds is known, it is continued to the end; otherwise
its last value is used. Both may be wrong, and the answer says so.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annoy_store.hashing import compact_json


@dataclass(frozen=True)
class Extrapolation:
    """An answer as JSON text, and how it was obtained."""

    output: str
    reason: str


def extrapolate(stack: Sequence[Mapping[str, Any]]) -> Extrapolation:
    """Return the best extrapolation that the open functions allow, outermost first.

    Args:
        stack: The open functions as in `TraceReport.stack`.
    """
    for frame in stack:
        if frame.get("guess") is None:
            continue
        continued = _continued(frame)
        if continued is not None:
            return continued
        reason = (
            f"`{frame['name']}` ends with `return {frame.get('returns', '')}`, "
            f"and if nothing more happened that would be {frame['guess'][:200]}"
        )
        return Extrapolation(frame["guess"], reason)
    return _last_number(stack)


def _continued(frame: Mapping[str, Any]) -> Extrapolation | None:
    """Continue a linear sequence to the last round of the open loop."""
    loop = frame.get("loop")
    if not isinstance(loop, Mapping) or not loop.get("total"):
        return None
    values = loop["last"].get(frame.get("returns"), [])
    left = loop["total"] - loop["rounds"] + 1
    steps = {round(b - a, 9) for a, b in itertools.pairwise(values)}
    if len(values) < 3 or len(steps) != 1 or left < 1:
        return None
    step = steps.pop()
    end = values[-1] + step * left
    reason = (
        f"`{frame['returns']}` changed by {step} in each of the last rounds, and {left} of "
        f"{loop['total']} rounds are left, which would end at {end}"
    )
    return Extrapolation(compact_json(end), reason)


def _last_number(stack: Sequence[Mapping[str, Any]]) -> Extrapolation:
    """Return the last number that the innermost function knew."""
    for frame in reversed(stack):
        for name, text in reversed(list(frame.get("known", {}).items())):
            try:
                value = json.loads(text)
            except ValueError:
                continue
            if isinstance(value, (int, float)):
                reason = f"the last value that I have seen is `{name}` = {text}"
                return Extrapolation(text, reason)
    return Extrapolation(
        "0", "nothing that I have seen tells the result, so 0 is no more than a guess"
    )
