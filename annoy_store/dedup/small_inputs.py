"""Small inputs of a shape: the values at which functions that look alike often differ.

Decision: values are small, not negative and, but for 0 and 1, not above the known ones, so that most
functions accept them; objects, whose keys mean something, are taken from the inputs that are known.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

MAX_INPUTS = 16
_NUMBERS, _TEXTS, _ITEMS = (0, 1, 2), ("", "a", "ba"), 2


def small_inputs(known: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return small inputs with the types of known ones.

    Args:
        known: Inputs of a function, each as the list of its arguments.

    Returns:
        At most `MAX_INPUTS`: every combination of the two smallest values of each argument, then
        each argument's others; with many arguments, each varied on its own.
    """
    if not known:
        return []
    choices = [_small_values([values[n] for values in known]) for n in range(len(known[0]))]
    found = [] if 2 ** len(choices) > MAX_INPUTS else itertools.product(*(c[:2] for c in choices))
    inputs = [list(values) for values in found]
    first = [values[0] for values in choices]
    for place, values in enumerate(choices):
        for value in values:
            other = [*first[:place], value, *first[place + 1 :]]
            if other not in inputs:
                inputs.append(other)
    return inputs[:MAX_INPUTS]


def _small_values(known: Sequence[Any]) -> list[Any]:
    """Small values of the type of the first known value, at least one."""
    value = known[0]
    if isinstance(value, bool):
        return [False, True]
    if isinstance(value, (int, float)):
        numbers = [v for v in known if isinstance(v, (int, float)) and not isinstance(v, bool)]
        return [number for number in _NUMBERS if number <= max(1, *numbers)]
    if isinstance(value, str):
        return list(_TEXTS)
    if isinstance(value, list):
        items = [item for values in known if isinstance(values, list) for item in values]
        small = _small_values(items) if items else []
        return [[], *([item] for item in small[:_ITEMS]), small[:_ITEMS][::-1]][: _ITEMS + 2]
    return list(known[:_ITEMS])
