"""Reserves pending calls for a batch: until it ends, nothing else sends them.

Decisions
- Rows come first: what is submitted later, and lost on the way, is known by them. A call is open
  in one batch at most, which the database ensures.
- A batch has at most 50,000 lines and 200 MB, as providers require, and one model.
- Budgets reserve the maximum cost of every line before it is added. Calls beyond a budget stay
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
from annoy_store.stages.complete import STAGE, build_request, unwanted_call

MAX_LINES = 50_000
MAX_BYTES = 200_000_000
PAGE = 1_000
WAITING = Outcome("deferred", (), IN_BATCH)


@dataclass(frozen=True)
class BatchDraft:
    """A batch that is being filled with calls.

    Attributes:
        teacher_id: The teacher that answers, a row of `teachers`.
        teacher: Builds the request bodies.
        state: The state of the batch's row: `bound` or `exported`.
        variants: Variants of `complete` whose calls the teacher answers.
        caps: The budgets to keep to, by name.
        max_lines: How many calls it may have.
        name: The store's name of the batch.
        batch_id: Its row, 0 before it has one.
        n_lines: How many calls it has by now.
        n_bytes: The size of its input file by now.
        is_full: Whether no more calls can or should be added.
        exhausted_budget: The budget that allows no more calls, if one is reached.
    """

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
    exhausted_budget: str | None = None


@dataclass(frozen=True)
class _DraftLine:
    claim: Claim
    size: int
    tokens: int


def new_batch_name() -> str:
    """Return a random name that no other batch of any store has."""
    return secrets.token_hex(6)


def answerable_variants(
    context: BatchContext, answers: Callable[[Mapping[str, object]], bool]
) -> list[int]:
    """Return the variants of `complete` whose partition fulfils `answers`."""
    partitions = context.plan.partitions[STAGE.key]
    return [p.variant_id for p in partitions if answers(p.columns)]


def reserve_calls(
    context: BatchContext, draft: BatchDraft, is_stopping: Callable[[], bool]
) -> BatchDraft:
    """Add pending calls to a batch until it is full, no call is left, or the run stops.

    Args:
        context: The store and the worker.
        draft: The batch, empty or begun.
        is_stopping: Returns whether to stop.

    Returns:
        The batch with its calls; `batch_id` is 0 if there is none.

    Raises:
        LeaseLost: Other workers have declared this one dead.
    """
    while not draft.is_full and not is_stopping():
        draft = context.transact(partial(_reserve_page, context=context, draft=draft))
    return draft


def _reserve_page(connection: Connection, context: BatchContext, draft: BatchDraft) -> BatchDraft:
    """Add one page of calls, all in one transaction."""
    wanted = min(PAGE, draft.max_lines - draft.n_lines)
    claims = _claim(connection, context.worker_id, draft.variants, wanted)
    rows = job_claims.load_rows(connection, context.plan, STAGE, claims)
    in_batches = _in_open_batches(connection, [c.subject_id for c in claims])
    unwanted = {c: out for c in claims if (out := unwanted_call(rows.get(c.subject_id)))}
    new = [c for c in claims if c not in unwanted and c.subject_id not in in_batches]
    lines = [_draft_line(c, rows[c.subject_id], draft) for c in new]
    n_fitting, exhausted = _n_fitting(connection, context, draft, lines)
    added, back = lines[:n_fitting], lines[n_fitting:]
    jobs.release(connection, context.worker_id, [line.claim for line in back])
    results = [JobResult(c, outcome) for c, outcome in unwanted.items()]
    waiting = [line.claim for line in added] + [
        c for c in claims if c.subject_id in in_batches and c not in unwanted
    ]
    results += [JobResult(c, WAITING, None) for c in waiting]
    jobs.settle(connection, context.worker_id, results, context.plan)
    n_lines = draft.n_lines + len(added)
    return replace(
        draft,
        batch_id=_insert_items(connection, context, draft, added) if added else draft.batch_id,
        n_lines=n_lines,
        n_bytes=draft.n_bytes + sum(line.size for line in added),
        is_full=bool(back) or len(claims) < wanted or n_lines >= draft.max_lines,
        exhausted_budget=exhausted,
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
    """Return the calls that are in a batch already: enqueued twice, they wait for one answer."""
    chosen = select(batch_items.c.call_id).where(batch_items.c.is_open == 1)
    return {row.call_id for row in rows_of_calls(chosen, connection, calls)}


def _draft_line(claim: Claim, row: Row, draft: BatchDraft) -> _DraftLine:
    request = build_request(row)
    line = request_line(draft.name, request.call_id, draft.teacher.encode(request))
    return _DraftLine(claim, len(line), max_prompt_tokens(request))


def _n_fitting(
    connection: Connection, context: BatchContext, draft: BatchDraft, lines: Sequence[_DraftLine]
) -> tuple[int, str | None]:
    """Return how many lines the file and the budgets allow, and which budget allows no more."""
    sizes = accumulate(line.size for line in lines)
    n_fitting = sum(draft.n_bytes + size <= MAX_BYTES for size in sizes)
    exhausted = None
    for name in draft.caps:
        price = batch_price(connection, name, draft.teacher.identity.model)
        left = remaining_budget(connection, name)
        costs = accumulate(price.cost(line.tokens, 0, context.max_tokens) for line in lines)
        n_affordable = sum(cost <= left for cost in costs)
        if n_affordable < n_fitting:
            n_fitting, exhausted = n_affordable, name
    return n_fitting, exhausted


def _insert_items(
    connection: Connection, context: BatchContext, draft: BatchDraft, lines: Sequence[_DraftLine]
) -> int:
    """Insert the rows of a batch's calls and reserve their maximum cost; return the batch's id."""
    batch_id = draft.batch_id or _insert_batch(connection, context, draft)
    prompt = sum(line.tokens for line in lines)
    completion = context.max_tokens * len(lines)
    connection.execute(
        batches.update()
        .where(batches.c.id == batch_id)
        .values(
            n_calls=batches.c.n_calls + len(lines),
            prompt_tokens=batches.c.prompt_tokens + prompt,
            completion_tokens=batches.c.completion_tokens + completion,
        )
    )
    items = [
        {"batch_id": batch_id, "call_id": line.claim.subject_id, "is_open": 1} for line in lines
    ]
    connection.execute(insert(batch_items), items)
    for name in connection.scalars(select(budgets.c.name)).all():
        price = batch_price(connection, name, draft.teacher.identity.model)
        adjust_budget(connection, name, reserved=price.cost(prompt, 0, completion))
    return batch_id


def _insert_batch(connection: Connection, context: BatchContext, draft: BatchDraft) -> int:
    row = {
        "name": draft.name,
        "teacher_id": draft.teacher_id,
        "worker_id": context.worker_id,
        "state": draft.state,
        "created_at": utc_now(),
    }
    connection.execute(insert(batches).values(**row))
    (batch,) = find_batches(connection, batches.c.name == draft.name)
    return batch.id


def write_requests(
    context: BatchContext, batch: BatchRow, teacher: BatchTeacher, path: Path
) -> int:
    """Write the input file of a batch.

    A call that is not wanted any more (its source was taken down) leaves the batch.

    Args:
        context: The store and the worker.
        batch: The batch.
        teacher: Builds the request bodies.
        path: The file to write.

    Returns:
        How many lines it has.

    Raises:
        OSError: The file cannot be written.
    """
    n = 0
    with path.open("wb") as file:
        for line in _request_lines(context, batch, teacher):
            file.write(line)
            n += 1
    return n


def _request_lines(
    context: BatchContext, batch: BatchRow, teacher: BatchTeacher
) -> Iterator[bytes]:
    for calls in open_call_pages(context.store, batch.id):
        with context.store.read() as connection:
            rows = job_claims.select_rows(connection, context.plan, STAGE, calls)
        if gone := [call for call in calls if call not in rows]:
            context.transact(partial(_drop_calls, context=context, batch=batch, calls=gone))
        for call in calls:
            if call in rows:
                yield request_line(batch.name, call, teacher.encode(build_request(rows[call])))


def _drop_calls(
    connection: Connection, context: BatchContext, batch: BatchRow, calls: Sequence[int]
) -> None:
    claims = job_claims.claim_batched(connection, context.worker_id, STAGE.name, calls)
    results = [JobResult(claim, rejected("not_wanted")) for claim in claims]
    jobs.settle(connection, context.worker_id, results, context.plan)
    close_items(connection, batch.id, calls)
