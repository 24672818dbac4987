"""Writes the texts of a sample: the problem statement, and what goes in and out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from annoy_store.inference.backends.tracer.choose_function import Candidate
from annoy_store.inference.backends.tracer.random_expressions import RandomExpression
from annoy_store.inference.backends.tracer.value_types import ValueType

_MAX_CHARS = 600
_SKIPPED_LINES = re.compile(
    r"^\s*(>>>|\.\.\. |[:@](param|type|return|rtype|raise)|args?:|arguments:|parameters?:?\s*$|"
    r"returns?:|raises?:|examples?\b|input\b|output\b|note:|constraints|usage|author|-{3,}|={3,}|"
    r"created (on|by)|@author|copyright|licen[sc]e|time complexity|space complexity|runtime|https?://|test)",
    re.IGNORECASE,
)
_NOUNS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "a truth value",
    "list": "a list",
    "tuple": "a list",
    "set": "a list of different values",
    "dict": "a table",
    "tree": "a binary tree",
    "linked": "a linked list",
}
_TYPES = {"tuple": "list", "set": "list", "tree": "list", "linked": "list"}
_VERBS = re.compile(r"(get|find|calculate|calc|compute|determine|return|make|build|do) (?=\w)")


def io_description(
    candidate: Candidate, expressions: Sequence[tuple[str, RandomExpression]]
) -> str:
    """Return the section that names every input with its type and range, and the output.

    Args:
        candidate: The chosen function.
        expressions: Random expressions by parameter, in order.
    """
    value_types = {parameter.name: parameter.value_type for parameter in candidate.parameters}
    lines = ["Input:"]
    for name, expression in expressions:
        lines.append(f"  `{name}` ({type_name(value_types[name])}): {expression.description}.")
    returned = (
        _TYPES.get(candidate.return_type.kind, candidate.return_type.kind)
        if candidate.return_type
        else "any JSON value"
    )
    lines += ["Output:", f"  `return` ({returned}): {_output(candidate)}."]
    return "\n".join(lines)


def type_name(value_type: ValueType) -> str:
    """Return the JSON name of a type, such as `list of int`."""
    name = _TYPES.get(value_type.kind, value_type.kind)
    if name != "list" or value_type.kind == "tuple":
        return name
    return f"list of {type_name(value_type.items[0])}" if value_type.items else "list"


def _output(candidate: Candidate) -> str:
    name = candidate.func.name
    if candidate.result == "list":
        return f"the values that `{name}` yields, in order"
    if candidate.result == "sorted":
        return f"what `{name}` returns, as a sorted list"
    if candidate.result != "return":
        return f"`{candidate.result}` as `{name}` leaves it"
    return f"what `{name}` returns for this input"


def problem_statement(candidate: Candidate) -> str:
    """Return the problem: the file's own text if it has enough, then a question."""
    words = _cleaned(candidate.documentation)
    opening = words if len(words) >= 20 else _opening(candidate)
    return f"{opening}\n\n{_question(candidate)}"


def _cleaned(doc: str) -> str:
    """Return the first paragraphs of a description, without examples, parameters and headings."""
    kept: list[str] = []
    for line in doc.split("\n"):
        if _SKIPPED_LINES.match(line):
            if kept:
                break
            continue
        kept.append(re.sub(r"^[\s#>*`~-]+|`{3}\w*", "", line).strip())
    text = re.sub(r"\n{2,}", "\n\n", "\n".join(kept)).strip()
    text = re.sub(r"(?<!\n)\n(?!\n)", " ", text)
    if len(text) > _MAX_CHARS:
        text = text[: text.rfind(" ", 0, _MAX_CHARS)].rstrip(" ,;:") + " ..."
    return text


def name_as_phrase(name: str) -> str:
    """Return the name of a function as words: `maxSubArray` becomes `max sub array`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_+", " ", name).strip().lower()
    return re.sub(r"\s+", " ", spaced) or name


def _opening(candidate: Candidate) -> str:
    owner = f" of the class `{candidate.owner.name}`" if candidate.owner else ""
    return (
        f"A program has a function `{candidate.func.name}`{owner}, "
        f"which stands for “{name_as_phrase(candidate.func.name)}”."
    )


def _question(candidate: Candidate) -> str:
    given = [
        f"{_NOUNS.get(parameter.value_type.kind, 'a value')} `{parameter.name}`"
        for parameter in candidate.parameters
    ]
    inputs = given[0] if len(given) == 1 else ", ".join(given[:-1]) + f" and {given[-1]}"
    return f"Given {inputs}, {_question_part(candidate)}?"


def _question_part(candidate: Candidate) -> str:
    name = name_as_phrase(candidate.func.name)
    if candidate.result not in ("return", "list", "sorted"):
        return f"what does `{candidate.result}` hold after “{name}” is done"
    if candidate.return_type and candidate.return_type.kind == "bool":
        return f"which answer, true or false, does the check “{name}” give"
    if name.startswith(("count ", "num ", "number of ", "how many ")):
        return f"how many does “{name}” find"
    bare = _VERBS.sub("", name, count=1)
    return f"what is the {bare}" if bare != name else f"what is the result of “{name}”"
