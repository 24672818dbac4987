"""Separates the reasoning in the text of an answer from the answer.

Decisions
- Reasoning is what stands in a block (`<think>` and its relatives, `[THINK]`, the channels of
  Harmony) at the start of the text or of a line, or anywhere after such a block, and what stands
  before an end tag alone, because some chat templates open the block themselves.
- The names are those of the reasoning parsers of vLLM and SGLang, and those that prompts ask for.
- A tag in inline code, quotes, JSON or a fence is part of the answer. Reasoning may leave a fence
  open, so an end tag alone on its line counts inside a fence too, unless it belongs to the code:
  inside a triple-quoted string of Python, with its start tag in the same fence, or in a closed fence
  of another language.
- What is left is read again, because a fence that the reasoning left open says nothing about it.
- A tag around the whole of what is left (`<answer>`, `<response>`; answer_wrappers.py) is taken off.

Sources: https://docs.vllm.ai/en/latest/features/reasoning_outputs/ and
https://docs.sglang.ai/advanced_features/separate_reasoning.html.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from annoy_store.parsing.answer_wrappers import unwrap_answer
from annoy_store.parsing.fences import Fence, find_fences, match_fence
from annoy_store.parsing.python_code import mend_spaces, try_parse_module

MAX_BLOCKS = 16
MAX_TAGS = 16  # that are looked at for the beginning of a block

_NAME = (
    r"(?:[a-z]+:)?(?:(?:ant|longcat_)?think(?:ing)?|thoughts?|(?:thought|reasoning|thinking)_process"
    r"|reasoning|reflections?|analysis|scratch_?pad|cot|chain_of_thought|rationale"
    r"|(?:internal_|inner_)?monologue|inner_thoughts?)"
)
_MARK = (
    r"(?:(?:begin_of_|start_of_|begin_|start_)?(?:think(?:ing)?|thoughts?|reasoning)|inner_prefix"
    r"|plamo:begin_think:plamo)"
)
_END_MARK = (
    r"(?:(?:/|end_of_|endof|end_)(?:think(?:ing)?|thoughts?|reasoning)|inner_suffix"
    r"|plamo:end_think:plamo)"
)
_TAG = re.compile(
    rf"<(?P<open>{_NAME})(?:\s[^<>\n]{{0,80}})?>|</(?P<close>{_NAME})\s*>"
    r"|\[(?P<open2>THINK)\]|\[/(?P<close2>THINK)\]"
    r"|◁(?P<open3>think)▷|◁/(?P<close3>think)▷"
    rf"|<\|(?P<open4>{_MARK})\|>|<\|(?P<close4>{_END_MARK})\|>|</\|(?P<close5>think)\|>"
    r"|<\|end\|>\s{0,8}(?:<\|begin\|>assistant\s{0,8})?<\|(?P<close6>content)\|>"
    r"|<\|open\|>(?P<open5>think)<\|sep\|>|<\|close\|>(?P<close7>think)<\|sep\|>"
    r"|<\|channel>(?P<open6>thought)\b|<(?P<close8>channel)\|>"
    r"|\A\s{0,8}/(?P<open7>think)[ \t]*(?=\n)"
    r"|<\|im_end\|>\s{0,8}<\|(?P<close9>im_start)\|>assistant\b"
    r"|\A\s{0,8}Here(?:'s| is) my (?P<open8>thought) process:"
    r"|Here(?:'s| is) my (?P<close10>response):",
    re.IGNORECASE,
)
_OTHER_KINDS = re.compile(
    r"(?:ant)?think(?:ing)?|thoughts?|channel|content|im_start|(?:inner_[ps]|plamo|begin_|start_|end|/).*"
)
_SPOKEN = {"open7": "/think", "close9": "/think", "open8": "process", "close10": "process"}
_PAIRED = frozenset(_SPOKEN.values())  # an answer may hold such words: both ends have to be there
_INLINE = re.compile(
    r"``[^\n]+?``|`[^`\n]+`|\"(?:[^\"\\\n]|\\.)*\"|(?<!\w)'(?:[^'\\\n]|\\.)*'(?!\w)|“[^”\n]*”|«[^»\n]*»"
)
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w*)(?:(?!<\|message\|>)[^\n]){0,200}<\|message\|>")
_CHANNEL_BEGUN = re.compile(r"\s*(?=(?:analysis|commentary|final)[^\n<]{0,80}<\|message\|>)")
_MESSAGE_END = re.compile(r"(?:\s*<\|(?:end|return|call)\|>|\s*<\|start\|>\s*\w*)+\s*\Z")
_MARKS_LOST = re.compile(r"\s*analysis(?=\S)(.*?)assistantfinal(.*)\Z", re.DOTALL)


def split_reasoning(text: str) -> tuple[str, str | None]:
    """Separate the answer from the reasoning that stands in the same text.

    Args:
        text: The content of a message.

    Returns:
        The answer, and the reasoning or None.
    """
    answer, reasoning = _split_channels(text) or _split_blocks(text)
    return unwrap_answer(answer, lambda start, end: is_code(answer, start, end)), reasoning


def is_code(text: str, start: int, end: int) -> bool:
    """Return whether a tag is part of inline code, quotes or a fence."""
    return _Code(text).holds(_Tag("", True, start, end))


# Blocks ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tag:
    kind: str
    opens: bool
    start: int
    end: int


def _split_blocks(text: str) -> tuple[str, str | None]:
    thoughts: list[str] = []
    kept, rest = "", text
    for _ in range(MAX_BLOCKS):
        tag = _first_that_counts(rest, first=not thoughts)
        if tag is None:
            break
        before, after = rest[: tag.start], rest[tag.end :]
        if tag.opens:
            close = _close_of(after, tag.kind)
            thoughts.append((after if close is None else after[: close.start]).strip())
            kept, rest = kept + before, "" if close is None else after[close.end :]
        elif after.strip() or not thoughts:
            thoughts.append((kept + before).strip())
            kept, rest = "", after
        else:  # a stray tag after the answer
            kept, rest = kept + before, ""
    if not thoughts:
        return text, None
    return (kept + rest).lstrip(), "\n\n".join(filter(None, thoughts))


def _first_that_counts(text: str, *, first: bool) -> _Tag | None:
    """Return the first tag that begins or ends reasoning, and is not just mentioned.

    Args:
        text: The text.
        first: Whether no reasoning stands before the text.
    """
    mentioned: Counter[str] = Counter()  # start tags that do not count, by kind
    for tag in itertools.islice(_tags(text), MAX_TAGS):
        before, after = _line_around(tag, text)
        if tag.kind in _PAIRED:
            if tag.opens and first and _close_of(text[tag.end :], tag.kind):
                return tag
        elif tag.opens:
            if not text[: tag.start].strip() if first else not before.strip() and not after.strip():
                return tag
            if (not first or not before.strip()) and _close_of(text[tag.end :], tag.kind):
                return tag
            mentioned[tag.kind] += 1
        elif not (before + after).strip():
            return tag
        elif mentioned[tag.kind]:
            mentioned[tag.kind] -= 1
        elif not after.strip() or not before.strip() or not before[-1].isspace():
            return tag
    return None


def _close_of(text: str, kind: str) -> _Tag | None:
    """Return the first end tag of a kind outside of code, else one alone on its line."""
    ends = [tag for tag in _all_tags(text) if tag.kind == kind and not tag.opens]
    if not ends:
        return None
    code = _Code(text)
    alone = (tag for tag in ends if not "".join(_line_around(tag, text)).strip())
    return next((tag for tag in ends if not code.holds(tag)), None) or next(alone, None)


def _line_around(tag: _Tag, text: str) -> tuple[str, str]:
    """Return what stands before and after a tag on its line."""
    end = text.find("\n", tag.end)
    start = text.rfind("\n", 0, tag.start) + 1
    return text[start : tag.start], text[tag.end : end if end >= 0 else len(text)]


def _all_tags(text: str) -> Iterator[_Tag]:
    for found in _TAG.finditer(text):
        group = found.lastgroup or ""
        yield _Tag(_kind(found, group), group.startswith("open"), found.start(), found.end())


def _kind(found: re.Match[str], group: str) -> str:
    """Return what a start tag and its end tag have in common."""
    if group in _SPOKEN:
        return _SPOKEN[group]
    name = found[group].lower()
    name = name if name.startswith("plamo") else name.rpartition(":")[2]
    return "think" if _OTHER_KINDS.fullmatch(name) else name


def _tags(text: str) -> Iterator[_Tag]:
    """Yield the tags that are not part of code, quotes or JSON."""
    tags = list(_all_tags(text))
    if tags:
        code = _Code(text)
        yield from (tag for tag in tags if not code.holds(tag))


# What is code -----------------------------------------------------------------------------------


class _Code:
    """The inline code, quotes and fences of a text."""

    def __init__(self, text: str) -> None:
        lines = text.split("\n")
        self.text = text
        self.line_starts = [0, *itertools.accumulate(len(line) + 1 for line in lines)]
        self.fences = list(find_fences(lines))
        self.spans = [found.span() for found in _INLINE.finditer(text)]

    def holds(self, tag: _Tag) -> bool:
        """Return whether a tag is part of inline code, quotes or a fence."""
        n = bisect.bisect_right(self.spans, (tag.start, len(self.text))) - 1
        if n >= 0 and tag.end <= self.spans[n][1]:
            return True
        fence = self._fence_around(tag)
        if fence is None:
            return False
        if tag.opens or "".join(_line_around(tag, self.text)).strip():
            return True
        start = self.line_starts[fence.start + 1]
        paired = any(
            other.opens and other.kind == tag.kind
            for other in _all_tags(self.text[start : tag.start])
        )
        return paired or self._is_code(fence, tag)

    def _fence_around(self, tag: _Tag) -> Fence | None:
        line = bisect.bisect_right(self.line_starts, tag.start) - 1
        n = bisect.bisect_left(self.fences, line, key=lambda fence: fence.start) - 1
        fence = self.fences[n] if n >= 0 else None
        return fence if fence and (fence.end is None or line < fence.end) else None

    def _is_code(self, fence: Fence, tag: _Tag) -> bool:
        """Return whether a fence that holds an end tag alone on a line is the author's."""
        if try_parse_module(mend_spaces(fence.text)) is not None:
            return True
        if fence.end is None or not fence.language or fence.language.startswith("py"):
            return False
        rest = self.text[tag.end : self.line_starts[fence.end]].split("\n")
        return not any((mark := match_fence(line)) and mark[3].strip() for line in rest)


# Channels ---------------------------------------------------------------------------------------


def _split_channels(text: str) -> tuple[str, str | None] | None:
    """Separate the messages of Harmony (gpt-oss) by channel; None if the text has none.

    The marks may be lost (`analysis..assistantfinal..`) or begin in the prompt.
    """
    if lost := _MARKS_LOST.match(text):
        return lost[2].lstrip(), lost[1].strip()
    if _CHANNEL_BEGUN.match(text):
        text = "<|channel|>" + text.lstrip()
    code = _Code(text) if "<|channel|>" in text else None
    heads = [
        head
        for head in (_CHANNEL.finditer(text) if code else ())
        if code and not code.holds(_Tag("channel", True, head.start(), head.end()))
    ]
    if not heads:
        return None
    parts = {"answer": [text[: heads[0].start()]], "thoughts": list[str]()}
    for head, following in itertools.zip_longest(heads, heads[1:]):
        end = following.start() if following else len(text)
        parts["answer" if head[1] == "final" else "thoughts"].append(text[head.end() : end])
    answer, thoughts = ("\n\n".join(filter(None, map(_message, part))) for part in parts.values())
    return answer, thoughts or None


def _message(text: str) -> str:
    return _MESSAGE_END.sub("", text).strip()
