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

from annoy_store.batch.jsonl import Reply
from annoy_store.batch.rows import PAGE, Held, Office, among_calls, close_items, end, open_calls
from annoy_store.db.insert import write
from annoy_store.db.sql import listed
from annoy_store.db.tables import batch_items, batches, budgets, responses
from annoy_store.inference.budgets import batch_price, book
from annoy_store.inference.client.errors import Fault
from annoy_store.interfaces import Answer, Asked, Attempt, New, Outcome, failed
from annoy_store.queue import jobs
from annoy_store.queue.jobs import Claim, Ended
from annoy_store.stages.complete import STAGE, outcome_of, tries

BACK = Outcome("pending")
GONE = failed("batch_output_gone", detail="the provider has deleted what this batch answered")


@dataclass(frozen=True)
class Taken:
    """What came of some lines: how jobs ended, and what stops everybody."""

    ended: Counter[str]
    lines: int = 0
    stop: str | None = None


@dataclass(frozen=True)
class _Judged:
    """One reply and what it means: how its call ends, the try that it was, and whether it counts."""

    call_id: int
    outcome: Outcome
    attempt: Attempt
    counts: bool = False
    stop: str | None = None


def take(office: Office, batch: Held, replies: Sequence[Reply]) -> Taken:
    """Take in lines of a batch; what is known or not of this batch is left alone."""
    ours = {r.call_id: r for r in reversed(replies) if r.name == batch.name}
    return office.transact(lambda c: _take(c, office, batch, ours))


def _take(connection: Connection, office: Office, batch: Held, ours: dict[int, Reply]) -> Taken:
    takable = _takable(connection, batch, list(ours))
    spent = _tries_of(connection, takable)
    judged = [_judge(ours[call], batch, office, spent[call]) for call in takable]
    claims = _claims(connection, office, takable)
    ended = [e for j in judged for e in _ends(j.outcome, claims[j.call_id])]
    jobs.settle(connection, office.worker_id, ended, office.agenda)
    late = [j for j in judged if not claims[j.call_id]]
    write(connection, [row for j in late for row in _tries(j, batch, office)])
    _close(connection, batch, judged)
    _pay(connection, batch, [j.attempt for j in judged])
    states: Counter[str] = Counter(j.outcome.state for j in judged if claims[j.call_id])
    return Taken(states, len(judged), next((j.stop for j in judged if j.stop), None))


def _takable(connection: Connection, batch: Held, calls: Sequence[int]) -> list[int]:
    """The calls that this batch has to answer, or had and that nobody else has or has answered."""
    mine = select(batch_items.c.call_id, batch_items.c.open).with_for_update()
    items = among_calls(mine.where(batch_items.c.batch_id == batch.id), connection, calls)
    closed = [row.call_id for row in items if not row.open]
    elsewhere = select(batch_items.c.call_id).where(batch_items.c.open == 1)
    taken = {row.call_id for row in among_calls(elsewhere, connection, closed)}
    here = select(responses.c.call_id).where(listed(responses.c.call_id, "of_calls"))
    taken |= set(connection.scalars(here, {"of_calls": closed}))
    taken |= _seen(connection, batch, closed)
    return sorted(row.call_id for row in items if row.call_id not in taken)


def _seen(connection: Connection, batch: Held, closed: Sequence[int]) -> set[int]:
    """The calls whose line was taken in: only what was released without one may come late."""
    read = select(batch_items.c.call_id).where(
        batch_items.c.batch_id == batch.id, batch_items.c.read == 1
    )
    return {row.call_id for row in among_calls(read, connection, closed)}


def _tries_of(connection: Connection, calls: Sequence[int]) -> Counter[int]:
    """How many counted tries calls have had in batches."""
    each = select(batch_items.c.call_id, func.sum(batch_items.c.tries).label("n"))
    rows = among_calls(each.group_by(batch_items.c.call_id), connection, calls)
    return Counter({row.call_id: int(row.n) for row in rows})


def _claims(connection: Connection, office: Office, calls: Sequence[int]) -> dict[int, list[Claim]]:
    claims: dict[int, list[Claim]] = defaultdict(list)
    for claim in jobs.claim_batched(connection, office.worker_id, STAGE.name, calls):
        claims[claim.subject_id].append(claim)
    return claims


def _ends(outcome: Outcome, claims: Sequence[Claim]) -> Iterable[Ended]:
    """The ends of all jobs of a call; its rows are written with the first."""
    bare = Outcome(outcome.state, (), outcome.reason, outcome.detail)
    return [Ended(claim, bare if i else outcome) for i, claim in enumerate(claims)]


