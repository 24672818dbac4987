"""Compares the pairs of an older store with their questions: fills `pair_checks.shown`.

Decision: page by page, each in a transaction of its own, so an interrupted fill is resumed by the
next. Pairs that are not compared yet are not asked about; afterwards `predict` examines them again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Select, bindparam, select, update

from annoy_store.db.engine import Database
from annoy_store.db.tables import io_pairs, pair_checks, samples
from annoy_store.interfaces import Row
from annoy_store.queue.watermarks import rewind_watermark
from annoy_store.stages import PIPELINE
from annoy_store.tasks.shown import QuestionText, shown_in_question

PAGE = 1000  # checks


def fill_shown(store: Database, progress: Callable[[int], None] = lambda _: None) -> int:
    """Fill `shown` where it is null.

    Args:
        store: The store, at the newest schema.
        progress: Called after each page with the number of pairs compared so far.

    Returns:
        The number of pairs that were compared.
    """
    n_compared, after = 0, 0
    while True:
        with store.read() as connection:
            rows = list(map(dict, connection.execute(_checks_without(after)).mappings()))
        if not rows:
            return n_compared
        found = _compare(rows)
        with store.write() as connection:
            chosen = update(pair_checks).where(pair_checks.c.id == bindparam("check"))
            connection.execute(chosen.values(shown=bindparam("word")), found)
            rewind_watermark(connection, PIPELINE, pair_checks, rows[0]["check_id"])
        after = rows[-1]["check_id"]
        n_compared += len(rows)
        progress(n_compared)


def _checks_without(after: int) -> Select[Any]:
    """The next page of checks of pairs that were not compared."""
    return (
        select(
            pair_checks.c.id.label("check_id"),
            io_pairs.c.sample_id,
            io_pairs.c.input,
            io_pairs.c.output,
            samples.c.problem_statement,
            samples.c.io_requirements,
            samples.c.refcode,
            samples.c.funcname,
        )
        .join(io_pairs, io_pairs.c.id == pair_checks.c.io_pair_id)
        .join(samples, samples.c.id == io_pairs.c.sample_id)
        .where(pair_checks.c.shown.is_(None), pair_checks.c.id > after)
        .order_by(pair_checks.c.id)
        .limit(PAGE)
    )


def _compare(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Compare a page of pairs, those of one sample together."""
    by_sample: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        by_sample[row["sample_id"]].append(row)
    return [
        {"check": row["check_id"], "word": word}
        for pairs in by_sample.values()
        for row, word in zip(
            pairs,
            shown_in_question(
                QuestionText.of(pairs[0]), [(row["input"], row["output"]) for row in pairs]
            ),
            strict=True,
        )
    ]
