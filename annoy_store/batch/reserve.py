"""Pending calls become the calls of a batch, and are nobody else's until it ends.

Decisions
- Rows come first: what is handed in later, and lost on the way, is known by them. A call is open
  in one batch at most; the database sees to that.
- A batch has at most 50,000 lines and 200 MB, as providers want it, and one model.
- A budget pays the worst case of every line before it is bound. What it does not pay for stays
  pending.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from pathlib import Path

from sqlalchemy import Connection, insert, select

from annoy_store.batch.jsonl import request_line
from annoy_store.batch.rows import (
    BatchContext,
    BatchRow,
    close_items,
    find_batches,
    open_call_pages,
    rows_of_calls,
)
from annoy_store.db.tables import batch_items, batches, budgets
from annoy_store.db.timestamps import utc_now
from annoy_store.inference.backends.batch import BatchTeacher
from annoy_store.inference.budgeted_backend import max_prompt_tokens
from annoy_store.inference.budgets import adjust_budget, batch_price, remaining_budget
from annoy_store.interfaces import Outcome, Row, rejected
from annoy_store.queue import claims as job_claims
from annoy_store.queue import jobs
from annoy_store.queue.jobs import IN_BATCH, Claim, JobResult
from annoy_store.stages.complete import STAGE, build_request

MAX_LINES = 50_000
MAX_BYTES = 200_000_000
PAGE = 1_000
NOT_WANTED = rejected("not_wanted")
WAITING = Outcome("deferred", (), IN_BATCH)


@dataclass(frozen=True)
class BatchDraft:
    """What one batch is filled from and with, and what it has by now."""

    teacher_id: int
    teacher: BatchTeacher
    state: str
    variants: Sequence[int]
    caps: Mapping[str, float]
    max_lines: int
    name: str
    batch_id: int = 0
    n_lines: int = 0
    n_bytes: int = 0
    is_full: bool = False
    exhausted_budget: str | None = None  # the budget that allows no more


@dataclass(frozen=True)
class _DraftLine:
    claim: Claim
    size: int
    tokens: int


def new_batch_name() -> str:
    """Name a batch as no other batch of any store is."""
    return secrets.token_hex(6)


def answerable_variants(
    office: BatchContext, answers: Callable[[Mapping[str, object]], bool]
) -> list[int]:
    """The variants of calls whose case a teacher answers."""
    return [c.variant_id for c in office.plan.partitions[STAGE.name] if answers(c.columns)]


def reserve_calls(
    office: BatchContext, filling: BatchDraft, stopped: Callable[[], bool]
) -> BatchDraft:
    """Bind pending calls until the batch is full, nothing is left, or we are stopped."""
    while not filling.is_full and not stopped():
        filling = office.transact(partial(_reserve_page, office=office, filling=filling))
    return filling


def _reserve_page(connection: Connection, office: BatchContext, filling: BatchDraft) -> BatchDraft:
    """Bind one page of calls, all in one transaction."""
    asked = min(PAGE, filling.max_lines - filling.n_lines)
    claims = _claim(connection, office.worker_id, filling.variants, asked)
    rows = job_claims.load_rows(connection, office.plan, STAGE, claims)
    gone = [c for c in claims if c.subject_id not in rows]
    twins = _in_open_batches(connection, [c.subject_id for c in claims])
    there = [c for c in claims if c.subject_id in rows and c.subject_id not in twins]
    lines = [_draft_line(c, rows[c.subject_id], filling) for c in there]
    fits, reached = _n_fitting(connection, office, filling, lines)
    bound, back = lines[:fits], lines[fits:]
    jobs.release(connection, office.worker_id, [line.claim for line in back])
    ended = [JobResult(c, NOT_WANTED) for c in gone]
    waiting = [line.claim for line in bound] + [c for c in claims if c.subject_id in twins]
    ended += [JobResult(c, WAITING, None) for c in waiting]
    jobs.settle(connection, office.worker_id, ended, office.plan)
    batch_id = _insert_items(connection, office, filling, bound) if bound else filling.batch_id
    lines_now = filling.n_lines + len(bound)
    return replace(
        filling,
        batch_id=batch_id,
        n_lines=lines_now,
        n_bytes=filling.n_bytes + sum(line.size for line in bound),
        is_full=bool(back) or len(claims) < asked or lines_now >= filling.max_lines,
        exhausted_budget=reached,
    )


def _claim(
    connection: Connection, worker_id: int, variants: Sequence[int], most: int
) -> list[Claim]:
    claims: list[Claim] = []
    for take in (job_claims.claim_suspects, job_claims.claim):
        for variant_id in variants:
            if left := most - len(claims):
                claims += take(connection, worker_id, STAGE.name, variant_id, left)
    return claims


def _in_open_batches(connection: Connection, calls: Sequence[int]) -> set[int]:
    """The calls that are in a batch already: planned twice, they wait for one answer."""
    chosen = select(batch_items.c.call_id).where(batch_items.c.is_open == 1)
    return {row.call_id for row in rows_of_calls(chosen, connection, calls)}


def _draft_line(claim: Claim, row: Row, filling: BatchDraft) -> _DraftLine:
    request = build_request(row)
    line = request_line(filling.name, request.call_id, filling.teacher.encode(request))
    return _DraftLine(claim, len(line), max_prompt_tokens(request))


def _n_fitting(
    connection: Connection, office: BatchContext, filling: BatchDraft, lines: Sequence[_DraftLine]
) -> tuple[int, str | None]:
    """How many of the lines the file and the budgets have room for, and which budget has not."""
    sizes = accumulate(line.size for line in lines)
    fits, reached = sum(filling.n_bytes + size <= MAX_BYTES for size in sizes), None
    for name in filling.caps:
        price = batch_price(connection, name, filling.teacher.identity.model)
        left = remaining_budget(connection, name)
        costs = accumulate(price.cost(line.tokens, 0, office.max_tokens) for line in lines)
        paid = sum(cost <= left for cost in costs)
        if paid < fits:
            fits, reached = paid, name
    return fits, reached


def _insert_items(
    connection: Connection, office: BatchContext, filling: BatchDraft, bound: Sequence[_DraftLine]
) -> int:
    """Write which calls a batch has, and set aside what they may cost."""
    batch_id = filling.batch_id or _insert_batch(connection, office, filling)
    prompt = sum(line.tokens for line in bound)
    completion = office.max_tokens * len(bound)
    connection.execute(
        batches.update()
        .where(batches.c.id == batch_id)
        .values(
            n_calls=batches.c.n_calls + len(bound),
            prompt_tokens=batches.c.prompt_tokens + prompt,
            completion_tokens=batches.c.completion_tokens + completion,
        )
    )
    items = [
        {"batch_id": batch_id, "call_id": line.claim.subject_id, "is_open": 1} for line in bound
    ]
    connection.execute(insert(batch_items), items)
    for name in connection.scalars(select(budgets.c.name)).all():
        price = batch_price(connection, name, filling.teacher.identity.model)
        adjust_budget(connection, name, reserved=price.cost(prompt, 0, completion))
    return batch_id


def _insert_batch(connection: Connection, office: BatchContext, filling: BatchDraft) -> int:
    row = {
        "name": filling.name,
        "teacher_id": filling.teacher_id,
        "worker_id": office.worker_id,
        "state": filling.state,
        "created_at": utc_now(),
    }
    connection.execute(insert(batches).values(**row))
    (batch,) = find_batches(connection, batches.c.name == filling.name)
    return batch.id


# The file ------------------------------------------------------------------------------------


def write_requests(office: BatchContext, batch: BatchRow, teacher: BatchTeacher, path: Path) -> int:
    """Write the file of a batch; return how many lines it has.

    A call that is not wanted any more (its source was taken down) leaves the batch.
    """
    n = 0
    with path.open("wb") as file:
        for line in _request_lines(office, batch, teacher):
            file.write(line)
            n += 1
    return n


def _request_lines(office: BatchContext, batch: BatchRow, teacher: BatchTeacher) -> Iterator[bytes]:
    for calls in open_call_pages(office.store, batch.id):
        with office.store.read() as connection:
            rows = job_claims.select_rows(connection, office.plan, STAGE, calls)
        if gone := [call for call in calls if call not in rows]:
            office.transact(partial(_drop_calls, office=office, batch=batch, calls=gone))
        for call in calls:
            if call in rows:
                yield request_line(batch.name, call, teacher.encode(build_request(rows[call])))


def _drop_calls(
    connection: Connection, office: BatchContext, batch: BatchRow, calls: Sequence[int]
) -> None:
    claims = job_claims.claim_batched(connection, office.worker_id, STAGE.name, calls)
    ended = [JobResult(claim, NOT_WANTED) for claim in claims]
    jobs.settle(connection, office.worker_id, ended, office.plan)
    close_items(connection, batch.id, calls)
