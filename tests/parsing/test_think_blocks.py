"""Reasoning in the text of an answer is separated, wherever code mentions its tags."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from annoy_store.parsing.sections import ParsedSample, parse_sections
from annoy_store.parsing.think_blocks import split_reasoning

CODE = '''\
## Main Function
```python
MARKS = """
</think>
"""

def main_solution(text):
    # what stands after </think> counts
    return text.split("</think>")[-1].split('<think>')
```
## Input Output Description
`text`: may hold `</think>` and "<think>"
## Input Generator
```python
def input_generator():
    return {"text": "<think>a</think>b"}
```
## Problem Statement
What stands after the last </think> in the text?'''


@pytest.mark.parametrize(
    ("text", "answer", "reasoning"),
    [
        ("four", "four", None),
        ("<think>\nhm\n</think>\n\nfour", "four", "hm"),
        ("  \n<think>hm</think>four", "four", "hm"),
        ("hm\n</think>\nfour", "four", "hm"),
        ("hm.</think>four", "four", "hm."),
        ("<think>never ends", "", "never ends"),
        ("the tag <think>x</think> is odd", "the tag <think>x</think> is odd", None),
        ("<think></think>four", "four", ""),
        ("<think>a</think>\n<think>b</think>\nfour", "four", "a\n\nb"),
        ("<think>a</think>four\n<think>b</think>\nfive", "four\n\nfive", "a\n\nb"),
        ("<think>a</think>four\n<think>\nb", "four\n", "a\n\nb"),
        ("<think>a <think>b</think> c</think>four", "four", "a <think>b\n\nc"),
        ("a <think> tag\n</think>\nfour", "four", "a <think> tag"),
        ("<think>a</think>four\n</think>", "four\n", "a"),
        ("<think>a</think>\n</think>\nfour", "four", "a"),
        ("<think>a</think>four <think>b</think>five", "four five", "a\n\nb"),
        ("<think>a</thinking>four", "four", "a"),
        ("Well.\n<think>\na\n</think>\nfour", "Well.\n\nfour", "a"),
        ("Well.\n<think>\na", "Well.\n<think>\na", None),
        ("<|channel>thought\na<channel|>four", "four", "a"),
        ("<analysis>a</analysis>four", "four", "a"),
        ("<thinking>a</thinking>four", "four", "a"),
        ("<Think>a</Think>four", "four", "a"),
        ("<think time='3'>a</think>four", "four", "a"),
        ("<thought>a</thought>four", "four", "a"),
        ("<reasoning>\na\n</reasoning>\nfour", "four", "a"),
        ("<seed:think>a</seed:think>four", "four", "a"),
        ("[THINK]a[/THINK]four", "four", "a"),
        ("<think>a", "", "a"),
        ("<cot lang='en'>\na\n</cot>\nfour", "four", "a"),
        (
            "<think>a <reflection>b</reflection> c</think>four",
            "four",
            "a <reflection>b</reflection> c",
        ),
        ("<think>\n<cot>a</think>\nfour", "four", "<cot>a"),
        ("it says `<cot>a</cot>`", "it says `<cot>a</cot>`", None),
        (
            "```html\n<rationale>\na\n</rationale>\n```",
            "```html\n<rationale>\na\n</rationale>\n```",
            None,
        ),
        ("<|think|>a<|end|><|begin|>assistant<|content|>four", "four", "a"),
        ("Here is my thought process: a\nHere is my response: four", "four", "a"),
        ("Here's my thought process:\na Here's my response:\nfour", "four", "a"),
        ("Here is my thought process: a", "Here is my thought process: a", None),
        ("four. Here is my response: 4", "four. Here is my response: 4", None),
        ("/think\na<|im_end|>\n<|im_start|>assistant\nfour", "four", "a"),
        ("a<|im_end|>\n<|im_start|>assistant\nb", "a<|im_end|>\n<|im_start|>assistant\nb", None),
        ("<think>a</think>\n<answer>\nfour\n</answer>", "four", "a"),
        ("<think>a</think><answer>four", "four", "a"),
        ("◁think▷a◁/think▷four", "four", "a"),
        ("<|begin_of_thought|>a<|end_of_thought|>four", "four", "a"),
        ("<think>the tag `</think>` ends it</think>four", "four", "the tag `</think>` ends it"),
        ("<think>it's 5\" wide\n```py\nx =\n</think>\n```py\ny\n```", "```py\ny\n```", None),
        ('<think>say "a</think>\nfour', "four", 'say "a'),
        ('{"output": "a</think>b"}', '{"output": "a</think>b"}', None),
        ("{'output': 'x\\n</think>'}", "{'output': 'x\\n</think>'}", None),
        ("It ends at `</think>`.", "It ends at `</think>`.", None),
        ("cut at </think> here", "cut at </think> here", None),
        ("```xml\n<think>\na\n</think>\n```", "```xml\n<think>\na\n</think>\n```", None),
        ("```\na\n</think>\n```\nfour", "```\nfour", "```\na"),
    ],
)
def test_split_reasoning_separates_blocks(text: str, answer: str, reasoning: str | None) -> None:
    found = split_reasoning(text)
    assert found[0] == answer
    if reasoning is not None or answer == text:
        assert found[1] == reasoning


@pytest.mark.parametrize(
    ("text", "answer", "reasoning"),
    [
        (
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>4<|return|>",
            "4",
            "hm",
        ),
        ("analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>4", "4", "hm"),
        ("<|channel|>final <|constrain|>json<|message|>[4]<|end|>", "[4]", None),
        ("<|channel|>analysis<|message|>hm", "", "hm"),
        (
            "<|channel|>analysis<|message|>a<|end|><|channel|>commentary<|message|>b<|channel|>final<|message|>4",
            "4",
            "a\n\nb",
        ),
        ("analysisI count them.assistantfinalThere are 4.", "There are 4.", "I count them."),
        ("analysis of it: 4", "analysis of it: 4", None),
        ("`<|channel|>final<|message|>` is 4", "`<|channel|>final<|message|>` is 4", None),
    ],
)
def test_split_reasoning_separates_channels(text: str, answer: str, reasoning: str | None) -> None:
    assert split_reasoning(text) == (answer, reasoning)


MARKS = [
    *(
        (f"<{name}>", f"</{name}>")
        for name in (
            *("think", "thinking", "antThinking", "ant:thinking", "cot", "chain_of_thought"),
            *("rationale", "internal_monologue", "inner_monologue", "reflection", "scratchpad"),
            *("thought", "thoughts", "reasoning", "analysis", "seed:think", "longcat_think"),
            *("thought_process", "inner_thoughts", "SCRATCHPAD"),
        )
    ),
    *(("[THINK]", "[/THINK]"), ("◁think▷", "◁/think▷"), ("<|think|>", "<|/think|>")),
    *(("<|think|>", "</|think|>"), ("<|think|>", "<|end_think|>")),
    *(("<|thinking|>", "<|/thinking|>"), ("<|think|>", "<|endofthink|>")),
    *(("<|begin_of_thought|>", "<|end_of_thought|>"), ("<|START_THINKING|>", "<|END_THINKING|>")),
    *(("<|inner_prefix|>", "<|inner_suffix|>"), ("<|channel>thought", "<channel|>")),
    ("<|plamo:begin_think:plamo|>", "<|plamo:end_think:plamo|>"),
    ("<|open|>think<|sep|>", "<|close|>think<|sep|>"),
    ("Here is my thought process:", "Here is my response:"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
]


@pytest.mark.parametrize(("start", "end"), MARKS)
@pytest.mark.parametrize("gap", ["", "\n", " "])
def test_split_reasoning_knows_the_marks_of_servers_and_prompts(
    start: str, end: str, gap: str
) -> None:
    gap = gap or (" " if start[-1].isalpha() else "")
    assert split_reasoning(f"{start}{gap}a{gap}{end}{gap}four") == ("four", "a")
    assert split_reasoning(f"\n {start}{gap}a\nb\n{end}\n\n{CODE}") == (CODE, "a\nb")
    quoted = f"The marks are `{start}` and `{end}`."
    assert split_reasoning(quoted) == (quoted, None)
    fenced = f"Result:\n```\n{start}\na\n{end}\n```"
    assert split_reasoning(fenced) == (fenced, None)
    answer = json.dumps({"output": f"{start}a{end}"}, ensure_ascii=False)
    assert split_reasoning(answer) == (answer, None)
    if start not in ("Here is my thought process:",):
        assert split_reasoning(f"{start}{gap}a b") == ("", "a b")


@pytest.mark.parametrize(
    ("before", "reasoning"),
    [
        ("", None),
        ("<think>hm</think>\n", "hm"),
        ("hm\n</think>\n\n", "hm"),
        ("<think>\nI begin:\n```python\nx = (\n\n</think>\n\n", "I begin:\n```python\nx = ("),
        ("<think>it's `x\n</think>\n", "it's `x"),
        ("[THINK]hm[/THINK]", "hm"),
    ],
)
def test_split_reasoning_keeps_code_about_tags(before: str, reasoning: str | None) -> None:
    assert split_reasoning(before + CODE) == (CODE, reasoning)
    assert isinstance(parse_sections(CODE), ParsedSample)


TAGS = (
    *("<cot>", "</cot>", "<|think|>", "<|/think|>", "Here is my thought process:"),
    *("Here is my response:", "/think\n", "<|im_end|><|im_start|>assistant", "<|content|>"),
)
TAGS += ("<think>", "</think>", "[THINK]", "[/THINK]", "</thinking>", "<|channel|>", "<|message|>")
OTHERS = ("```", "```py", "`", '"', "'", "'''", "\n", "x ", " ", "final", "analysis", "<|end|>")
SCRAPS = st.lists(st.sampled_from(TAGS + OTHERS), max_size=20).map("".join)


def check_parts(text: str) -> None:
    """Answer and reasoning hold nothing that the text does not hold."""
    answer, reasoning = split_reasoning(text)
    added = Counter(answer + (reasoning or "")) - Counter(text)
    assert set(added) <= {"\n"}
    if reasoning is None and "<|message|>" not in text:
        assert answer == text


@given(SCRAPS)
@example("</think>\n" * 50)
@settings(max_examples=200, deadline=None)
def test_split_reasoning_adds_nothing(text: str) -> None:
    check_parts(text)


@pytest.mark.slow
@given(SCRAPS)
@settings(max_examples=20_000, deadline=None)
def test_split_reasoning_adds_nothing_long(text: str) -> None:
    check_parts(text)


WORDS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="<>[]◁▷`\"'“«~"), max_size=30
)


@given(
    WORDS, st.recursive(st.integers() | st.sampled_from(["</think>", "<think>a", "it's"]), st.lists)
)
@settings(max_examples=60, deadline=None)
def test_split_reasoning_leaves_json_whole(thought: str, value: object) -> None:
    answer = json.dumps({"output": value})
    for text in (answer, f"```json\n{answer}\n```"):
        assert split_reasoning(text) == (text, None)
        assert split_reasoning(f"<think>{thought}</think>\n{text}") == (text, thought.strip())


@pytest.mark.parametrize(
    "hostile", ["<think>", "</think>\n", "a\n<think> x\n", "```\n</think>\n", '"<think>']
)
def test_split_reasoning_handles_long_texts(hostile: str) -> None:
    split_reasoning(hostile * (50_000 // len(hostile)))
