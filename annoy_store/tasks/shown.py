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
from annoy_store.parsing import json_values
from annoy_store.parsing.json_spans import ObjectSpans
from annoy_store.parsing.python_code import parse_module
from annoy_store.parsing.shown_calls import ShownCall
from annoy_store.parsing.shown_texts import closing_bracket, find_examples, next_lines, text_beside
from annoy_store.parsing.signatures import Callables, find_callables
from annoy_store.tasks import compare

CALL, INPUT, NO = "call", "input", "no"
_MAX_FINDS = 50  # of one kind in one text
_UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d[\d_]*+\.?\d*+|\.\d++)(?:[eE][-+]?\d+)?(?!\w)")
_WORDS: dict[Any, str] = {True: r"\b[Tt]rue\b", False: r"\b[Ff]alse\b", None: r"\b(?:None|null)\b"}
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


@dataclass(frozen=True)
class _Pair:
    input: dict[str, Any]
    output: Any
    has_output: bool

    def is_told(self, values: Iterable[Any], text: str) -> bool:
        """Whether the output is one of `values`, or stands in `text`."""
        return self.has_output and (
            any(compare.same(self.output, _as_json(value)) for value in values)
            or _tells(text, self.output)
        )


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
    defaults = {key: _as_json(value) for key, value in callables.main.defaults.items()}
    found = []
    for pair in read:
        given = defaults | pair.input
        words = itertools.chain(
            _in_calls(pair, given, calls),
            _in_objects(pair, given, defaults, objects),
            _by_name(pair, examples.texts),
        )
        strongest = set(words)
        found.append(CALL if CALL in strongest else INPUT if INPUT in strongest else NO)
    return found


def _pair(input_text: str, output_text: str | None) -> _Pair:
    given = json.loads(input_text)
    output = None if output_text is None else json.loads(output_text)
    return _Pair(given if isinstance(given, dict) else {}, output, output_text is not None)


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
            arguments = {key: _as_json(value) for key, value in bound.items()}
            is_sure = not (call.is_prose and call.name in _NOTATION)
            yield _BoundCall(call, arguments, is_sure)


def _in_calls(pair: _Pair, given: dict[str, Any], calls: Iterable[_BoundCall]) -> Iterator[str]:
    for bound in calls:
        if _equal(bound.arguments, given):
            if pair.is_told(bound.call.values, bound.call.text):
                yield CALL
            elif bound.is_sure or _is_telling(pair.input):
                yield INPUT


def _is_telling(given: dict[str, Any]) -> bool:
    """Whether an input is more than a single number or word."""
    return len(given) > 1 or any(isinstance(v, (list, dict)) and v for v in given.values())


# The input in other forms --------------------------------------------------------------------


@dataclass(frozen=True)
class _Object:
    value: Any
    beside: str


def _objects(text: str, keys: Iterable[str]) -> Iterator[_Object]:
    """The objects in a text that have one of some keys."""
    for key in (key for key in keys if key in text):
        previous = 0
        for start, end in ObjectSpans(text, key).outermost()[:_MAX_FINDS]:
            value = _read(text[start:end])
            if value is not None:
                yield _Object(value.value, text_beside(text, previous, start, end))
            previous = end


def _in_objects(
    pair: _Pair, given: dict[str, Any], defaults: dict[str, Any], objects: Iterable[_Object]
) -> Iterator[str]:
    for shown in objects:
        if pair.input and isinstance(shown.value, dict) and _equal(defaults | shown.value, given):
            yield CALL if pair.is_told((), shown.beside) else INPUT


def _by_name(pair: _Pair, texts: Iterable[str]) -> Iterator[str]:
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
            if pair.is_told((), f"{rest}\n{below}"):
                yield CALL
            elif _is_telling(pair.input):
                yield INPUT


def _ends(lines: Sequence[str], name: str, value: Any) -> dict[int, int]:
    """Where the value ends, by number of the line that gives it: `name = value`."""
    pattern = re.compile(rf"(?<!\w){re.escape(name)}[`\"'*]*\s*(?:=|:)\s*[`*]*")
    return {
        number: found.end() + size
        for number, line in enumerate(lines)
        if name in line
        for found in itertools.islice(pattern.finditer(line), _MAX_FINDS)
        if (size := _prefix(line[found.end() :], value))
    }


# Values in texts -----------------------------------------------------------------------------


def _as_json(value: Any) -> Any:
    """A value as JSON has it; what JSON cannot hold stays as it is."""
    if isinstance(value, (set, frozenset)):
        try:
            value = sorted(value)
        except TypeError:
            value = list(value)
    if isinstance(value, dict):
        return {_key(key): _as_json(part) for key, part in value.items()}
    return [_as_json(part) for part in value] if isinstance(value, (list, tuple, range)) else value


def _key(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(key) if _is_plain(key) else str(key)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float))


def _equal(left: Any, right: Any) -> bool:
    return compare.same(left, right, tolerance=0.0, same_integer_part=False)


def _prefix(text: str, value: Any) -> int:
    """The number of characters at the beginning of a text that are a value; 0 if it is another."""
    if isinstance(value, (list, dict)):
        end = closing_bracket(text, 0) if text[:1] in ("[", "{", "(") else None
        return end if end is not None and _reads_as(text[:end], value) else 0
    if isinstance(value, str):
        quoted = next((q for q in (json.dumps(value), repr(value)) if text.startswith(q)), "")
        bare = re.match(rf"{re.escape(value)}(?!\w)", text) if value else None
        return len(quoted) or (bare.end() if bare else 0)
    if isinstance(value, bool) or value is None:
        found = re.match(_WORDS[value], text)
        return found.end() if found else 0
    found = _NUMBER.match(text)
    return found.end() if found and _equal(_number(found[0]), value) else 0


def _tells(text: str, value: Any) -> bool:
    """Whether a value stands somewhere in a text, by value where it is a number or container."""
    if not text.strip():
        return False
    if isinstance(value, bool) or value is None:
        return re.search(_WORDS[value], text) is not None
    if isinstance(value, str):
        return _tells_string(text, value)
    if isinstance(value, (int, float)):
        numbers = itertools.islice(_NUMBER.finditer(text), _MAX_FINDS)
        return any(compare.same(value, _number(found[0])) for found in numbers)
    starts = [found.start() for found in re.finditer(r"[\[({]", text)][:_MAX_FINDS]
    return any(
        (end := closing_bracket(text, start)) is not None and _reads_as(text[start:end], value)
        for start in starts
    )


def _tells_string(text: str, value: str) -> bool:
    if any(quoted in text for quoted in (json.dumps(value), repr(value), f"`{value}`")):
        return True
    words = " ".join(value.split())
    spaced = " ".join(text.split())
    return bool(words) and re.search(rf"(?<!\w){re.escape(words)}(?!\w)", spaced) is not None


def _read(text: str) -> json_values.JsonValue | None:
    try:
        return json_values.parse_value(text)
    except json_values.UnsupportedValue:
        return None


def _reads_as(text: str, value: Any) -> bool:
    """Whether a text is a value, as JSON or Python."""
    found = _read(text)
    return found is not None and compare.same(value, found.value)


def _number(text: str) -> float | int:
    digits = text.replace("_", "")
    try:
        return int(digits)
    except ValueError:
        return float(digits)
