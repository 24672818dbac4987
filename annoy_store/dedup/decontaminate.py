"""Find what training data have in common with benchmarks, and store it with the evidence.

Decisions
- Words decide, as in the CodeI/O paper (1.8): punctuation, digits and whitespace are ignored, and
  one common 13-gram marks a sample. Hashes find it, the words themselves confirm it.
- A sample is marked by its own text, or by the raw file that it came from: a rewritten task still
  is that task. Exports exclude marked ones only when asked (`--exclude-overlaps`).
- An answer is common when a pair of the store has the same input and the same output as an item of
  the benchmark, as values; an item without an input counts when its output is long enough (24
  characters of JSON) not to be a coincidence.
- What was compared is stored too (`benchmark_comparisons`): an export that leaves out overlaps
  needs to know that there was a comparison, and of which rows.
- Benchmarks are files that the user provides; nothing is downloaded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, Table, func, select

from annoy_store.db.engine import Database
from annoy_store.db.sql import insert_new, open_writers, upsert
from annoy_store.db.tables import (
    benchmark_comparisons,
    benchmark_overlaps,
    io_pairs,
    samples,
    sources,
)
from annoy_store.db.timestamps import utc_now
from annoy_store.dedup.benchmark_items import (
    Benchmark,
    BenchmarkItem,
    canonical_text,
    equivalent_inputs,
    read_benchmark,
)
from annoy_store.dedup.shingles import ngram_hashes, split_words, word_hashes
from annoy_store.errors import StoreError
from annoy_store.hashing import digest
from annoy_store.interfaces import ShowProgress, show_nothing

NGRAM_WORDS = 13
_ENOUGH = 24
_PATIENCE = 60.0  # seconds
_COMPARED: dict[str, Table] = {"source_id": sources, "sample_id": samples, "io_pair_id": io_pairs}
_AT_ONCE = 1000


@dataclass(frozen=True)
class OverlapReport:
    """What one benchmark has in common with the store.

    Attributes:
        benchmark: Name of the file.
        items: Number of its items.
        skipped: Lines without text and output.
        overlaps: Number of overlaps by method.
        samples: Samples with any overlap.
    """

    benchmark: str
    items: int
    skipped: int
    overlaps: Mapping[str, int]
    samples: int


def decontaminate(
    store: Database, files: Sequence[Path], progress: ShowProgress = show_nothing
) -> list[OverlapReport]:
    """Store the overlaps with each benchmark file.

    Args:
        store: The store.
        files: Benchmark files, JSON Lines.
        progress: Called with a message after each page of rows.

    Returns:
        One report per file.

    Raises:
        UsageError: A file cannot be read.
        StoreError: Another program holds a transaction open.
    """
    benchmarks = [read_benchmark(path) for path in files]
    indices = [_ngram_index(benchmark) for benchmark, _ in benchmarks]
    compared = _last_rows(store)
    for kind, chosen in _TEXTS.items():
        last_id = _last_id(store, chosen)
        for page in _pages(store, chosen):
            found_rows = [
                row
                for (benchmark, _), index in zip(benchmarks, indices, strict=True)
                for row in _common_ngrams(kind, page, benchmark, index)
            ]
            _enter(store, found_rows)
            progress(f"comparing {kind}s", page[-1][0], max(last_id, page[-1][0]))
    for benchmark, _ in benchmarks:
        _enter(store, list(_common_answers(store, benchmark)))
    with store.write() as connection:
        for benchmark, _ in benchmarks:
            row = {"benchmark": benchmark.name, "n_items": len(benchmark.items)}
            upsert(connection, benchmark_comparisons, row | compared | {"created_at": utc_now()})
    with store.read() as connection:
        return [_summary(connection, benchmark, skipped) for benchmark, skipped in benchmarks]


def _last_rows(store: Database) -> dict[str, int]:
    """Return the last row of each table that is compared, once all rows up to it are committed.

    A transaction that held a lower id when the last one was read has to end first; they are short.
    """
    with store.read() as connection:
        found = {name: _last_row(connection, table) for name, table in _COMPARED.items()}
        writers = _writers(connection)
    deadline = time.monotonic() + _PATIENCE
    while writers:
        if time.monotonic() > deadline:
            raise StoreError("another program has been writing for a minute; try again later")
        time.sleep(0.05)
        with store.read() as connection:
            writers &= _writers(connection)
    return found


def _last_row(connection: Connection, table: Table) -> int:
    return int(connection.scalar(select(func.max(table.c.id))) or 0)


def _writers(connection: Connection) -> set[str]:
    return {one for table in _COMPARED.values() for one in open_writers(connection, table)}


# Common n-grams ------------------------------------------------------------------------------


NgramIndex = tuple[Any, Any, Any]  # hashes, sorted; item and position of each


def _ngram_index(benchmark: Benchmark) -> NgramIndex:
    import numpy as np

    hashes, items, places = [], [], []
    for number, item in enumerate(benchmark.items):
        if len(item.words) >= NGRAM_WORDS:
            own = ngram_hashes(word_hashes(list(item.words)), NGRAM_WORDS)
            hashes.append(own)
            items.append(np.full(len(own), number))
            places.append(np.arange(len(own)))
    if not hashes:
        return np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.int64)
    every = np.concatenate(hashes)
    order = np.argsort(every, kind="stable")
    return every[order], np.concatenate(items)[order], np.concatenate(places)[order]


def _common_ngrams(
    kind: str, page: Sequence[Any], benchmark: Benchmark, index: NgramIndex
) -> Iterator[dict[str, Any]]:
    """Yield one row per subject and item that have an n-gram of words in common."""
    for subject_id, *texts in page:
        words = split_words("\n".join(texts))
        seen: set[int] = set()
        for place, number in _hits(words, index):
            item = benchmark.items[number]
            ngram = tuple(words[place : place + NGRAM_WORDS])
            if number not in seen and _holds(item.words, ngram):
                seen.add(number)
                yield _row(kind, subject_id, benchmark, item, f"{NGRAM_WORDS}gram", " ".join(ngram))


def _hits(words: list[str], index: NgramIndex) -> Iterator[tuple[int, int]]:
    """Yield positions in `words` whose n-gram has the hash of an item's n-gram, with that item."""
    import numpy as np

    hashes, items, _ = index
    if len(words) < NGRAM_WORDS or not len(hashes):
        return
    own = ngram_hashes(word_hashes(words), NGRAM_WORDS)
    low, high = np.searchsorted(hashes, own, "left"), np.searchsorted(hashes, own, "right")
    for place in np.flatnonzero(high > low).tolist():
        for at in range(low[place], high[place]):
            yield place, int(items[at])


