"""Check that the sums of a store agree.

    jobs    every subject that a stage has scanned has a job of it
    tokens  tokens of attempts = tokens of attempts that gave an answer + tokens of those that did
            not
    costs   the view of costs counts every attempt once
    exports every export has as many rows as it says

Each imbalance has a count, an example, and advice. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, case, exists, func, select, text

from annoy_store.db.tables import attempts, export_rows, exports, jobs, responses, teachers
from annoy_store.queue.counters import NO_WORKER
from annoy_store.queue.enqueue import count_missed
from annoy_store.records.policy import load_policy
from annoy_store.stages import PIPELINE

TOKEN_COLUMNS = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")


@dataclass(frozen=True)
class Imbalance:
    """Numbers that do not agree.

    Attributes:
        what: Description.
        table: Table.
        n: Number of rows.
        example: One of them.
        hint: What to do about it.
    """

    what: str
    table: str
    n: int
    example: str
    hint: str


@dataclass(frozen=True)
class TokenTotals:
    """Token counts by column of `attempts`.

    Attributes:
        tried: Of all attempts.
        answered: Of attempts whose answer is stored.
        wasted: Of the other attempts.
    """

    tried: dict[str, int]
    answered: dict[str, int]
    wasted: dict[str, int]


def reconcile(connection: Connection) -> list[Imbalance]:
    """Return the imbalances of a store; empty if there are none."""
    return [
        *_missed(connection),
        *_unpaid_and_lost(connection),
        *_costs(connection),
        *_exports(connection),
    ]


def _missed(connection: Connection) -> Iterator[Imbalance]:
    """In = done + rejected + failed + open: subjects that were scanned and have no job."""
    policy = load_policy(connection)
    for stage in PIPELINE:
        n, example = count_missed(connection, stage, policy)
        if n:
            yield Imbalance(
                f"{stage.name} skipped rows that it should process",
                "jobs",
                n,
                f"{stage.name} of subject {example}",
                f"annoy rerun {stage.name}",
            )


# Tokens --------------------------------------------------------------------------------------

_OK = attempts.c.status == "ok"
_HERE = exists().where(responses.c.call_id == attempts.c.call_id)
_GAVE = and_(_OK, _HERE)
_MADE_HERE = attempts.c.worker_id != NO_WORKER
_IMPORTED = select(teachers.c.id).where(teachers.c.backend == "imported")


def count_paid_twice(connection: Connection) -> int:
    """Return how many answers were paid for in two stores before these were merged."""
    each = select(attempts.c.call_id).where(_OK).group_by(attempts.c.call_id)
    return _counted(connection, each.having(func.count() > 1))[0]


def token_totals(connection: Connection) -> TokenTotals:
    """Sum the tokens of attempts: all, those with an answer, and the rest."""
    gave = case((_GAVE, 1), else_=0).label("gave")
    used = select(gave, *(attempts.c[name] for name in TOKEN_COLUMNS)).subquery()
    sums = [func.coalesce(func.sum(used.c[name]), 0) for name in TOKEN_COLUMNS]
    rows = connection.execute(select(used.c.gave, *sums).group_by(used.c.gave)).all()
    by = {row[0]: dict(zip(TOKEN_COLUMNS, map(int, row[1:]), strict=True)) for row in rows}
    zero = dict.fromkeys(TOKEN_COLUMNS, 0)
    answered, wasted = by.get(1, zero), by.get(0, zero)
    tried = connection.execute(
        select(*(func.coalesce(func.sum(attempts.c[name]), 0) for name in TOKEN_COLUMNS))
    ).one()
    return TokenTotals(dict(zip(TOKEN_COLUMNS, map(int, tried), strict=True)), answered, wasted)


def _unpaid_and_lost(connection: Connection) -> Iterator[Imbalance]:
    """An attempt that gave an answer has one response, and each response one such attempt.

    An answer that two stores got alike has an attempt of each after a merge; those of another store
    are of no worker of this one. An imported answer has none of its own.
    """
    each = select(attempts.c.call_id).where(_OK, _MADE_HERE).group_by(attempts.c.call_id)
    twice = each.having(func.count() > 1)
    done = exists().where(
        jobs.c.stage == "complete", jobs.c.subject_id == attempts.c.call_id, jobs.c.state == "done"
    )
    lost = select(attempts.c.call_id).where(_OK, ~_HERE, done).distinct()
    unpaid = (
        select(responses.c.call_id)
        .where(exists().where(attempts.c.call_id == responses.c.call_id))
        .where(~exists().where(attempts.c.call_id == responses.c.call_id, _OK))
        .where(responses.c.teacher_id.not_in(_IMPORTED))
    )
    backup = "rows were changed by hand; restore a backup"
    for chosen, what in (
        (twice, "calls with more than one successful attempt"),
        (lost, "calls with a successful attempt but no response"),
        (unpaid, "responses without a successful attempt"),
    ):
        n, example = _counted(connection, chosen)
        if n:
            yield Imbalance(what, "attempts", n, f"call {example}", backup)
    used = token_totals(connection)
    off = [k for k in TOKEN_COLUMNS if used.tried[k] != used.answered[k] + used.wasted[k]]
    if off:
        yield Imbalance("token sums do not agree", "attempts", len(off), ", ".join(off), backup)


def _counted(connection: Connection, chosen: Select[Any]) -> tuple[int, int | None]:
    found = chosen.subquery()
    row = connection.execute(select(func.count(), func.min(next(iter(found.c))))).one()
    return int(row[0]), row[1]


def _costs(connection: Connection) -> Iterator[Imbalance]:
    counted = connection.scalar(text("SELECT COALESCE(SUM(attempts), 0) FROM v_cost"))
    there = connection.scalar(select(func.count()).select_from(attempts))
    if int(counted or 0) != int(there or 0):
        yield Imbalance(
            "attempts are missing from the costs",
            "attempts",
            abs(int(there or 0) - int(counted or 0)),
            f"{there} attempts, {counted} in v_cost",
            "rows were deleted by hand; restore a backup",
        )


def _exports(connection: Connection) -> Iterator[Imbalance]:
    rows = (
        select(func.count())
        .where(export_rows.c.export_id == exports.c.id)
        .correlate(exports)
        .scalar_subquery()
    )
    chosen = select(exports.c.id, exports.c.n_rows, rows.label("there")).subquery()
    wrong = select(chosen).where(chosen.c.n_rows != chosen.c.there)
    found = connection.execute(wrong).all()
    if found:
        first = found[0]
        yield Imbalance(
            "exports with a wrong number of rows",
            "exports",
            len(found),
            f"export {first[0]}: {first[2]} of {first[1]}",
            "export again",
        )
