"""Takes a tag off an answer that it is wrapped in: `<answer>..</answer>` and its relatives.

Decisions
- A tag counts where it is the first or the last thing of the text. Its partner then stands at the
  other end, or alone on a line, or is missing, as in an answer that was cut off.
- A text with two such tags of one name is left as it is: it is about them.
- `<output>` and `<result>` may be part of a problem: they count only at both ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_NAME = r"(?:final[ _-]?)?(?:answer|response)|final|solution|output|result"
_WRAPPER = re.compile(
    rf"<(?P<open>{_NAME})(?:\s[^<>\n]{{0,80}})?>|</(?P<close>{_NAME})\s*>"
    r"|<\|START_(?P<open2>RESPONSE)\|>|<\|END_(?P<close2>RESPONSE)\|>"
    r"|<\|open\|>(?P<open3>response)<\|sep\|>"
    r"|<\|close\|>(?P<close3>response)<\|sep\|>(?:\s{0,8}<\|close\|>message<\|sep\|>)?",
    re.IGNORECASE,
)
_AT_BOTH_ENDS = {"output", "result"}


def unwrap_answer(text: str, is_code: Callable[[int, int], bool]) -> str:
    """Return an answer without the tags around it.

    Args:
        text: The answer, without reasoning.
        is_code: Says whether what stands between two positions is part of code or quotes.

    Returns:
        The text between the tags, or without them; the text itself if it has none.
    """
    if "<" not in text:
        return text
    tags = list(_WRAPPER.finditer(text))
    if not tags:
        return text
    begins, ends = _is_at_end(text, tags[0]), _is_at_end(text, tags[-1])
    name = _name(tags[0] if begins else tags[-1])
    edges = {tags[0], tags[-1]} if begins and ends else set()  # hold a fence left open, if any
    same = [
        tag for tag in tags if _name(tag) == name and (tag in edges or not is_code(*tag.span()))
    ]
    opens = [tag for tag in same if _opens(tag)]
    closes = [tag for tag in same if not _opens(tag)]
    if len(opens) > 1 or len(closes) > 1 or not _is_wrapper(text, opens + closes, name):
        return text
    start = opens[0] if opens else None
    end = closes[0] if closes else None
    if start and end and start.start() > end.start():
        return text
    before = text[: start.start()] if start else ""
    inside = text[start.end() if start else 0 : end.start() if end else len(text)]
    after = text[end.end() :] if end else ""
    return "\n".join(part.strip("\n") for part in (before, inside, after) if part.strip())


def _is_wrapper(text: str, tags: list[re.Match[str]], name: str) -> bool:
    """Return whether tags, at most one of each side, wrap an answer and are no part of it."""
    at_end = [_is_at_end(text, tag) for tag in tags]
    if name in _AT_BOTH_ENDS:
        return len(tags) == 2 and all(at_end)
    return any(at_end) and all(
        end or _is_alone(text, tag) for end, tag in zip(at_end, tags, strict=True)
    )


def _is_at_end(text: str, tag: re.Match[str]) -> bool:
    """Return whether a tag is the first thing of a text, or the last for an end tag."""
    return not (text[: tag.start()] if _opens(tag) else text[tag.end() :]).strip()


def _is_alone(text: str, tag: re.Match[str]) -> bool:
    """Return whether nothing else stands on the line of a tag."""
    before = text[: tag.start()].rpartition("\n")[2]
    return not (before + text[tag.end() :].partition("\n")[0]).strip()


def _name(tag: re.Match[str]) -> str:
    return tag[str(tag.lastgroup)].lower()


def _opens(tag: re.Match[str]) -> bool:
    return str(tag.lastgroup).startswith("open")
