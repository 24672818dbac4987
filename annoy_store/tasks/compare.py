"""Compares a predicted JSON value with the expected one: equal, or the kind of difference.

Decisions. One comparator serves both directions. If either number is a float, they are equal
within a relative tolerance of the larger one (so the order of the two does not matter) and, unless
disabled, must have the same integer part; so 3 equals 3.0, 2.9999 does not equal 3.0, and 0.0
equals only zero. A bool is not a number. NaN and the infinities equal nothing. All else is exact:
the same keys, the same length, the same text. Source of the rule: the CodeI/O paper, section 2.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

VERSION = 1  # part of the variant of the checkers: raise it when results change

KINDS = (
    "type",
    "empty",
    "truncated",
    "length",
    "order",
    "key_missing",
    "key_extra",
    "sign",
    "off_by_one",
    "rounding",
    "case",
    "whitespace",
    "value",
)
_DIGITS = 8  # a float rounded to fewer decimals than this is called rounded
_NEAR = 0.01  # relative distance below which a wrong float counts as rounded


def same(
    expected: Any, predicted: Any, tolerance: float = 1e-3, same_integer_part: bool = True
) -> bool:
    """Tell whether two JSON values are equal by the rule above. Never raises.

    Args:
        expected: The value that the code gave.
        predicted: The value of the answer; which of the two is which makes no difference.
        tolerance: Largest difference of floats, as a share of the larger one.
        same_integer_part: Whether floats must also agree before the decimal point.
    """
    pairs = [(expected, predicted)]
    while pairs:
        left, right = pairs.pop()
        if isinstance(left, dict) and isinstance(right, dict):
            if left.keys() != right.keys():
                return False
            pairs.extend((left[key], right[key]) for key in left)
        elif isinstance(left, list) and isinstance(right, list):
            if len(left) != len(right):
                return False
            pairs.extend(zip(left, right, strict=True))
        elif not _same_leaf(left, right, tolerance, same_integer_part):
            return False
    return True


def mismatch(
    expected: Any, predicted: Any, tolerance: float = 1e-3, same_integer_part: bool = True
) -> str | None:
    """Name the kind of difference, one of `KINDS`; None if `same`. Never raises.

    In containers of one shape it is the kind that all differing members have, else `value`.
    """
    try:
        return _kind(expected, predicted, tolerance, same_integer_part)
    except (RecursionError, ValueError, TypeError):  # nested too deeply, or not a JSON value
        return "value"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _same_leaf(left: Any, right: Any, tolerance: float, same_integer_part: bool) -> bool:
    if _is_number(left) and _is_number(right):
        if isinstance(left, float) or isinstance(right, float):
            return _close(left, right, tolerance, same_integer_part)
        return bool(left == right)
    return type(left) is type(right) and bool(left == right)


def _close(left: float, right: float, tolerance: float, same_integer_part: bool) -> bool:
    try:
        if not (math.isfinite(left) and math.isfinite(right)):
            return False
        near = math.isclose(left, right, rel_tol=tolerance)
    except OverflowError:  # an int too large for a float
        return False
    return near and (not same_integer_part or int(left) == int(right))


def _kind(left: Any, right: Any, *rule: Any) -> str | None:
    if same(left, right, *rule):
        return None
    if _is_number(left) and _is_number(right):
        return _kind_of_numbers(left, right, *rule)
    if type(left) is not type(right):
        return "type"
    if isinstance(left, (str, list, dict)) and left and not right:
        return "empty"
    if isinstance(left, str):
        return _kind_of_texts(left, right)
    if isinstance(left, list):
        return _kind_of_lists(left, right, *rule)
    return _kind_of_objects(left, right, *rule) if isinstance(left, dict) else "value"


def _kind_of_numbers(left: float, right: float, *rule: Any) -> str:
    if same(left, -right, *rule):
        return "sign"
    try:
        if math.isclose(abs(left - right), 1):
            return "off_by_one"
        if isinstance(left, float) or isinstance(right, float):
            return "rounding" if _rounded(left, right) else "value"
    except OverflowError:
        pass
    return "value"


def _rounded(left: float, right: float) -> bool:
    """Tell whether two numbers are near, or one is the other truncated or rounded."""
    if not (math.isfinite(left) and math.isfinite(right)):
        return False
    if math.isclose(left, right, rel_tol=_NEAR) or int(left) == right or int(right) == left:
        return True
    return any(right == round(left, n) or left == round(right, n) for n in range(_DIGITS))


def _kind_of_texts(left: str, right: str) -> str:
    if left.casefold() == right.casefold():
        return "case"
    if "".join(left.split()) == "".join(right.split()):
        return "whitespace"
    if left.startswith(right):
        return "truncated"
    if len(left) != len(right):
        return "length"
    return "order" if sorted(left) == sorted(right) else "value"


def _kind_of_lists(left: list[Any], right: list[Any], *rule: Any) -> str | None:
    if len(left) != len(right):
        return "truncated" if same(left[: len(right)], right, *rule) else "length"
    if sorted(map(_text, left)) == sorted(map(_text, right)):
        return "order"
    return _common(_kind(a, b, *rule) for a, b in zip(left, right, strict=True))


def _kind_of_objects(left: dict[str, Any], right: dict[str, Any], *rule: Any) -> str | None:
    if left.keys() - right.keys():
        return "key_missing"
    if right.keys() - left.keys():
        return "key_extra"
    return _common(_kind(left[key], right[key], *rule) for key in left)


def _common(kinds: Iterator[str | None]) -> str:
    found = {kind for kind in kinds if kind}
    return found.pop() if len(found) == 1 else "value"


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
