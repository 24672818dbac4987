"""Imports result lines of a batch: each an attempt, each answer a response, each job finished.

Decisions
- A page of lines is one transaction with the jobs that it finishes and the items that it closes, so
  a line that was imported is never imported again, even if the file is read a second time.
- A line that a model or its server spoiled counts as a try, 429 as well: only the provider
  controls the rate of these calls. A line that was not processed, and a file that was refused, count
  as none.
- What was paid for is kept. A line whose call waits no longer is still an attempt; one whose call
  returned to pending is still its answer.
- An error that means that no call can succeed (key, model, money) fails no call: it stops the run.
  So does a refusal that many lines share while no line of the batch is an answer (refusals.py).
"""

from __future__ import annotations

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select, update

from annoy_store.batch.jsonl import ResultLine
from annoy_store.batch.rows import (
    PAGE,
    BatchContext,
    BatchRow,
    close_items,
    end_batch,
    open_calls,
    rows_of_calls,
)
from annoy_store.db.insert import insert_rows
from annoy_store.db.sql import in_parameter
from annoy_store.db.tables import attempts, batch_items, batches, budgets, responses, teachers
from annoy_store.inference.budgets import adjust_budget, batch_price
from annoy_store.inference.client.errors import CallError
from annoy_store.inference.client.parameters import (
    KEPT_FIELDS,
    LENGTH_FIELDS,
    SENT_FIELDS,
    refused_fields,
)
from annoy_store.inference.client.refusals import is_endpoint_fault
from annoy_store.inference.client.retry import MAX_PAID_REPLIES
from annoy_store.interfaces import Attempt, CallResult, Completion, NewRow, Outcome, failed
from annoy_store.queue import claims as job_claims
from annoy_store.queue import jobs
from annoy_store.queue.jobs import Claim, JobResult
from annoy_store.records.teachers import join_omitted
from annoy_store.stages.complete import STAGE, attempt_rows, build_outcome

logger = logging.getLogger(__name__)

BACK_TO_PENDING = Outcome("pending")
OUTPUT_GONE = failed(
    "batch_output_gone", detail="the provider has deleted the results of this batch"
)


@dataclass(frozen=True)
class ImportedPage:
    """What became of some lines.

    Attributes:
        job_states: How many calls ended in which job state.
        lines: How many lines were imported.
        stop_reason: Why no call can succeed, if a line reports it.
    """

    job_states: Counter[str]
    lines: int = 0
    stop_reason: str | None = None


@dataclass(frozen=True)
class _LineOutcome:
    """One line and what it means: how its call ends, the attempt, and whether it is a try."""

    call_id: int
    outcome: Outcome
    attempt: Attempt
    counts_as_try: bool = False
    stop_reason: str | None = None


def import_results_page(
    context: BatchContext, batch: BatchRow, lines: Sequence[ResultLine]
) -> ImportedPage:
    """Import results of a batch in one transaction.

    Args:
        context: The store and the worker.
        batch: The batch.
        lines: The results; those that are known or belong to another batch are left alone.

    Returns:
        What became of them.

    Raises:
        LeaseLost: Other workers have declared this one dead.
    """
    ours = {line.call_id: line for line in reversed(lines) if line.batch_name == batch.name}
    return context.transact(lambda c: _import_page(c, context, batch, ours))


def _import_page(
    connection: Connection, context: BatchContext, batch: BatchRow, lines: dict[int, ResultLine]
) -> ImportedPage:
    importable = _importable_calls(connection, batch, list(lines))
    _omit_refused(connection, batch, [lines[call].result for call in importable])
    _mark_endpoint_fault(connection, batch, [lines[call].result for call in importable])
    tries_before = _counted_tries(connection, importable)
    paid_before = _paid_replies(connection, importable)
    outcomes = [
        _interpret(lines[call], batch, context, tries_before[call], paid_before[call])
        for call in importable
    ]
    claims = _claims(connection, context, importable)
    results = [r for o in outcomes for r in _job_results(o.outcome, claims[o.call_id])]
    jobs.settle(connection, context.worker_id, results, context.plan)
    late = [o for o in outcomes if not claims[o.call_id]]
    insert_rows(connection, [row for o in late for row in _attempt_rows(o, batch, context)])
    _close_items(connection, batch, outcomes)
    _record_cost(connection, batch, [o.attempt for o in outcomes])
    states: Counter[str] = Counter(o.outcome.state for o in outcomes if claims[o.call_id])
    stop_reason = next((o.stop_reason for o in outcomes if o.stop_reason), None)
    return ImportedPage(states, len(outcomes), stop_reason)


