"""Finds the final JSON answer in the text of a response.

Decisions. The final answer is the last complete object that holds the key: drafts come before it,
and fences decide nothing, for they are often left open. NaN, infinities and integers of more than
4,300 digits are rejected, not replaced by an earlier draft; a placeholder such as `{"output": ...}`
is no JSON and is skipped.
"""

from __future__ import annotations

import re

from annoy_store.parsing import json_values
from annoy_store.parsing.json_spans import ObjectSpans
from annoy_store.parsing.json_values import JsonValue

_BOXED = re.compile(r"\\f?boxed\s{0,8}\{")


_LATEX_TEXT = re.compile(r"\\(?:text|texttt|mathrm|mathtt|operatorname)\{([^{}]{0,1000}+)\}")


def find_final_answer(text: str, key: str) -> JsonValue | None:
    r"""Return what the last complete object of a text holds under a key.

    JSON is expected; Python literals, trailing commas and LaTeX escapes are accepted. Without such
    an object the last `\boxed{..}` counts, which for an `input` must be an object.

    Args:
        text: The answer of a teacher.
        key: `output` or `input`.

    Returns:
        The value, None if there is none or it is rejected. It never raises.
    """
    found = ObjectSpans(text, key)
    try:
        for start, end in reversed(found.outermost()):
            whole = json_values.parse_value(text[start:end], drafts=True)
            if whole and isinstance(whole.value, dict) and key in whole.value:
                return json_values.to_json_value(whole.value[key])
        return _boxed(found)
    except json_values.UnsupportedValue:
        return None


def _boxed(found: ObjectSpans) -> JsonValue | None:
    r"""Return the content of the last closed `\boxed{..}`, if it can be the answer."""
    for box in reversed(list(_BOXED.finditer(found.text))):
        end = found.ends.get(box.end() - 1)
        if end is not None:
            inside = _LATEX_TEXT.sub(r"\1", found.text[box.end() : end - 1]).strip(" \n\t$")
            answer = json_values.parse_value(inside)
            fits = answer and (found.key == "output" or isinstance(answer.value, dict))
            return answer if fits else None
    return None
