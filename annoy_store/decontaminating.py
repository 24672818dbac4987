"""What training data share with benchmarks: overlaps as rows, with their evidence.

Decisions
- Words decide, as in the CodeI/O paper (1.8): punctuation, digits and blanks do not count, and one
  common run of 13 words marks a sample. Hashes find it, the words themselves confirm it.
- A sample is marked by its own text, or by the raw file that it came from: a rewritten task still
  is that task. Exports leave marked ones out only when asked (`--exclude-overlaps`).
- An answer is common when a pair of the store has the same input and the same output as a
  benchmark's item, as values; an item without an input counts when its output is long enough
  (24 characters of JSON) to be no accident.
- Benchmarks are files that the user brings; nothing is fetched.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, func, select

from annoy_store.database import Store, insert_new
from annoy_store.errors import UsageError
from annoy_store.identity import canonical, digest
from annoy_store.policies import utc_now
from annoy_store.shingles import runs, word_hashes, words_of
from annoy_store.tables import io_pairs, overlaps, samples, sources

RUN = 13
_ENOUGH = 24
_AT_ONCE = 1000
_INPUTS = ("input", "inputs", "test_input", "args")
_OUTPUTS = ("output", "answer", "expected_output", "ground_truth", "test_output")
_IDS = ("id", "task_id", "question_id", "problem_id", "name")


@dataclass(frozen=True)
class Item:
    """One task of a benchmark: its words, and its input and output as canonical JSON."""

    name: str
    words: tuple[str, ...]
    given: str | None
    output: str | None


@dataclass
class Benchmark:
    """The items of one file, ready to be looked up."""

    name: str
    items: list[Item] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """What one benchmark has in common with the store: subjects and items by method."""

    benchmark: str
    items: int
    skipped: int
    overlaps: Mapping[str, int]
    samples: int


def decontaminate(
    store: Store, files: Sequence[Path], say: Callable[[str], None] = lambda words: None
) -> list[Found]:
    """Enter what the store shares with each benchmark file. Raises UsageError for a bad file."""
    benchmarks = [read_benchmark(path) for path in files]
    _need_numpy()
    runs_of = [_runs_of(benchmark) for benchmark, _ in benchmarks]
    for kind, chosen in _TEXTS.items():
        for page in _pages(store, chosen):
            rows = [
                row
                for (benchmark, _), index in zip(benchmarks, runs_of, strict=True)
                for row in _common_runs(kind, page, benchmark, index)
            ]
            _enter(store, rows)
            say(f"{kind}s up to {page[-1][0]}")
    for benchmark, _ in benchmarks:
        _enter(store, list(_common_answers(store, benchmark)))
    with store.read() as connection:
        return [_summary(connection, benchmark, skipped) for benchmark, skipped in benchmarks]


def _need_numpy() -> None:
    try:
        import numpy  # noqa: F401
    except ImportError as error:
        raise UsageError("overlaps need numpy: pip install 'annoy-store[near]'") from error


# Benchmarks ----------------------------------------------------------------------------------


def read_benchmark(path: Path) -> tuple[Benchmark, int]:
    """Read a JSONL file; return its items, and how many lines had no text. Raises UsageError."""
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
        raise UsageError(f"{path} holds no item; it must be JSON Lines, one task per line")
    return benchmark, skipped


def _item(path: Path, number: int, line: str) -> Item:
    try:
        told = json.loads(line)
    except ValueError as error:
        raise UsageError(f"{path} line {number} is not JSON: {error}") from error
    values = told if isinstance(told, dict) else {"text": told}
    name = next((str(values[key]) for key in _IDS if key in values), str(number))
    text = " ".join(_texts(values))
    return Item(name, tuple(words_of(text)), _value(values, _INPUTS), _value(values, _OUTPUTS))


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value, messages and nested lists included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _value(values: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    """The first of `keys` that is there, as canonical JSON; JSON text counts as what it says."""
    for key in keys:
        if values.get(key) is not None:
            return _canonical(values[key])
    return None


def _canonical(value: Any) -> str:
    if isinstance(value, str):
        with suppress(ValueError):
            value = json.loads(value)
    try:
        return canonical(value)
    except (ValueError, RecursionError):
        return str(value)


# Words in common -----------------------------------------------------------------------------


Runs = tuple[Any, Any, Any]  # hashes, sorted; the item and the place of each


def _runs_of(benchmark: Benchmark) -> Runs:
    import numpy as np

    hashes, items, places = [], [], []
    for number, item in enumerate(benchmark.items):
        if len(item.words) >= RUN:
            own = runs(word_hashes(list(item.words)), RUN)
            hashes.append(own)
            items.append(np.full(len(own), number))
            places.append(np.arange(len(own)))
    if not hashes:
        return np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.int64)
    every = np.concatenate(hashes)
    order = np.argsort(every, kind="stable")
    return every[order], np.concatenate(items)[order], np.concatenate(places)[order]


def _common_runs(
    kind: str, page: Sequence[Any], benchmark: Benchmark, index: Runs
) -> Iterator[dict[str, Any]]:
    """One row per subject and item that have a run of words in common."""
    for subject_id, *texts in page:
        words = words_of("\n".join(texts))
        seen: set[int] = set()
        for place, number in _hits(words, index):
            item = benchmark.items[number]
            run = tuple(words[place : place + RUN])
            if number not in seen and _holds(item.words, run):
                seen.add(number)
                yield _row(kind, subject_id, benchmark, item, f"{RUN}gram", " ".join(run))


def _hits(words: list[str], index: Runs) -> Iterator[tuple[int, int]]:
    """Places in `words` whose run has the hash of an item's run, with that item."""
    import numpy as np

    hashes, items, _ = index
    if len(words) < RUN or not len(hashes):
        return
    own = runs(word_hashes(words), RUN)
    low, high = np.searchsorted(hashes, own, "left"), np.searchsorted(hashes, own, "right")
    for place in np.flatnonzero(high > low).tolist():
        for at in range(low[place], high[place]):
            yield place, int(items[at])


