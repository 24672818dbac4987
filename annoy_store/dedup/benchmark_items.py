"""Read the items of benchmark files: JSON Lines of any shape, one task per line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annoy_store.dedup.shingles import split_words
from annoy_store.errors import UsageError
from annoy_store.hashing import canonical_json, unique_keys

_INPUTS = ("input", "inputs", "test_input", "args")
_OUTPUTS = ("output", "answer", "expected_output", "ground_truth", "test_output")
_IDS = ("id", "task_id", "question_id", "problem_id", "name")


@dataclass(frozen=True)
class BenchmarkItem:
    """One task of a benchmark.

    Attributes:
        name: Its id in the file, else its line number.
        words: The words of all its texts, lower case.
        input: Its input as canonical JSON, if it has one.
        output: Its output as canonical JSON, if it has one.
    """

    name: str
    words: tuple[str, ...]
    input: str | None
    output: str | None


@dataclass
class Benchmark:
    """The items of one file.

    Attributes:
        name: Name of the file.
        items: Its tasks, in order.
    """

    name: str
    items: list[BenchmarkItem] = field(default_factory=list)


def read_benchmark(path: Path) -> tuple[Benchmark, int]:
    """Read a benchmark from a JSON Lines file.

    Args:
        path: The file.

    Returns:
        The benchmark, and the number of lines without text and output.

    Raises:
        UsageError: The file cannot be read, is not JSON Lines, or has no items.
    """
    benchmark, skipped = Benchmark(path.name), 0
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    item = _item(path, number, line)
                    benchmark.items.append(item)
                    skipped += not item.words and item.output is None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    if not benchmark.items:
        raise UsageError(f"{path} contains no items; it must be JSON Lines, one task per line")
    return benchmark, skipped


def _item(path: Path, number: int, line: str) -> BenchmarkItem:
    try:
        decoded = json.loads(line, object_pairs_hook=unique_keys)
    except ValueError as error:
        raise UsageError(f"{path} line {number} is not JSON: {error}") from error
    values = decoded if isinstance(decoded, dict) else {"text": decoded}
    name = next((str(values[key]) for key in _IDS if key in values), str(number))
    text = " ".join(_texts(values))
    return BenchmarkItem(
        name, tuple(split_words(text)), _value(values, _INPUTS), _value(values, _OUTPUTS)
    )


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value, including messages and nested lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _value(values: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    """The first of `keys` that is present, as canonical JSON; a text of JSON is decoded first."""
    for key in keys:
        if values.get(key) is not None:
            return _canonical(values[key])
    return None


def _canonical(value: Any) -> str:
    if isinstance(value, str):
        with suppress(ValueError):
            value = json.loads(value)
    try:
        return canonical_json(value)
    except (ValueError, RecursionError):
        return str(value)


def canonical_text(text: str) -> str:
    """Return a JSON text in canonical form; other text is returned unchanged."""
    try:
        return canonical_json(json.loads(text))
    except ValueError:
        return text


def equivalent_inputs(given: str) -> set[str]:
    """Return the forms in which a benchmark may write an input, as canonical JSON.

    Args:
        given: The input as a JSON text.

    Returns:
        The input by name, as a list of values, and as the one value alone.
    """
    try:
        value = json.loads(given)
    except ValueError:
        return {given}
    ways = {canonical_json(value)}
    if isinstance(value, dict):
        ways.add(canonical_json(list(value.values())))
        if len(value) == 1:
            ways.add(canonical_json(next(iter(value.values()))))
    return ways
