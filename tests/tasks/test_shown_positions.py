"""Inputs and results that a text shows by position."""

from __future__ import annotations

from typing import Any

import pytest

from annoy_store.tasks.shown_positions import after_label, by_position
from annoy_store.tasks.shown_values import Pair


def shown(text: str, given: dict[str, Any], output: Any) -> set[str]:
    return set(by_position(Pair(given, output, True), [text]))


@pytest.mark.parametrize(
    "text",
    [
        "5 -> 7",
        "- 5 → 7",
        "`5` => `7`",
        "(5) -> 7",
        "5\t7",
        "| n | result |\n| --- | --- |\n| 4 | 6 |\n| 5 | 7 |",
        "Input: 5, Output: 7",
        "**Input**: `5`\n\n**Output**: `7`",
        "### Input\n5\n### Output\n7",
        "Sample Input 1:\n5\nSample Output 1:\n7",
        "Given 5, it returns 7.",
        "Example 1: 5 yields 7",
        "With an input of 5, the function returns 7.",
    ],
)
def test_by_position_finds_a_number_with_its_result(text: str) -> None:
    assert "call" in shown(text, {"n": 5}, 7)
    assert shown(text, {"n": 5}, 70) == set()


@pytest.mark.parametrize(
    "text",
    [
        "Input: [2, 7, 11, 15], 9\nOutput: [0, 1]",
        "Input: arr = [2,7,11,15], target = 9\nOutput: [0,1]",
        "| [2, 7, 11, 15] | 9 | [0, 1] |",
        "[2, 7, 11, 15], 9 -> [0, 1]",
        "Given the array [2,7,11,15] and target 9, the answer is [0, 1].",
        "Input: ([2, 7, 11, 15], 9) Output: [0, 1]",
        "in: [2, 7, 11, 15], 9; out: [0, 1]",
    ],
)
def test_by_position_finds_several_arguments(text: str) -> None:
    assert "call" in shown(text, {"nums": [2, 7, 11, 15], "k": 9}, [0, 1])
    assert "call" not in shown(text, {"nums": [2, 7, 11, 15], "k": 9}, [0, 2])
    assert shown(text, {"nums": [2, 7, 11, 15], "k": 8}, [0, 1]) == set()


@pytest.mark.parametrize(
    ("text", "given", "output", "words"),
    [
        ("The sum of [1, 2, 3] is 6.", {"xs": [1, 2, 3]}, 6, {"call"}),
        ("Input:\n1 2 3\nOutput:\n6", {"xs": [1, 2, 3]}, 6, {"call"}),
        ("Take [1, 2, 3].", {"xs": [1, 2, 3]}, 6, {"input"}),
        ("Values in [0, 1].", {"xs": [0, 1]}, 6, set()),
        ("'abc' becomes 'cba'", {"s": "abc"}, "cba", {"call"}),
        ("| abc | cba |", {"s": "abc"}, "cba", {"call"}),
        ("Input: 5 3\nOutput: 8", {"a": 5, "b": 3}, 8, {"call"}),
        ("From 5 to 3 it is 8", {"a": 5, "b": 3}, 8, set()),
    ],
)
def test_by_position_of_containers_and_words(
    text: str, given: dict[str, Any], output: Any, words: set[str]
) -> None:
    assert shown(text, given, output) == words


@pytest.mark.parametrize(
    "text",
    [
        "Input: an integer, 5 at least. Output: an integer up to 7.",
        "Input: n (1 <= n <= 5)\nOutput: at least 7",
        "Input: up to 5 lines; Output: 7 lines",
        "returns a list -> list",
        "| 5 | 8 |",
        "15 -> 7",
        "5 -> 17",
        "5.5 -> 7",
        "Input: 5\nInput: 6\nOutput: 7",
        "Take 5.",
    ],
)
def test_by_position_ignores_what_happens_to_be_equal(text: str) -> None:
    assert shown(text, {"n": 5}, 7) == set()


def test_after_label_ends_at_the_next_input() -> None:
    assert "7" in after_label(" Output: 7")
    assert after_label(" Input: 6, Output: 7") == ""
    assert after_label(" nothing 7") == ""
