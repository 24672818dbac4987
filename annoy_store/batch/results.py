"""Answers of a batch become rows: each line an attempt, each answer a response, each job an end.

Decisions
- A page of lines is one transaction with the jobs that it ends and the items that it closes, so a
  line that was taken in is never taken in again, whoever reads the file a second time.
- A line that a model or its server spoiled counts as a try, 429 as well: nobody paced the calls but
  the provider. A line that nobody worked on, and a file that was refused, count as none.
- What was paid is kept. A line whose call is not waiting any more still is an attempt; one whose
  call went back to pending still is its answer.
- A line that says that nobody gets an answer (key, model, money) fails no call: it stops the run.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
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
from annoy_store.db.tables import batch_items, batches, budgets, responses
from annoy_store.inference.budgets import adjust_budget, batch_price
from annoy_store.inference.client.errors import CallError
from annoy_store.interfaces import Attempt, CallResult, Completion, NewRow, Outcome, failed
from annoy_store.queue import claims as job_claims
from annoy_store.queue import jobs
from annoy_store.queue.jobs import Claim, JobResult
from annoy_store.stages.complete import STAGE, attempt_rows, build_outcome

BACK_TO_PENDING = Outcome("pending")
OUTPUT_GONE = failed(
    "batch_output_gone", detail="the provider has deleted what this batch answered"
)


@dataclass(frozen=True)
class ImportedPage:
    """What came of some lines: how jobs ended, and what stops everybody."""

    job_states: Counter[str]
    lines: int = 0
    stop_reason: str | None = None


@dataclass(frozen=True)
class _LineOutcome:
    """One reply and what it means: how its call ends, the try that it was, and whether it counts."""

    call_id: int
    outcome: Outcome
    attempt: Attempt
    counts_as_try: bool = False
    stop_reason: str | None = None


def import_results_page(
    office: BatchContext, batch: BatchRow, replies: Sequence[ResultLine]
) -> ImportedPage:
    """Take in lines of a batch; what is known or not of this batch is left alone."""
    ours = {r.call_id: r for r in reversed(replies) if r.batch_name == batch.name}
    return office.transact(lambda c: _import_page(c, office, batch, ours))


def _import_page(
    connection: Connection, office: BatchContext, batch: BatchRow, ours: dict[int, ResultLine]
) -> ImportedPage:
    takable = _importable_calls(connection, batch, list(ours))
    spent = _counted_tries(connection, takable)
    judged = [_interpret(ours[call], batch, office, spent[call]) for call in takable]
    claims = _claims(connection, office, takable)
    ended = [e for j in judged for e in _job_results(j.outcome, claims[j.call_id])]
    jobs.settle(connection, office.worker_id, ended, office.plan)
    late = [j for j in judged if not claims[j.call_id]]
    insert_rows(connection, [row for j in late for row in _attempt_rows(j, batch, office)])
    _close_items(connection, batch, judged)
    _record_cost(connection, batch, [j.attempt for j in judged])
    states: Counter[str] = Counter(j.outcome.state for j in judged if claims[j.call_id])
    return ImportedPage(
        states, len(judged), next((j.stop_reason for j in judged if j.stop_reason), None)
    )


def _importable_calls(connection: Connection, batch: BatchRow, calls: Sequence[int]) -> list[int]:
    """The calls that this batch has to answer, or had and that nobody else has or has answered."""
    mine = select(batch_items.c.call_id, batch_items.c.is_open).with_for_update()
    items = rows_of_calls(mine.where(batch_items.c.batch_id == batch.id), connection, calls)
    closed = [row.call_id for row in items if not row.is_open]
    elsewhere = select(batch_items.c.call_id).where(batch_items.c.is_open == 1)
    taken = {row.call_id for row in rows_of_calls(elsewhere, connection, closed)}
    here = select(responses.c.call_id).where(in_parameter(responses.c.call_id, "of_calls"))
    taken |= set(connection.scalars(here, {"of_calls": closed}))
    taken |= _already_read(connection, batch, closed)
    return sorted(row.call_id for row in items if row.call_id not in taken)


def _already_read(connection: Connection, batch: BatchRow, closed: Sequence[int]) -> set[int]:
    """The calls whose line was taken in: only what was released without one may come late."""
    read = select(batch_items.c.call_id).where(
        batch_items.c.batch_id == batch.id, batch_items.c.is_read == 1
    )
    return {row.call_id for row in rows_of_calls(read, connection, closed)}


def _counted_tries(connection: Connection, calls: Sequence[int]) -> Counter[int]:
    """How many counted tries calls have had in batches."""
    each = select(batch_items.c.call_id, func.sum(batch_items.c.n_tries).label("n"))
    rows = rows_of_calls(each.group_by(batch_items.c.call_id), connection, calls)
    return Counter({row.call_id: int(row.n) for row in rows})


def _claims(
    connection: Connection, office: BatchContext, calls: Sequence[int]
) -> dict[int, list[Claim]]:
    claims: dict[int, list[Claim]] = defaultdict(list)
    for claim in job_claims.claim_batched(connection, office.worker_id, STAGE.name, calls):
        claims[claim.subject_id].append(claim)
    return claims


def _job_results(outcome: Outcome, claims: Sequence[Claim]) -> Iterable[JobResult]:
    """The ends of all jobs of a call; its rows are written with the first."""
    bare = Outcome(outcome.state, (), outcome.reason, outcome.detail)
    return [JobResult(claim, bare if i else outcome) for i, claim in enumerate(claims)]


def _close_items(connection: Connection, batch: BatchRow, judged: Sequence[_LineOutcome]) -> None:
    """Close items with the tries that they cost; whoever is given up begins anew when retried."""
    calls = [j.call_id for j in judged]
    close_items(connection, batch.id, calls)
    counted = [j.call_id for j in judged if j.counts_as_try]
    given_up = [j.call_id for j in judged if j.outcome.state == "failed"]
    mine = batch_items.c.batch_id == batch.id
    here = in_parameter(batch_items.c.call_id, "of_calls")
    change = update(batch_items).where(here)
    connection.execute(change.where(mine).values(is_read=1), {"of_calls": calls})
    connection.execute(change.where(mine).values(n_tries=1), {"of_calls": counted})
    connection.execute(change.values(n_tries=0), {"of_calls": given_up})
    good = sum(j.outcome.state == "done" for j in judged)
    connection.execute(
        update(batches)
        .where(batches.c.id == batch.id)
        .values(
            n_answered=batches.c.n_answered + good,
            n_failed=batches.c.n_failed + len(judged) - good,
        )
    )


def _record_cost(connection: Connection, batch: BatchRow, attempts: Sequence[Attempt]) -> None:
    """Book what lines have cost with the budgets that there are."""
    prompt = sum(a.prompt_tokens or 0 for a in attempts)
    cached = sum(a.cached_tokens or 0 for a in attempts)
    completion = sum(a.completion_tokens or 0 for a in attempts)
    for name in connection.scalars(select(budgets.c.name)).all():
        price = batch_price(connection, name, batch.model)
        adjust_budget(connection, name, used=price.cost(prompt, cached, completion))


# Judging -------------------------------------------------------------------------------------


def _interpret(
    reply: ResultLine, batch: BatchRow, office: BatchContext, spent: int
) -> _LineOutcome:
    """Say what one reply means for its call, which had `spent` counted tries before."""
    counts, stop = False, None
    if isinstance(reply.result, Completion):
        attempt = _attempt(reply, batch, "ok")
        asked = CallResult("answered", (attempt,), reply.result)
    else:
        fault = reply.result
        counts = reply.is_processed and fault.is_retryable
        given_up = counts and spent + 1 >= office.tries
        attempt = _attempt(reply, batch, _status(fault, reply.is_processed, given_up))
        stop = fault.reason if fault.kind == "stop" else None
        if not given_up and (fault.is_retryable or stop):
            back = Outcome(
                "pending",
                attempt_rows((attempt,), reply.call_id, *_teacher_and_worker(batch, office)),
            )
            return _LineOutcome(reply.call_id, back, attempt, counts, stop)
        refused = fault.kind == "rejected"
        asked = CallResult(
            "rejected" if refused else "failed",
            (attempt,),
            reason=fault.name,
            detail=fault.message or None,
        )
    outcome = build_outcome(asked, reply.call_id, *_teacher_and_worker(batch, office))
    return _LineOutcome(reply.call_id, outcome, attempt, counts)


def _teacher_and_worker(batch: BatchRow, office: BatchContext) -> tuple[int, int]:
    return batch.teacher_id, office.worker_id


def _attempt_rows(
    judged: _LineOutcome, batch: BatchRow, office: BatchContext
) -> tuple[NewRow, ...]:
    return attempt_rows((judged.attempt,), judged.call_id, *_teacher_and_worker(batch, office))


def _status(fault: CallError, served: bool, given_up: bool) -> str:
    if not served or fault.kind == "stop":
        return "stopped"
    if given_up or not fault.is_retryable:
        return "failed"
    return "limited" if fault.kind == "limited" else "retry"


def _attempt(reply: ResultLine, batch: BatchRow, status: str) -> Attempt:
    """The try that a line was; it took from the making of the batch until it was taken in."""
    fault = reply.result if isinstance(reply.result, CallError) else None
    model = reply.result.model
    began = datetime.fromisoformat(batch.created_at)
    return Attempt(
        status=status,
        started_at=batch.created_at,
        latency_ms=round((datetime.now(UTC) - began).total_seconds() * 1000, 3),
        error_class=fault.name if fault else None,
        error_message=(fault.message or None) if fault else None,
        http_status=fault.status if fault else 200,
        prompt_tokens=reply.usage.prompt,
        cached_tokens=reply.usage.cached,
        completion_tokens=reply.usage.completion,
        reasoning_tokens=reply.usage.reasoning,
        model=model,
    )


# Ending --------------------------------------------------------------------------------------


def finish_batch(
    office: BatchContext,
    batch: BatchRow,
    outcome_for: Callable[[int], Outcome] = lambda _: BACK_TO_PENDING,
    **values: object,
) -> Counter[str]:
    """End a batch: the calls that it has not answered end as told, pending unless told."""
    ended: Counter[str] = Counter()
    while page := office.transact(lambda c: _finish_page(c, office, batch, outcome_for)):
        ended += page
    office.transact(lambda c: end_batch(c, batch, **values))
    return ended


def _finish_page(
    connection: Connection,
    office: BatchContext,
    batch: BatchRow,
    outcome_for: Callable[[int], Outcome],
) -> Counter[str]:
    calls = open_calls(connection, batch.id, most=PAGE)
    claims = _claims(connection, office, calls)
    ended = [e for call in calls for e in _job_results(outcome_for(call), claims[call])]
    jobs.settle(connection, office.worker_id, ended, office.plan)
    close_items(connection, batch.id, calls)
    return Counter(outcome_for(call).state for call in calls)


def count_missing_lines(office: BatchContext, batch: BatchRow) -> Counter[str]:
    """Count a try for the calls of a completed batch that have no line in either file."""
    ended: Counter[str] = Counter()
    missing = CallError("retry", "no_line", "the batch is completed and has no line for it")
    while True:
        with office.store.read() as connection:
            calls = open_calls(connection, batch.id)
        if not calls:
            return ended
        lost = [ResultLine(batch.name, call, missing) for call in calls]
        ended += import_results_page(office, batch, lost).job_states