def _close(connection: Connection, batch: Held, judged: Sequence[_Judged]) -> None:
    """Close items with the tries that they cost; whoever is given up begins anew when retried."""
    calls = [j.call_id for j in judged]
    close_items(connection, batch.id, calls)
    counted = [j.call_id for j in judged if j.counts]
    given_up = [j.call_id for j in judged if j.outcome.state == "failed"]
    mine = batch_items.c.batch_id == batch.id
    here = listed(batch_items.c.call_id, "of_calls")
    change = update(batch_items).where(here)
    connection.execute(change.where(mine).values(read=1), {"of_calls": calls})
    connection.execute(change.where(mine).values(tries=1), {"of_calls": counted})
    connection.execute(change.values(tries=0), {"of_calls": given_up})
    good = sum(j.outcome.state == "done" for j in judged)
    connection.execute(
        update(batches)
        .where(batches.c.id == batch.id)
        .values(
            n_answered=batches.c.n_answered + good,
            n_failed=batches.c.n_failed + len(judged) - good,
        )
    )


def _pay(connection: Connection, batch: Held, attempts: Sequence[Attempt]) -> None:
    """Book what lines have cost with the budgets that there are."""
    prompt = sum(a.prompt_tokens or 0 for a in attempts)
    cached = sum(a.cached_tokens or 0 for a in attempts)
    completion = sum(a.completion_tokens or 0 for a in attempts)
    for name in connection.scalars(select(budgets.c.name)).all():
        price = batch_price(connection, name, batch.model)
        book(connection, name, used=price.of(prompt, cached, completion))


# Judging -------------------------------------------------------------------------------------


def _judge(reply: Reply, batch: Held, office: Office, spent: int) -> _Judged:
    """Say what one reply means for its call, which had `spent` counted tries before."""
    counts, stop = False, None
    if isinstance(reply.said, Answer):
        attempt = _attempt(reply, batch, "ok")
        asked = Asked("answered", (attempt,), reply.said)
    else:
        fault = reply.said
        counts = reply.served and fault.again
        given_up = counts and spent + 1 >= office.tries
        attempt = _attempt(reply, batch, _status(fault, reply.served, given_up))
        stop = fault.reason if fault.kind == "stop" else None
        if not given_up and (fault.again or stop):
            back = Outcome("pending", tries((attempt,), reply.call_id, *_names(batch, office)))
            return _Judged(reply.call_id, back, attempt, counts, stop)
        refused = fault.kind == "rejected"
        asked = Asked(
            "rejected" if refused else "failed", (attempt,),
            reason=fault.name, detail=fault.words or None,
        )  # fmt: skip
    outcome = outcome_of(asked, reply.call_id, *_names(batch, office))
    return _Judged(reply.call_id, outcome, attempt, counts)


def _names(batch: Held, office: Office) -> tuple[int, int]:
    return batch.teacher_id, office.worker_id


def _tries(judged: _Judged, batch: Held, office: Office) -> tuple[New, ...]:
    return tries((judged.attempt,), judged.call_id, *_names(batch, office))


def _status(fault: Fault, served: bool, given_up: bool) -> str:
    if not served or fault.kind == "stop":
        return "stopped"
    if given_up or not fault.again:
        return "failed"
    return "limited" if fault.kind == "limited" else "retry"


def _attempt(reply: Reply, batch: Held, status: str) -> Attempt:
    """The try that a line was; it took from the making of the batch until it was taken in."""
    fault = reply.said if isinstance(reply.said, Fault) else None
    model = reply.said.model
    began = datetime.fromisoformat(batch.created_at)
    return Attempt(
        status=status,
        started_at=batch.created_at,
        latency_ms=round((datetime.now(UTC) - began).total_seconds() * 1000, 3),
        error_class=fault.name if fault else None,
        error_message=(fault.words or None) if fault else None,
        http_status=fault.status if fault else 200,
        prompt_tokens=reply.tokens.prompt,
        cached_tokens=reply.tokens.cached,
        completion_tokens=reply.tokens.completion,
        reasoning_tokens=reply.tokens.reasoning,
        model=model,
    )


# Ending --------------------------------------------------------------------------------------


def finish(
    office: Office,
    batch: Held,
    outcome_for: Callable[[int], Outcome] = lambda _: BACK,
    **values: object,
) -> Counter[str]:
    """End a batch: the calls that it has not answered end as told, pending unless told."""
    ended: Counter[str] = Counter()
    while page := office.transact(lambda c: _finish_page(c, office, batch, outcome_for)):
        ended += page
    office.transact(lambda c: end(c, batch, **values))
    return ended


def _finish_page(
    connection: Connection, office: Office, batch: Held, outcome_for: Callable[[int], Outcome]
) -> Counter[str]:
    calls = open_calls(connection, batch.id, most=PAGE)
    claims = _claims(connection, office, calls)
    ended = [e for call in calls for e in _ends(outcome_for(call), claims[call])]
    jobs.settle(connection, office.worker_id, ended, office.agenda)
    close_items(connection, batch.id, calls)
    return Counter(outcome_for(call).state for call in calls)


def unanswered(office: Office, batch: Held) -> Counter[str]:
    """Count a try for the calls of a completed batch that have no line in either file."""
    ended: Counter[str] = Counter()
    missing = Fault("retry", "no_line", "the batch is completed and has no line for it")
    while True:
        with office.store.read() as connection:
            calls = open_calls(connection, batch.id)
        if not calls:
            return ended
        lost = [Reply(batch.name, call, missing) for call in calls]
        ended += take(office, batch, lost).ended