def _omit_refused(
    connection: Connection, batch: BatchRow, results: Sequence[Completion | CallError]
) -> None:
    """Leave out request fields that lines refuse by name from the next batches.

    Such a line counts as a try, which bounds how often a field is refused all the same.
    """
    chosen = select(teachers.c.parameters).where(teachers.c.id == batch.teacher_id)
    sent = {*SENT_FIELDS, *json.loads(connection.scalar(chosen) or "{}")}
    refused = set()
    for error in results:
        if isinstance(error, CallError):
            names = set(refused_fields(error.status or 0, error.details, sent))
            if names and not names & (KEPT_FIELDS - {*LENGTH_FIELDS}):
                error.kind = "omitted"
                refused |= names
    if refused:
        logger.warning(
            "%s refuses %s for %s: left out from now on",
            batch.base_url, ", ".join(sorted(refused)), batch.model,
        )  # fmt: skip
        join_omitted(connection, batch.teacher_id, refused)


def _mark_endpoint_fault(
    connection: Connection, batch: BatchRow, results: Sequence[Completion | CallError]
) -> None:
    """Turn refusals into errors that stop the run, if they are the endpoint's fault."""
    answered = select(batches.c.n_answered).where(batches.c.id == batch.id)
    refusals = [r for r in results if isinstance(r, CallError) and r.kind == "refused"]
    if any(isinstance(r, Completion) for r in results) or connection.scalar(answered):
        return
    if is_endpoint_fault(error.likeness for error in refusals):
        for error in refusals:
            error.kind = "stop"


def _importable_calls(connection: Connection, batch: BatchRow, calls: Sequence[int]) -> list[int]:
    """Return the calls that this batch has to answer, or had and that have no answer elsewhere."""
    mine = select(batch_items.c.call_id, batch_items.c.is_open).with_for_update()
    items = rows_of_calls(mine.where(batch_items.c.batch_id == batch.id), connection, calls)
    closed = [row.call_id for row in items if not row.is_open]
    in_batches = select(batch_items.c.call_id).where(batch_items.c.is_open == 1)
    excluded = {row.call_id for row in rows_of_calls(in_batches, connection, closed)}
    answered = select(responses.c.call_id).where(in_parameter(responses.c.call_id, "of_calls"))
    excluded |= set(connection.scalars(answered, {"of_calls": closed}))
    excluded |= _already_read(connection, batch, closed)
    return sorted(row.call_id for row in items if row.call_id not in excluded)


def _already_read(connection: Connection, batch: BatchRow, closed: Sequence[int]) -> set[int]:
    """Return the calls whose line was imported: only one released without it may come late."""
    read = select(batch_items.c.call_id).where(
        batch_items.c.batch_id == batch.id, batch_items.c.is_read == 1
    )
    return {row.call_id for row in rows_of_calls(read, connection, closed)}


def _counted_tries(connection: Connection, calls: Sequence[int]) -> Counter[int]:
    """Return how many counted tries calls have had in batches."""
    each = select(batch_items.c.call_id, func.sum(batch_items.c.n_tries).label("n"))
    rows = rows_of_calls(each.group_by(batch_items.c.call_id), connection, calls)
    return Counter({row.call_id: int(row.n) for row in rows})