def _holds(words: tuple[str, ...], ngram: tuple[str, ...]) -> bool:
    return any(words[i : i + NGRAM_WORDS] == ngram for i in range(len(words) - NGRAM_WORDS + 1))


# Common answers ------------------------------------------------------------------------------


def _common_answers(store: Database, benchmark: Benchmark) -> Iterator[dict[str, Any]]:
    """Yield one row per sample and item whose output, and input if it has one, are equal values."""
    wanted: dict[str, list[BenchmarkItem]] = {}
    for item in benchmark.items:
        if item.output is not None and (item.input is not None or len(item.output) >= _ENOUGH):
            wanted.setdefault(item.output, []).append(item)
    if not wanted:
        return
    for page in _pages(store, _PAIRS):
        for _, sample_id, given, output in page:
            value = canonical_text(output)
            for item in wanted.get(value, ()):
                if item.input is None or item.input in equivalent_inputs(given):
                    evidence = f"{given} -> {output}"
                    yield _row("sample", sample_id, benchmark, item, "answer", evidence)


# Rows ----------------------------------------------------------------------------------------

_SAMPLE_TEXTS = samples.c.problem_statement, samples.c.io_requirements, samples.c.refcode
_TEXTS: dict[str, Select[Any]] = {
    "sample": select(samples.c.id, *_SAMPLE_TEXTS),
    "source": select(sources.c.id, sources.c.content),
}
_PAIRS = select(io_pairs.c.id, io_pairs.c.sample_id, io_pairs.c.input, io_pairs.c.output)


def _last_id(store: Database, chosen: Select[Any]) -> int:
    with store.read() as connection:
        return connection.scalar(select(func.max(chosen.selected_columns[0]))) or 0


def _pages(store: Database, chosen: Select[Any]) -> Iterator[Sequence[Any]]:
    """Yield the rows of a table in pages by its id, which `chosen` selects first; reads are short."""
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
    kind: str,
    subject_id: int,
    benchmark: Benchmark,
    item: BenchmarkItem,
    method: str,
    evidence: str,
) -> dict[str, Any]:
    return {
        "kind": kind,
        "subject_id": subject_id,
        "benchmark": benchmark.name,
        "item": item.name,
        "method": method,
        "created_at": utc_now(),
        "evidence": evidence[:1000],
    }


def _enter(store: Database, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        unique = {digest("overlap", *map(str, list(row.values())[:5])): row for row in rows}
        with store.write() as connection:
            insert_new(connection, benchmark_overlaps, list(unique.values()))


def _summary(connection: Connection, benchmark: Benchmark, skipped: int) -> OverlapReport:
    own = benchmark_overlaps.c.benchmark == benchmark.name
    counted = connection.execute(
        select(benchmark_overlaps.c.method, func.count(benchmark_overlaps.c.id))
        .where(own)
        .group_by(benchmark_overlaps.c.method)
    )
    marked = select(func.count(func.distinct(benchmark_overlaps.c.subject_id))).where(
        own, benchmark_overlaps.c.kind == "sample"
    )
    by_method = {str(method): int(n) for method, n in counted}
    return OverlapReport(
        benchmark.name,
        len(benchmark.items),
        skipped,
        by_method,
        int(connection.scalar(marked) or 0),
    )
