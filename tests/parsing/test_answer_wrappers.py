"""Tags around an answer are taken off, and tags that are part of it stay."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annoy_store.parsing.think_blocks import split_reasoning


def unwrapped(text: str) -> str:
    return split_reasoning(text)[0]


NAMES = ["answer", "final_answer", "final answer", "Response", "final", "solution"]


@pytest.mark.parametrize("name", [*NAMES, "output", "result"])
def test_unwrap_answer_takes_a_tag_off(name: str) -> None:
    for inner in ("four", '{"output": "<answer>"}', "## Main Function\n```python\nx = 1\n```"):
        assert unwrapped(f"<{name}>{inner}</{name}>") == inner
        assert unwrapped(f"\n<{name} id='1'>\n{inner}\n</{name}>\n") == inner
        assert unwrapped(f"<think>a</think>\n<{name}>\n{inner}\n</{name}>") == inner


@pytest.mark.parametrize("name", NAMES)
def test_unwrap_answer_needs_one_end_only(name: str) -> None:
    assert unwrapped(f"<{name}>\nfour") == "four"
    assert unwrapped(f"four\n</{name}>") == "four"
    assert unwrapped(f"Well:\n<{name}>\nfour\n</{name}>") == "Well:\nfour"
    assert unwrapped(f"<{name}>\nfour\n</{name}>\nThat is it.") == "four\nThat is it."


@pytest.mark.parametrize(
    "text",
    [
        "four",
        "a < b",
        '{"output": "<answer>x</answer>"}',
        "so <answer>4</answer> it is",
        "<answer>4</answer> or <answer>5</answer>",
        "`<answer>4</answer>`",
        "```xml\n<answer>\n4\n</answer>\n```",
        "</answer>four",
        "four<answer>",
        "Example:\n<output>\n5\n</output>",
        "<output>\n5",
        "5\n</result>",
    ],
)
def test_unwrap_answer_leaves_tags_that_are_part_of_the_answer(text: str) -> None:
    assert unwrapped(text) == text


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
        ("<|open|>response<|sep|>", "<|close|>response<|sep|><|close|>message<|sep|>"),
    ],
)
def test_unwrap_answer_knows_the_marks_of_servers(start: str, end: str) -> None:
    assert unwrapped(f"{start}four{end}") == "four"
    assert unwrapped(f"{start}four") == "four"


PIECES = ["<answer>", "</answer>", "<output>", "</output>", "`", "```", "\n", "four", '"', " "]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
@settings(deadline=None)
def test_unwrap_answer_removes_tags_only(text: str) -> None:
    removed = Counter(text) - Counter(unwrapped(text))
    assert set(removed) <= set("</answeroutput> \n")
    assert unwrapped(text).count("four") == text.count("four")


@given(st.recursive(st.integers() | st.sampled_from(["<answer>", "</answer>"]), st.lists))
@settings(deadline=None)
def test_unwrap_answer_leaves_json_whole(value: object) -> None:
    answer = json.dumps({"output": value})
    assert unwrapped(answer) == answer
    assert unwrapped(f"<answer>{answer}</answer>") == answer