def _holds(words: tuple[str, ...], run: tuple[str, ...]) -> bool:
    return any(words[i : i + RUN] == run for i in range(len(words) - RUN + 1))


# Answers in common ---------------------------------------------------------------------------


def _common_answers(store: Store, benchmark: Benchmark) -> Iterator[dict[str, Any]]:
    """One row per sample and item whose output, and input if it has one, are the same values."""
    wanted: dict[str, list[Item]] = {}
    for item in benchmark.items:
        if item.output is not None and (item.given is not None or len(item.output) >= _ENOUGH):
            wanted.setdefault(item.output, []).append(item)
    if not wanted:
        return
    for page in _pages(store, _PAIRS):
        for _, sample_id, given, output in page:
            said = _canonical_text(output)
            for item in wanted.get(said, ()):
                if item.given is None or item.given in _ways(given):
                    shown = f"{given} -> {output}"
                    yield _row("sample", sample_id, benchmark, item, "answer", shown)


def _canonical_text(text: str) -> str:
    try:
        return canonical(json.loads(text))
    except ValueError:
        return text


def _ways(given: str) -> set[str]:
    """How a benchmark may write an input: by name, as a list, or the one value alone."""
    try:
        value = json.loads(given)
    except ValueError:
        return {given}
    ways = {canonical(value)}
    if isinstance(value, dict):
        ways.add(canonical(list(value.values())))
        if len(value) == 1:
            ways.add(canonical(next(iter(value.values()))))
    return ways


# Rows ----------------------------------------------------------------------------------------

_SAMPLE_TEXTS = samples.c.problem_statement, samples.c.io_requirements, samples.c.refcode
_TEXTS: dict[str, Select[Any]] = {
    "sample": select(samples.c.id, *_SAMPLE_TEXTS),
    "source": select(sources.c.id, sources.c.content),
}
_PAIRS = select(io_pairs.c.id, io_pairs.c.sample_id, io_pairs.c.input, io_pairs.c.output)


def _pages(store: Store, chosen: Select[Any]) -> Iterator[Sequence[Any]]:
    """The rows of a table in pages by its id, which `chosen` selects first; reads are short."""
    key = chosen.selected_columns[0]
    last = 0
    while True:
        with store.read() as connection:
            query = chosen.where(key > last).order_by(key).limit(_AT_ONCE)
            page = connection.execute(query).all()
        if not page:
            return
        yield page
        last = page[-1][0]


def _row(
    kind: str, subject_id: int, benchmark: Benchmark, item: Item, method: str, evidence: str
) -> dict[str, Any]:
    return {
        "kind": kind, "subject_id": subject_id, "benchmark": benchmark.name, "item": item.name,
        "method": method, "created_at": utc_now(), "evidence": evidence[:1000],
    }  # fmt: skip


def _enter(store: Store, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        unique = {digest("overlap", *map(str, list(row.values())[:5])): row for row in rows}
        with store.write() as connection:
            insert_new(connection, overlaps, list(unique.values()))


def _summary(connection: Connection, benchmark: Benchmark, skipped: int) -> Found:
    own = overlaps.c.benchmark == benchmark.name
    counted = connection.execute(
        select(overlaps.c.method, func.count(overlaps.c.id)).where(own).group_by(overlaps.c.method)
    )
    marked = select(func.count(func.distinct(overlaps.c.subject_id))).where(
        own, overlaps.c.kind == "sample"
    )
    by_method = {str(method): int(n) for method, n in counted}
    return Found(
        benchmark.name,
        len(benchmark.items),
        skipped,
        by_method,
        int(connection.scalar(marked) or 0),
    )
