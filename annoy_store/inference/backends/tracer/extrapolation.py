"""What to answer when the budget is spent: an extrapolation from what the open functions knew.

The outermost function whose result can be put together so far decides. If a number grew by the
same step in every round seen and the number of rounds is known, it is carried on to the end;
otherwise its last value is taken. Both may be wrong, and the words say so.
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
    """An answer as JSON text, and how it was come by."""

    output: str
    reason: str


def extrapolate(stack: Sequence[Mapping[str, Any]]) -> Extrapolation:
    """Return the best guess that the open functions allow, outermost first."""
    for told in stack:
        if told.get("guess") is None:
            continue
        carried = _carried_on(told)
        if carried is not None:
            return carried
        reason = (
            f"`{told['name']}` ends with `return {told.get('returns', '')}`, "
            f"and if nothing more happened that would be {told['guess'][:200]}"
        )
        return Extrapolation(told["guess"], reason)
    return _last_number(stack)


def _carried_on(told: Mapping[str, Any]) -> Extrapolation | None:
    """Carry a steady number on to the last round of the open loop."""
    loop = told.get("loop")
    if not isinstance(loop, Mapping) or not loop.get("total"):
        return None
    values = loop["last"].get(told.get("returns"), [])
    left = loop["total"] - loop["rounds"] + 1
    steps = {round(b - a, 9) for a, b in itertools.pairwise(values)}
    if len(values) < 3 or len(steps) != 1 or left < 1:
        return None
    step = steps.pop()
    end = values[-1] + step * left
    reason = (
        f"`{told['returns']}` changed by {step} in each of the last rounds, and {left} of "
        f"{loop['total']} rounds are left, which would end at {end}"
    )
    return Extrapolation(compact_json(end), reason)


def _last_number(stack: Sequence[Mapping[str, Any]]) -> Extrapolation:
    """Take the last plain value that the innermost function holds."""
    for told in reversed(stack):
        for name, text in reversed(list(told.get("known", {}).items())):
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
