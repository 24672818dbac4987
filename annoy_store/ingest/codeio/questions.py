"""Read what a question of a known form asks about from its messages.

Decisions
- Two forms are known: the bundled templates (told by their headings) and the layout of the CodeI/O
  scripts: paragraphs that begin with a line ending in a colon, the value as Python prints it, and
  the reference code last. Equal text gives the equal digest, so the digest of a sample read from a
  question is that of the sample in the file it was made from.
- Text of no known form is not an error: None.
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
class ImportedQuestion:
    """What is asked.

    Attributes:
        kind: Kind of question.
        code: The raw file of a transform, else the reference code.
        problem: Problem statement.
        io: Description of input and output.
        value: The given input or output as it is written in the text.
    """

    kind: QuestionKind
    code: str
    problem: str = ""
    io: str = ""
    value: str = ""


def read_question(messages: Messages) -> ImportedQuestion | None:
    """Return what the first user message asks, None if it is of no known form."""
    text = next((m["content"] for m in messages if m["role"] == "user"), "")
    if source := _CODE_FILE.search(text):
        return ImportedQuestion("transform", source["code"])
    if found := _PREDICTION.fullmatch(text):
        kind: QuestionKind = "predict_output" if found["given"] == "input" else "predict_input"
        return ImportedQuestion(
            kind, found["code"] or "", found["problem"], found["io"], found["value"]
        )
    return _bundled_form(
        extract_values(messages[:1] if messages[0]["role"] == "user" else messages[:2])
    )


def _bundled_form(values: Mapping[str, str]) -> ImportedQuestion | None:
    about = values.get("code", ""), values.get("problem", ""), values.get("io", "")
    if "input" in values:
        return ImportedQuestion("predict_output", *about, values["input"])
    if "output" in values:
        return ImportedQuestion("predict_input", *about, values["output"])
    return (
        ImportedQuestion("transform", about[0])
        if "code" in values and "problem" not in values
        else None
    )


def given_value(question: ImportedQuestion) -> JsonValue | None:
    """Return the given input or output as a JSON value.

    An output that is not a literal was printed as a bare string, and is read as one.

    Returns:
        The value; None if it is not JSON, or an input that is not an object.
    """
    try:
        found = json_values.parse_value(question.value)
    except json_values.UnsupportedValue:
        return None
    if question.kind == "predict_output":
        return found if found and isinstance(found.value, dict) else None
    return found or json_values.to_json_value(question.value)


def shows_value(question: ImportedQuestion, text: str) -> bool:
    """Return True when the question shows the value with the JSON text `text`, as JSON or Python."""
    if question.value == text:
        return True
    found = json_values.parse_value(text)
    return found is not None and str(found.value) == question.value


def read_messages(value: Any) -> Messages | None:
    """Return chat messages as role and text, None if `value` is not a list of messages."""
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
