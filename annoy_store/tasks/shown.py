"""Whether a question would show its answer: what of an I/O pair stands in the texts of its sample.

    call    a call of the function with these arguments, together with its result
    input   such a call without its result, or the whole input as one object or argument by argument
    no      neither

Decisions
- Arguments are bound to the parameters and compared by value, so order, defaults, spacing and JSON
  or Python spelling make no difference; results are compared as answers are (compare.py).
- Calls of a helper count if the function gives it its own arguments, and calls of a name that the
  code does not define, for a rewritten function keeps examples of its old name.
- A single number or word that equals an argument is no find: one that is given by name alone, or
  in the notation of mathematics (`O(1)`), counts only together with the result.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from annoy_store.interfaces import Row
from annoy_store.parsing.json_spans import ObjectSpans
from annoy_store.parsing.python_code import parse_module
from annoy_store.parsing.shown_calls import ShownCall
from annoy_store.parsing.shown_rows import ShownRow, find_rows
from annoy_store.parsing.shown_texts import find_examples, next_lines, text_beside
from annoy_store.parsing.signatures import Callables, Signature, find_callables
from annoy_store.tasks.shown_positions import after_label, by_position
from annoy_store.tasks.shown_values import (
    CALL,
    INPUT,
    MAX_FINDS,
    NO,
    Pair,
    as_json,
    equal,
    is_telling,
    prefix,
    read,
)

_UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
_NOTATION = {
    "O", "o", "Theta", "Omega", "log", "ln", "exp", "sqrt", "sin", "cos", "tan", "gcd", "lcm", "mod",
    "floor", "ceil",
}  # fmt: skip


@dataclass(frozen=True)
class QuestionText:
    """The texts of a sample that all its questions show."""

    problem_statement: str
    io_requirements: str
    refcode: str
    funcname: str

    @classmethod
    def of(cls, row: Row) -> QuestionText:
        """Return the texts of a row that has the columns of a sample."""
        return cls(*(row[name] for name in cls.__dataclass_fields__))


def shown_in_question(question: QuestionText, pairs: Sequence[tuple[str, str | None]]) -> list[str]:
    """Return for each pair what of it stands in the question: `call`, `input` or `no`.

    Args:
        question: The texts of the sample.
        pairs: Inputs and outputs as JSON; an output of None is not known.
    """
    try:
        tree = parse_module(question.refcode)
    except _UNREADABLE:
        tree = None
    described = (question.problem_statement, question.io_requirements)
    examples = find_examples(question.refcode, tree, *described)
    read = [_pair(*pair) for pair in pairs]
    names = next((list(pair.input) for pair in read if pair.input), [])
    keys = {key: None for pair in read for key in itertools.islice(pair.input, 1)}
    callables = find_callables(tree, question.funcname, names)
    calls = list(_bound_calls(examples.calls, callables))
    whole = "\n\n".join((*described, question.refcode))
    objects = list(_objects(whole, keys))
    rows = list(_bound_rows(find_rows(tree), callables.main)) if tree else []
    defaults = {key: as_json(value) for key, value in callables.main.defaults.items()}
    found = []
    for pair in read:
        given = defaults | pair.input
        words = itertools.chain(
            _in_calls(pair, given, calls),
            _in_objects(pair, given, defaults, objects),
            _by_name(pair, examples.texts),
            _in_rows(pair, given, rows),
            by_position(pair, examples.texts),
        )
        strongest = set(words)
        found.append(CALL if CALL in strongest else INPUT if INPUT in strongest else NO)
    return found


def _pair(input_text: str, output_text: str | None) -> Pair:
    given = json.loads(input_text)
    output = None if output_text is None else json.loads(output_text)
    return Pair(given if isinstance(given, dict) else {}, output, output_text is not None)


# Calls ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _BoundCall:
    """A call with the arguments that it gives the function; `is_sure` if it is one of it."""

    call: ShownCall
    arguments: dict[str, Any]
    is_sure: bool


def _bound_calls(calls: Iterable[ShownCall], callables: Callables) -> Iterator[_BoundCall]:
    for call in calls:
        signature = callables.find(call.name)
        bound = None if signature is None else signature.bind(call.arguments, call.keywords)
        if bound is not None:
            arguments = {key: as_json(value) for key, value in bound.items()}
            is_sure = not (call.is_prose and call.name in _NOTATION)
            yield _BoundCall(call, arguments, is_sure)


def _in_calls(pair: Pair, given: dict[str, Any], calls: Iterable[_BoundCall]) -> Iterator[str]:
    for bound in calls:
        if equal(bound.arguments, given):
            if pair.is_told(bound.call.values, bound.call.text):
                yield CALL
            elif bound.is_sure or is_telling(pair.input):
                yield INPUT


# The input in other forms --------------------------------------------------------------------


@dataclass(frozen=True)
class _Object:
    value: Any
    beside: str


def _objects(text: str, keys: Iterable[str]) -> Iterator[_Object]:
    """The objects in a text that have one of some keys."""
    for key in (key for key in keys if key in text):
        previous = 0
        for start, end in ObjectSpans(text, key).outermost()[:MAX_FINDS]:
            value = read(text[start:end])
            if value is not None:
                yield _Object(value.value, text_beside(text, previous, start, end))
            previous = end


def _in_objects(
    pair: Pair, given: dict[str, Any], defaults: dict[str, Any], objects: Iterable[_Object]
) -> Iterator[str]:
    for shown in objects:
        if pair.input and isinstance(shown.value, dict) and equal(defaults | shown.value, given):
            yield CALL if pair.is_told((), shown.beside) else INPUT


def _by_name(pair: Pair, texts: Iterable[str]) -> Iterator[str]:
    """What texts show that give every argument by its name: `nums = [1, 2], k = 3`."""
    for text in texts:
        if not all(name in text for name in pair.input):
            continue
        lines = text.split("\n")
        ends = [_ends(lines, name, value) for name, value in pair.input.items()]
        for line in ends[0] if ends else ():
            near = [min(at, key=lambda n: abs(n - line), default=-1) for at in ends]
            last = max(near)
            if min(near) < 0 or last - min(near) > len(ends):
                continue
            rest = lines[last][max(at.get(last, 0) for at in ends) :]
            below = "" if re.search(r"\w", rest) else "\n".join(next_lines("\n".join(lines[last:])))
            later = "\n".join([rest, *lines[last + 1 : last + 6]])
            if pair.is_told((), f"{rest}\n{below}\n{after_label(later)}"):
                yield CALL
            elif is_telling(pair.input):
                yield INPUT


def _ends(lines: Sequence[str], name: str, value: Any) -> dict[int, int]:
    """Where the value ends, by number of the line that gives it: `name = value`."""
    pattern = re.compile(
        rf"(?<!\w){re.escape(name)}[`\"'*]*\s*(?:==?|:|\bis\b|\bequals\b|\bof\b)\s*[`*]*"
    )
    return {
        number: found.end() + size
        for number, line in enumerate(lines)
        if name in line
        for found in itertools.islice(pattern.finditer(line), MAX_FINDS)
        if (size := prefix(line[found.end() :], value))
    }


_BoundRow = tuple[dict[str, Any], Any, bool]  # arguments, what follows them, whether it is a test


def _bound_rows(rows: Iterable[ShownRow], main: Signature) -> Iterator[_BoundRow]:
    """The rows that may be arguments, one by one or together, and a result."""
    for row in rows:
        first, last = row.values[0], row.values[-1]
        forms: list[tuple[Sequence[Any], dict[str, Any]]] = [(row.values[:-1], {})]
        if len(row.values) == 2 and isinstance(first, (list, tuple)):
            forms.append((first, {}))
        if len(row.values) == 2 and isinstance(first, dict):
            forms.append(((), {str(key): value for key, value in first.items()}))
        for arguments, keywords in forms:
            bound = main.bind(arguments, keywords)
            if bound:
                yield {k: as_json(v) for k, v in bound.items()}, last, row.is_test


def _in_rows(pair: Pair, given: dict[str, Any], rows: Iterable[_BoundRow]) -> Iterator[str]:
    for arguments, result, is_test in rows:
        counts = is_test or is_telling(pair.input)
        if counts and equal(arguments, given) and pair.is_told((result,), ""):
            yield CALL
