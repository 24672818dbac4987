"""Finds the final answer in the text of a response."""

from __future__ import annotations

import re

from annoy_store.parsing import json_values
from annoy_store.parsing.json_spans import ObjectSpans
from annoy_store.parsing.json_values import JsonValue

_BOXED = re.compile(r"\\f?boxed\s{0,8}\{")


_LATEX_TEXT = re.compile(r"\\(?:text|texttt|mathrm|mathtt|operatorname)\{([^{}]{0,1000}+)\}")


def find_final_answer(text: str, key: str) -> JsonValue | None:
    """Return what the last complete object of `text` holds under `key` (`output` or `input`).

    JSON is wanted; Python literals, trailing commas and LaTeX escapes are understood. Without such
    an object the last `\\boxed{..}` counts, which for an `input` must be an object.
    """
    found = ObjectSpans(text, key)
    try:
        for start, end in reversed(found.outermost()):
            whole = json_values.parse_value(text[start:end])
            if whole and isinstance(whole.value, dict) and key in whole.value:
                return json_values.to_json_value(whole.value[key])
        return _boxed(found)
    except json_values.UnsupportedValue:
        return None


def _boxed(found: ObjectSpans) -> JsonValue | None:
    """Return what the last closed `\\boxed{..}` holds, if it can be the answer."""
    for box in reversed(list(_BOXED.finditer(found.text))):
        end = found.ends.get(box.end() - 1)
        if end is not None:
            inside = _LATEX_TEXT.sub(r"\1", found.text[box.end() : end - 1]).strip(" \n\t$")
            answer = json_values.parse_value(inside)
            fits = answer and (found.key == "output" or isinstance(answer.value, dict))
            return answer if fits else None
    return None