def _paid_replies(connection: Connection, calls: Sequence[int]) -> Counter[int]:
    """Return how many replies to calls were paid for and are no whole answer."""
    each = select(attempts.c.call_id, func.count().label("n")).where(attempts.c.text.is_not(None))
    rows = connection.execute(
        each.where(in_parameter(attempts.c.call_id, "of_calls")).group_by(attempts.c.call_id),
        {"of_calls": calls},
    )
    return Counter({row.call_id: int(row.n) for row in rows})


def _claims(
    connection: Connection, context: BatchContext, calls: Sequence[int]
) -> dict[int, list[Claim]]:
    claims: dict[int, list[Claim]] = defaultdict(list)
    for claim in job_claims.claim_batched(connection, context.worker_id, STAGE.name, calls):
        claims[claim.subject_id].append(claim)
    return claims


def _job_results(outcome: Outcome, claims: Sequence[Claim]) -> Iterable[JobResult]:
    """Return the results of all jobs of a call; its rows are written with the first."""
    bare = Outcome(outcome.state, (), outcome.reason, outcome.detail)
    return [JobResult(claim, bare if i else outcome) for i, claim in enumerate(claims)]


def _close_items(connection: Connection, batch: BatchRow, outcomes: Sequence[_LineOutcome]) -> None:
    """Close items and count their tries; calls that have failed begin again when retried."""
    calls = [o.call_id for o in outcomes]
    close_items(connection, batch.id, calls)
    counted = [o.call_id for o in outcomes if o.counts_as_try]
    given_up = [o.call_id for o in outcomes if o.outcome.state == "failed"]
    mine = batch_items.c.batch_id == batch.id
    change = update(batch_items).where(in_parameter(batch_items.c.call_id, "of_calls"))
    connection.execute(change.where(mine).values(is_read=1), {"of_calls": calls})
    connection.execute(change.where(mine).values(n_tries=1), {"of_calls": counted})
    connection.execute(change.values(n_tries=0), {"of_calls": given_up})
    n_done = sum(o.outcome.state == "done" for o in outcomes)
    connection.execute(
        update(batches)
        .where(batches.c.id == batch.id)
        .values(
            n_answered=batches.c.n_answered + n_done,
            n_failed=batches.c.n_failed + len(outcomes) - n_done,
        )
    )


def _record_cost(connection: Connection, batch: BatchRow, attempts: Sequence[Attempt]) -> None:
    """Add the cost of attempts to all budgets."""
    prompt = sum(a.prompt_tokens or 0 for a in attempts)
    cached = sum(a.cached_tokens or 0 for a in attempts)
    completion = sum(a.completion_tokens or 0 for a in attempts)
    for name in connection.scalars(select(budgets.c.name)).all():
        price = batch_price(connection, name, batch.model)
        adjust_budget(connection, name, used=price.cost(prompt, cached, completion))


# The meaning of a line -----------------------------------------------------------------------


def _interpret(
    line: ResultLine, batch: BatchRow, context: BatchContext, tries_before: int, paid_before: int
) -> _LineOutcome:
    """Return what one line means for its call.

    Args:
        line: The line.
        batch: The batch that it belongs to.
        context: The store and the worker.
        tries_before: How many counted tries the call has had.
        paid_before: How many replies to it were paid for and are no whole answer.
    """
    ids = _teacher_and_worker(batch, context)
    if isinstance(line.result, Completion):
        attempt = _attempt(line, batch, "ok")
        answer = CallResult("answered", (attempt,), line.result)
        return _LineOutcome(line.call_id, build_outcome(answer, line.call_id, *ids), attempt)
    error = line.result
    counts = line.is_processed and error.is_retryable
    paid = error.answer is not None and paid_before + 1 >= MAX_PAID_REPLIES
    given_up = counts and (paid or tries_before + 1 >= context.tries)
    if given_up and error.answer and error.answer.says_anything:
        attempt = replace(_attempt(line, batch, "ok"), text=None, reasoning=None)
        answer = CallResult("answered", (attempt,), error.answer)
        return _LineOutcome(line.call_id, build_outcome(answer, line.call_id, *ids), attempt)
    attempt = _attempt(line, batch, _status(error, line.is_processed, given_up))
    stop_reason = error.reason if error.kind == "stop" else None
    if not given_up and (error.is_retryable or stop_reason):
        back = Outcome("pending", attempt_rows((attempt,), line.call_id, *ids))
        return _LineOutcome(line.call_id, back, attempt, counts, stop_reason)
    result = CallResult(
        "rejected" if error.is_about_prompt else "failed",
        (attempt,),
        reason=error.name,
        detail=error.message or None,
    )
    return _LineOutcome(line.call_id, build_outcome(result, line.call_id, *ids), attempt, counts)


