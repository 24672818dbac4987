"""Finds the final JSON answer in the text of a response.

Decisions. The final answer is the last complete object that holds the key: drafts come before it,
and fences decide nothing, for they are often left open. Comments are skipped where the text with
them has no such object, or a smaller one. NaN, infinities and integers of more than
4,300 digits are rejected, not replaced by an earlier draft, and so is what is written out but cannot
be read (`{"output": 7 // 2}`); a placeholder such as `{"output": ...}` is skipped. What is cut off
is never repaired. In a box `1,234` may be a number or two, so it is neither.
"""

from __future__ import annotations

import re
from typing import Any

from annoy_store.parsing import json_values
from annoy_store.parsing.json_spans import ObjectSpans, blank_comments
from annoy_store.parsing.json_values import JsonValue

_BOXED = re.compile(r"\\f?boxed\s{0,8}\{")


_WRITTEN_OUT = re.compile(r"(?<![\w.])\d|[\"'].")
_PLACEHOLDER = re.compile(r"\.\.\.|…|<[^<>]*>")
_GROUPED = re.compile(r"[-+]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?")
_LATEX_TEXT = re.compile(r"\\(?:text|texttt|mathrm|mathtt|operatorname)\{([^{}]{0,1000}+)\}")


def find_final_answer(text: str, key: str) -> JsonValue | None:
    """Return what `read_final_answer` does, None also for an answer that is rejected.

    Args:
        text: The answer of a teacher.
        key: `output` or `input`.

    Returns:
        The value, None if there is none or it is rejected. It never raises.
    """
    try:
        return read_final_answer(text, key)
    except json_values.UnsupportedValue:
        return None


def read_final_answer(text: str, key: str) -> JsonValue | None:
    r"""Return what the last complete object of a text holds under a key.

    JSON is expected; what `json_values` accepts beside it counts too, and the key in other letter
    case. Without such an object the last `\boxed{..}` counts, which for an `input` must be an object.

    Args:
        text: The answer of a teacher.
        key: `output` or `input`.

    Returns:
        The value, None if there is none.

    Raises:
        UnsupportedValue: There is one that is rejected; the message says why.
    """
    found = ObjectSpans(text, key)
    exact = set(found.outermost())
    unread: tuple[int, int] | None = None
    for start, end in _candidates(found):
        if unread and end <= unread[0]:  # an earlier draft
            break
        whole = json_values.parse_value(text[start:end], drafts=True)
        if whole and isinstance(whole.value, dict):
            name = _name(whole.value, key)
            if name is not None:
                return json_values.to_json_value(whole.value[name])
        elif whole is None and (start, end) in exact and _is_meant(text[start:end], key):
            unread = unread or (start, end)
    if unread:
        raise json_values.UnsupportedValue("it is no JSON")
    return _boxed(found)


def _is_meant(text: str, key: str) -> bool:
    """Return whether an object that cannot be read gives a value, and no placeholder for one."""
    given = text[text.index(key) + len(key) + 1 :]
    return _WRITTEN_OUT.search(given) is not None and not _PLACEHOLDER.search(given)


def _candidates(found: ObjectSpans) -> list[tuple[int, int]]:
    """Return start and end of the objects that may be the answer, the last one first."""
    plain = blank_comments(found.text)
    spans = [found] if plain == found.text else [found, ObjectSpans(plain, found.key)]
    every = {span for one in spans for near in (0, 1) for span in one.outermost(similar=bool(near))}
    return sorted(every, key=lambda span: (-span[1], span[0]))


def _name(value: dict[str, Any], key: str) -> str | None:
    """Return the key as it is written in an object, None if it is not there."""
    if key in value:
        return key
    return next((name for name in value if name.lower() == key), None)


def _boxed(found: ObjectSpans) -> JsonValue | None:
    r"""Return the content of the last closed `\boxed{..}`, if it can be the answer."""
    for box in reversed(list(_BOXED.finditer(found.text))):
        end = found.ends.get(box.end() - 1)
        if end is not None:
            inside = _LATEX_TEXT.sub(r"\1", found.text[box.end() : end - 1]).strip(" \n\t$")
            if _GROUPED.fullmatch(inside):
                raise json_values.UnsupportedValue("a number has commas between its digits")
            answer = json_values.parse_value(inside)
            fits = answer and (found.key == "output" or isinstance(answer.value, dict))
            return answer if fits else None
    return None
