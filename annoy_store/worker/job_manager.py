"""The desk: one worker's dealings with the ledger, one transaction per round.

Decisions
- A round settles what has ended, claims what there is room for, and reads what that needs, in a
  single transaction: one commit and one lease renewal serve it all, whatever the batch.
- A suspect (its last holder died) is worked on alone, when nothing else is in hand that it could
  take along. Where work cannot kill its worker (asking) suspects come with the others. A worker
  that never idles stops claiming after a while, until the suspects are done.
- A job whose rows cannot be written fails by itself: its neighbours are settled one by one.
- What the ledger says we hold and we do not know of (the answer to a commit got lost) goes back.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from annoy_store.db.engine import Database, is_transient
from annoy_store.db.sql import analyse
from annoy_store.db.tables import (
    calls,
    io_pairs,
    jobs,
    pair_checks,
    prompts,
    responses,
    samples,
    sources,
    turns,
)
from annoy_store.errors import LeaseLost
from annoy_store.interfaces import Stage, failed
from annoy_store.queue import jobs as job_queue
from annoy_store.queue import workers
from annoy_store.queue.counters import add_to_counters
from annoy_store.queue.enqueue import enqueue_page
from annoy_store.queue.jobs import Claim, JobResult, SettleResult, Tally
from annoy_store.queue.lease import Lease
from annoy_store.queue.variants import StagePlan, load_plan
from annoy_store.worker.claim_cursor import (
    INLINE_BATCH,
    ClaimCursor,
    ClaimedBatch,
    all_claims,
    claim_pending,
    claim_suspects,
)
from annoy_store.worker.progress import Progress

ANALYSE_JOBS_AT = 10_000  # jobs entered at once that call for new statistics
ANALYSE_DATA_AT = 1_000  # jobs of one planning: what they read may be as new as they are
DATA_TABLES = (sources, samples, prompts, turns, calls, responses, io_pairs, pair_checks)
SUSPECT_PAUSE_SECONDS = (10.0, 60.0)


@dataclass(frozen=True)
class WorkerScope:
    """What a worker works on: of a pipeline some stages, of those the cases it can answer."""

    pipeline: Sequence[Stage]
    stages: Sequence[Stage]
    can_answer: Callable[[Mapping[str, object]], bool] = lambda _: True
    limit: int | None = None
    max_crashes: int = workers.MAX_CRASHES

    @property
    def crash_safe_stages(self) -> list[str]:
        """Stages whose work cannot kill its worker."""
        return [stage.name for stage in self.pipeline if stage.executor == "asking"]


class JobManager:
    """Claims and settles for one worker; used by one thread."""

    stage_plan: StagePlan

    def __init__(
        self, store: Database, lease: Lease, scope: WorkerScope, progress: Progress
    ) -> None:
        self._store, self._lease, self._scope, self._progress = store, lease, scope, progress
        self._held: dict[Claim, None] = {}
        self._left = dict.fromkeys((stage.name for stage in scope.stages), scope.limit)
        self._places: dict[tuple[str, int], ClaimCursor] = {}
        self._suspects: set[tuple[str, int]] = set()
        self._suspects_due_at = float("inf")
        self._alone = False
        self.maintain()

    @property
    def in_progress(self) -> int:
        """How many jobs are in hand."""
        return len(self._held)

    # Upkeep ----------------------------------------------------------------------------------

    def maintain(self) -> None:
        """Take back the jobs of the dead, release what is due, and see what there is to do."""
        self.stage_plan, suspects = self._store.transact(self._upkeep)
        wanted = {
            (stage.name, case.variant_id): stage
            for stage in reversed(self._scope.stages)
            for case in reversed(self.stage_plan.partitions[stage.name])
            if stage.executor != "asking" or self._scope.can_answer(case.columns)
        }
        self._places = {k: self._places.get(k) or ClaimCursor(s, k[1]) for k, s in wanted.items()}
        self._suspects = suspects & set(self._places)
        if not self._dangerous():
            self._suspects_due_at = float("inf")
        elif self._suspects_due_at == float("inf"):
            self._suspects_due_at = time.monotonic() + random.uniform(*SUSPECT_PAUSE_SECONDS)

    def _upkeep(self, connection: Connection) -> tuple[StagePlan, set[tuple[str, int]]]:
        who, scope = self._lease.worker_id, self._scope
        workers.reap(connection, who, scope.crash_safe_stages, scope.max_crashes)
        unknown = [
            c for c in job_queue.unacknowledged_claims(connection, who) if c not in self._held
        ]
        job_queue.release(connection, who, unknown)
        return load_plan(connection, scope.pipeline), job_queue.variants_with_suspects(connection)

    def enqueue(self) -> int:
        """Enter what is wanted and missing; returns how many jobs that is for our stages."""
        ours, new, more = 0, 0, True
        while more:
            entered, more = self._store.transact(
                lambda c: enqueue_page(c, self.stage_plan, self._lease.worker_id)
            )
            if entered.total() > ANALYSE_JOBS_AT:
                self._store.transact(lambda c: analyse(c, jobs))
            self._progress.enqueued += entered
            new += entered.total()
            ours += sum(entered[stage.name] for stage in self._scope.stages)
        if new > ANALYSE_DATA_AT:
            self._store.transact(lambda c: analyse(c, *DATA_TABLES))
        if ours:
            self.reset_cursors()
        return ours

    def reset_cursors(self) -> None:
        """There is something new to claim."""
        for place in self._places.values():
            place.reset()

    def open_jobs(self) -> dict[tuple[str, int | None], int]:
        """Jobs that are not ended among those that we may claim: by state and holder."""
        mine = [place.key for place in self._wanted()]
        with self._store.read() as connection:
            return job_queue.count_open_jobs(connection, mine)

    # Rounds ----------------------------------------------------------------------------------

    def settle_and_claim(
        self, ended: Sequence[JobResult], room: Mapping[str, int] | None
    ) -> list[ClaimedBatch]:
        """Settle `ended`, then claim into `room` by lane (None: claim nothing).

        Raises LostClaim when this worker was declared dead; nothing was settled then.
        """
        alone = room is not None and self._can_take_suspects(ended)
        places = self._dangerous() if alone else self._open_places(room)
        if not ended and not places:
            return []
        try:
            settled, taken = self._store.transact(
                lambda c: self._round(c, ended, places, dict(room or {}), alone)
            )
        except LeaseLost:
            raise
        except Exception as error:
            if not ended or is_transient(error):
                raise
            settled, taken = self._settle_singly(ended), []
        self._note_ends(ended, settled)
        self._note_claims(taken)
        self._alone = alone and bool(all_claims(taken))
        return [t for t in taken if t.claims]

    def _round(
        self,
        connection: Connection,
        ended: Sequence[JobResult],
        places: Sequence[ClaimCursor],
        room: dict[str, int],
        alone: bool,
    ) -> tuple[SettleResult, list[ClaimedBatch]]:
        tally: Tally = Counter()
        self._lease.renew(connection)
        who, settled = self._lease.worker_id, SettleResult()
        if ended:
            settled = job_queue.settle(connection, who, ended, self.stage_plan, tally)
        taken = self._take(connection, places, room, alone, tally)
        add_to_counters(connection, who, tally)
        return settled, [self._load(connection, t) if t.claims else t for t in taken]

    def _load(self, connection: Connection, taken: ClaimedBatch) -> ClaimedBatch:
        rows = job_queue.load_rows(connection, self.stage_plan, taken.place.stage, taken.claims)
        return replace(taken, rows=rows)

    def _settle_singly(self, ended: Sequence[JobResult]) -> SettleResult:
        together = SettleResult()
        for e in ended:
            settled = self._settle_or_fail(e)
            together.accepted.extend(settled.accepted)
            together.enqueued.update(settled.enqueued)
        return together

    def _settle_or_fail(self, ended: JobResult) -> SettleResult:
        """Settle one job; when what it made cannot be written, it failed, with the reason."""
        try:
            return self._store.transact(lambda c: self._round(c, [ended], (), {}, False)[0])
        except LeaseLost:
            raise
        except Exception as error:
            if is_transient(error):
                raise
            words = str(getattr(error, "orig", None) or error)[:1000]
            instead = JobResult(ended.claim, failed(type(error).__name__, detail=words))
            return self._store.transact(lambda c: self._round(c, [instead], (), {}, False)[0])

    def _take(
        self,
        connection: Connection,
        places: Sequence[ClaimCursor],
        room: dict[str, int],
        alone: bool,
        tally: Tally,
    ) -> list[ClaimedBatch]:
        who = self._lease.worker_id
        taken: list[ClaimedBatch] = []
        for place in places:
            if alone:
                taken.append(claim_suspects(connection, who, place, 1, tally))
                if taken[-1].claims:
                    break
                continue
            lane = place.stage.executor
            asked = self._bounded(place, room.get(lane, INLINE_BATCH))
            if asked > 0 and place.key in self._suspects and place.is_crash_safe:
                taken.append(claim_suspects(connection, who, place, asked, tally))
            elif asked > 0:
                taken.append(claim_pending(connection, who, place, asked, tally))
            else:
                continue
            if lane in room:
                room[lane] -= len(taken[-1].claims)
        return taken

    def _bounded(self, place: ClaimCursor, room: int) -> int:
        left = self._left[place.stage.name]
        return room if left is None else min(room, left)

    def _note_ends(self, ended: Sequence[JobResult], settled: SettleResult) -> None:
        for e in ended:
            self._held.pop(e.claim, None)
        for e in settled.accepted:
            if e.outcome.state == "pending":
                continue  # it went back as it was
            self._progress.ended[e.claim.stage, e.outcome.state] += 1
            if e.outcome.reason:
                self._progress.reasons[e.claim.stage, e.outcome.reason] += 1
        for place in self._places.values():
            if settled.enqueued[place.stage.name]:
                place.reset()

    def _note_claims(self, taken: Sequence[ClaimedBatch]) -> None:
        for t in taken:
            t.remember()
            name = t.place.stage.name
            self._held.update(dict.fromkeys(t.claims))
            if (left := self._left[name]) is not None:
                self._left[name] = left - len(t.claims)
            if t.suspects and not t.claims:
                self._suspects.discard(t.place.key)

    def release(self, claims: Sequence[Claim] | None = None) -> None:
        """Give jobs back as if they had never been claimed; all that are held unless named."""
        back = list(self._held) if claims is None else claims
        if back:
            self._store.transact(lambda c: job_queue.release(c, self._lease.worker_id, back))
        for claim in back:
            self._held.pop(claim, None)

    # Places ----------------------------------------------------------------------------------

    def may_claim(self, lane: str) -> bool:
        """True when there may be something to claim for a lane now."""
        return any(p.stage.executor == lane and p.is_open for p in self._wanted())

    def _wanted(self) -> list[ClaimCursor]:
        """Where no limit has been reached."""
        return [p for p in self._places.values() if self._left[p.stage.name] != 0]

    def _open_places(self, room: Mapping[str, int] | None) -> list[ClaimCursor]:
        shy = bool(self._dangerous()) and time.monotonic() > self._suspects_due_at
        if room is None or shy or (self._alone and self._held):
            return []
        return [
            p for p in self._wanted() if p.is_open and room.get(p.stage.executor, INLINE_BATCH) > 0
        ]

    def _dangerous(self) -> list[ClaimCursor]:
        """Where suspects are that want to be alone."""
        return [p for p in self._wanted() if p.key in self._suspects and not p.is_crash_safe]

    def _can_take_suspects(self, ended: Sequence[JobResult]) -> bool:
        """True when nothing will be in hand, and there are suspects that want it so."""
        return len(ended) == len(self._held) and bool(self._dangerous())
