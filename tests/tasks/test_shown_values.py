"""Values of a pair in texts."""

from __future__ import annotations

from typing import Any

import pytest

from annoy_store.tasks import shown_values
from annoy_store.tasks.shown_values import Pair


@pytest.mark.parametrize(
    ("text", "value", "size"),
    [
        ("[1, 2] rest", [1, 2], 6),
        ("(1, 2)", [1, 2], 6),
        ("'abc', 1", "abc", 5),
        ("abc def", "abc", 3),
        ("abcdef", "abc", 0),
        ("True", True, 4),
        ("5.0 x", 5, 3),
        ("55", 5, 0),
        ("", "", 0),
    ],
)
def test_prefix(text: str, value: Any, size: int) -> None:
    assert shown_values.prefix(text, value) == size


def test_pair_is_told_by_values_or_text() -> None:
    pair = Pair({"n": 5}, 7, True)
    assert pair.is_told((7,), "")
    assert pair.is_told(("7",), "")
    assert pair.is_told((), "returns 7")
    assert not pair.is_told((8, "8"), "returns 17")
    assert not Pair({"n": 5}, None, False).is_told((None,), "None")
    assert not Pair({"n": 5}, "7", True).is_told((7,), "")
