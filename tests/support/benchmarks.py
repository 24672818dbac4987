"""Small benchmarks and answers to them."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import insert, select

from annoy_store.benchmark.answers import (
    ScoredAnswer,
)
from annoy_store.benchmark.build import (
    BenchmarkQuestion,
)
from annoy_store.benchmark.score import score_answer
from annoy_store.config import DEFAULT_SPLIT_SALT
from annoy_store.db.engine import Database
from annoy_store.db.tables import pair_checks, samples, splits, variants
from annoy_store.interfaces import Completion, NewRow
from tests.support.factories import NOW, io_pair, sample, write_all


def fill(store: Database, lines: tuple[int, ...] = (10, 20, 30)) -> None:
    """Two samples of three and two stable pairs; the first one is in split test."""
    variant = NewRow(variants, {"stage": "generate", "digest": "v", "description": "", "active": 1})
    first, second = sample(), sample("def main_solution(x):\n    return x + 1\n")
    pairs = [io_pair(first, {"x": n}, 2 * n, n) for n in range(len(lines))]
    pairs += [io_pair(second, {"x": n}, n + 1, n) for n in range(2)]
    checks = [
        NewRow(
            pair_checks,
            {
                "io_pair_id": p,
                "variant_id": variant,
                "status": "stable",
                "execution_id": None,
                "lines_executed": n,
                "shown": "no",
            },
        )
        for p, n in zip(pairs, (*lines, 5, None), strict=True)
    ]
    with store.write() as connection:
        write_all(connection, [*pairs, *checks])
        number = connection.scalar(
            select(samples.c.id).where(samples.c.digest == first.values["digest"])
        )
        row = {
            "salt": DEFAULT_SPLIT_SALT,
            "sample_id": number,
            "split": "test",
            "bucket": 0,
            "cluster": "c",
        }
        connection.execute(insert(splits).values({**row, "created_at": NOW}))


def item(
    problem: str = "p", case: int = 0, output: Any = 4, band: Any = "easy", cases: int = 2
) -> BenchmarkQuestion:
    asked = [{"role": "user", "content": f"{problem} {case}"}]
    return BenchmarkQuestion(
        f"{problem}-{case}", problem, case, cases, band, asked, json.dumps(output)
    )


def items_of(problem: str, cases: int, band: str = "easy") -> list[BenchmarkQuestion]:
    return [item(problem, n, band=band, cases=cases) for n in range(cases)]


def scored(*rights: bool | None, problem: str = "p", band: str = "easy") -> list[ScoredAnswer]:
    """Answers to the cases of a problem; None for one that failed."""
    return [
        score_answer(asked, Completion(f'{{"output": {4 if right else 5}}}'), {"model": "m"})
        for asked, right in zip(items_of(problem, len(rights), band), rights, strict=True)
        if right is not None
    ]
