"""What a question of the known forms asks about, read out of its messages.

Decisions
- Two forms are known: the bundled templates (told by their headings) and the layout of the CodeI/O
  scripts: paragraphs led by a line that ends in a colon, the value as Python prints it, and the
  reference code last. Equal text is found again exactly, so the digest of a sample read out of a
  question is that of the sample in the file it was made from.
- A text of no known form is no error: None.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from annoy_store.parsing import json_values
from annoy_store.parsing.json_values import JsonValue
from annoy_store.prompts.template import extract_values

Messages = list[dict[str, str]]
QuestionKind = Literal["transform", "predict_output", "predict_input"]

_CODE_FILE = re.compile(r"^\[Code Start\]\n(?P<code>.*)\n\[Code End\]\s*$", re.S | re.M)
_PREDICTION = re.compile(
    r"[^\n]*:\n\n(?P<problem>.*?)"
    r"\n\n[^\n]*\brequirements\b[^\n]*:\n\n(?P<io>.*?)"
    r"\n\nGiven [^\n]*\b(?P<given>input|output):\n\n(?P<value>.*?)"
    r'\n\n[^\n]*\{"(?:input|output)": [^\n]*'
    r"(?:\n\n[^\n]*\n\n(?P<code>.*))?",
    re.S,
)


@dataclass(frozen=True)
class Question:
    """What is asked: `code` is the raw file of a transform, else the reference code.

    `value` is the given input or output as it stands in the text.
    """

    kind: QuestionKind
    code: str
    problem: str = ""
    io: str = ""
    value: str = ""


def read_question(messages: Messages) -> Question | None:
    """Return what the first user message asks, None if it is of no known form."""
    text = next((m["content"] for m in messages if m["role"] == "user"), "")
    if source := _CODE_FILE.search(text):
        return Question("transform", source["code"])
    if found := _PREDICTION.fullmatch(text):
        kind: QuestionKind = "predict_output" if found["given"] == "input" else "predict_input"
        return Question(kind, found["code"] or "", found["problem"], found["io"], found["value"])
    return _ours(extract_values(messages[:1] if messages[0]["role"] == "user" else messages[:2]))


def _ours(said: Mapping[str, str]) -> Question | None:
    about = said.get("code", ""), said.get("problem", ""), said.get("io", "")
    if "input" in said:
        return Question("predict_output", *about, said["input"])
    if "output" in said:
        return Question("predict_input", *about, said["output"])
    return Question("transform", about[0]) if "code" in said and "problem" not in said else None


def given_value(question: Question) -> JsonValue | None:
    """The given input or output as JSON; None for what no JSON is, or an input is no object.

    An output that is no literal was printed as the bare string that it is.
    """
    try:
        found = json_values.parse_value(question.value)
    except json_values.UnsupportedValue:
        return None
    if question.kind == "predict_output":
        return found if found and isinstance(found.value, dict) else None
    return found or json_values.to_json_value(question.value)


def shows_value(question: Question, text: str) -> bool:
    """True when the question shows the value with the JSON text `text`, in either form."""
    if question.value == text:
        return True
    found = json_values.parse_value(text)
    return found is not None and str(found.value) == question.value


def read_messages(value: Any) -> Messages | None:
    """Return chat messages as role and text; None if `value` is nothing of the kind."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        return None
    read = [part for part in map(_message, value) if part]
    return read if len(read) == len(value) else None


def _message(value: Any) -> dict[str, str] | None:
    if not isinstance(value, Mapping) or not isinstance(value.get("role"), str):
        return None
    content = value.get("content")
    if isinstance(content, Sequence) and not isinstance(content, str):
        texts = [part.get("text") for part in content if isinstance(part, Mapping)]
        content = "".join(map(str, texts)) if all(isinstance(t, str) for t in texts) else None
    if not isinstance(content, str):
        return None
    return {"role": value["role"], "content": content}