def _teacher_and_worker(batch: BatchRow, context: BatchContext) -> tuple[int, int]:
    return batch.teacher_id, context.worker_id


def _attempt_rows(
    outcome: _LineOutcome, batch: BatchRow, context: BatchContext
) -> tuple[NewRow, ...]:
    return attempt_rows((outcome.attempt,), outcome.call_id, *_teacher_and_worker(batch, context))


def _status(error: CallError, is_processed: bool, given_up: bool) -> str:
    if not is_processed or error.kind == "stop":
        return "stopped"
    if given_up or not error.is_retryable:
        return "failed"
    return "limited" if error.kind == "limited" else "retry"


def _attempt(line: ResultLine, batch: BatchRow, status: str) -> Attempt:
    """Return the attempt of a line; it lasted from the batch's creation until its import."""
    error = line.result if isinstance(line.result, CallError) else None
    created = datetime.fromisoformat(batch.created_at)
    return Attempt(
        status=status,
        started_at=batch.created_at,
        latency_ms=round((datetime.now(UTC) - created).total_seconds() * 1000, 3),
        error_class=error.name if error else None,
        error_message=(error.message or None) if error else None,
        http_status=error.status if error else 200,
        prompt_tokens=line.usage.prompt,
        cached_tokens=line.usage.cached,
        completion_tokens=line.usage.completion,
        reasoning_tokens=line.usage.reasoning,
        model=line.result.model,
        text=error.answer.text if error and error.answer else None,
        reasoning=error.answer.reasoning if error and error.answer else None,
    )


# The end of a batch --------------------------------------------------------------------------


def finish_batch(
    context: BatchContext,
    batch: BatchRow,
    outcome_for: Callable[[int], Outcome] = lambda _: BACK_TO_PENDING,
    **values: object,
) -> Counter[str]:
    """End a batch.

    Args:
        context: The store and the worker.
        batch: The batch.
        outcome_for: The outcome of each call that has no result yet, by its id; pending by default.
        values: Columns of the batch's row to change.

    Returns:
        How many of these calls ended in which job state.

    Raises:
        LeaseLost: Other workers have declared this one dead.
    """
    states: Counter[str] = Counter()
    while page := context.transact(lambda c: _finish_page(c, context, batch, outcome_for)):
        states += page
    context.transact(lambda c: end_batch(c, batch, **values))
    return states


def _finish_page(
    connection: Connection,
    context: BatchContext,
    batch: BatchRow,
    outcome_for: Callable[[int], Outcome],
) -> Counter[str]:
    calls = open_calls(connection, batch.id, most=PAGE)
    claims = _claims(connection, context, calls)
    results = [r for call in calls for r in _job_results(outcome_for(call), claims[call])]
    jobs.settle(connection, context.worker_id, results, context.plan)
    close_items(connection, batch.id, calls)
    return Counter(outcome_for(call).state for call in calls)


def count_missing_lines(context: BatchContext, batch: BatchRow) -> Counter[str]:
    """Count a try for the calls of a completed batch that have no line in either file.

    Returns:
        How many calls ended in which job state.
    """
    states: Counter[str] = Counter()
    missing = CallError("retry", "no_line", "the batch is completed and has no line for it")
    while True:
        with context.store.read() as connection:
            calls = open_calls(connection, batch.id)
        if not calls:
            return states
        lines = [ResultLine(batch.name, call, missing) for call in calls]
        states += import_results_page(context, batch, lines).job_states
