"""The job manager of a worker: settles finished jobs and claims new ones in one transaction.

Decisions
- One transaction settles the jobs that ended, claims as many as the executors have capacity for,
  and reads their rows: one commit and one lease renewal for all of it, whatever the batch size.
- A suspect (a job whose last worker died) runs alone, when no other job is in progress that it
  could take down. Where a job cannot crash its worker (calls to teachers) suspects run with the
  others. A worker that is never idle stops claiming after a while, until the suspects are done.
- A job whose rows cannot be written fails alone: the others are settled one by one.
- Jobs that this worker holds in the store but does not know of (the reply to a commit was lost)
  are released.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from annoy_store.config import Policy
from annoy_store.db.engine import Database, is_transient
from annoy_store.db.insert import insert_rows
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
from annoy_store.interfaces import NewRow, Stage, StageContext, failed
from annoy_store.queue import claims as job_claims
from annoy_store.queue import jobs as job_queue
from annoy_store.queue import workers
from annoy_store.queue.counters import add_to_counters
from annoy_store.queue.enqueue import enqueue_page
from annoy_store.queue.jobs import Claim, JobResult, SettleResult, Tally
from annoy_store.queue.lease import Lease
from annoy_store.queue.variants import StagePlan, load_plan
from annoy_store.worker.claim_cursor import INLINE_BATCH, ClaimCursor, ClaimedJob
from annoy_store.worker.progress import Progress

logger = logging.getLogger(__name__)

ANALYSE_JOBS_AT = 10_000  # jobs enqueued at once after which their table is analysed
ANALYSE_DATA_AT = 1_000  # jobs enqueued at once after which the tables they read are
DATA_TABLES = (sources, samples, prompts, turns, calls, responses, io_pairs, pair_checks)
SUSPECT_PAUSE_SECONDS = (10.0, 60.0)
MESSAGE_CHARS = 1_000


@dataclass(frozen=True)
class WorkerScope:
    """What a worker works on: stages of a pipeline, and the partitions that it can answer.

    Attributes:
        pipeline: all stages whose jobs are enqueued.
        stages: the stages whose jobs are claimed.
        can_answer: whether this worker's teachers answer calls of a partition (its columns).
        limit: the maximum number of jobs per stage; None for no limit.
        max_crashes: crashes after which a job fails.
    """

    pipeline: Sequence[Stage]
    stages: Sequence[Stage]
    can_answer: Callable[[Mapping[str, object]], bool] = lambda _: True
    limit: int | None = None
    max_crashes: int = workers.MAX_CRASHES

    @property
    def crash_safe_stages(self) -> list[str]:
        """The stages whose jobs cannot crash their worker."""
        return [stage.name for stage in self.pipeline if stage.executor == "async"]


class JobManager:
    """Settles and claims for one worker; used by one thread.

    Args:
        store: the store.
        lease: the lease of this worker, renewed in every transaction.
        scope: which jobs to enqueue and which to claim.
        progress: counts the jobs that end and that are enqueued.
        new_context: makes the context that jobs of a variant run with.
    """

    stage_plan: StagePlan

    def __init__(
        self,
        store: Database,
        lease: Lease,
        scope: WorkerScope,
        progress: Progress,
        new_context: Callable[[Policy, int], StageContext],
    ) -> None:
        self._store, self._lease, self._scope, self._progress = store, lease, scope, progress
        self._new_context = new_context
        self._held: dict[Claim, None] = {}
        self._left: dict[str, int | None] = {stage.name: scope.limit for stage in scope.stages}
        self._cursors: dict[tuple[str, int], ClaimCursor] = {}
        self._suspects_due_at = float("inf")
        self._runs_suspect = False
        self.maintain()

    @property
    def in_progress(self) -> int:
        """How many jobs this worker holds."""
        return len(self._held)

    # Maintenance -----------------------------------------------------------------------------

    def maintain(self) -> None:
        """Reclaim the jobs of dead workers, make due jobs pending, and update the cursors."""
        self.stage_plan, suspects = self._store.transact(self._maintain)
        wanted = {
            (stage.name, partition.variant_id): stage
            for stage in reversed(self._scope.stages)
            for partition in reversed(self.stage_plan.partitions[stage.key])
            if stage.executor != "async" or self._scope.can_answer(partition.columns)
        }
        self._cursors = {
            key: replace(
                self._cursors.get(key) or ClaimCursor(stage, key[1]), has_suspects=key in suspects
            )
            for key, stage in wanted.items()
        }
        if not self._unsafe_suspects():
            self._suspects_due_at = float("inf")
        elif self._suspects_due_at == float("inf"):
            self._suspects_due_at = time.monotonic() + random.uniform(*SUSPECT_PAUSE_SECONDS)

    def _maintain(self, connection: Connection) -> tuple[StagePlan, set[tuple[str, int]]]:
        worker_id, scope = self._lease.worker_id, self._scope
        workers.reap(connection, worker_id, scope.crash_safe_stages, scope.max_crashes)
        held = job_queue.unacknowledged_claims(connection, worker_id)
        unknown = [claim for claim in held if claim not in self._held]
        if unknown:
            logger.info("releasing %d jobs that a lost commit had claimed", len(unknown))
        job_queue.release(connection, worker_id, unknown)
        return load_plan(connection, scope.pipeline), job_queue.variants_with_suspects(connection)

    def enqueue(self) -> int:
        """Enqueue every missing job.

        Returns:
            How many of them are jobs of the stages that this worker claims.
        """
        ours, new, more = 0, 0, True
        while more:
            enqueued, more = self._store.transact(
                lambda c: enqueue_page(c, self.stage_plan, self._lease.worker_id)
            )
            if enqueued.total() > ANALYSE_JOBS_AT:
                self._store.transact(lambda c: analyse(c, jobs))
            self._progress.enqueued += enqueued
            new += enqueued.total()
            ours += sum(enqueued[stage.name] for stage in self._scope.stages)
        if new > ANALYSE_DATA_AT:
            self._store.transact(lambda c: analyse(c, *DATA_TABLES))
        if ours:
            self.reset_cursors()
        return ours

    def reset_cursors(self) -> None:
        """End the pauses of all cursors, because there may be new jobs."""
        self._cursors = {key: cursor.reset() for key, cursor in self._cursors.items()}

    def open_jobs(self) -> dict[tuple[str, int | None], int]:
        """Return the open jobs that this worker may claim, by state and worker that holds them."""
        ours = [cursor.key for cursor in self._claimable()]
        with self._store.read() as connection:
            return job_queue.count_open_jobs(connection, ours)

    # Settling and claiming -------------------------------------------------------------------

    def settle_and_claim(
        self, results: Sequence[JobResult], capacity: Mapping[str, int] | None
    ) -> list[ClaimedJob]:
        """Settle jobs and claim new ones, in one transaction.

        Args:
            results: how jobs that this worker holds ended.
            capacity: how many jobs each executor has capacity for; None claims nothing.

        Returns:
            The claimed jobs.

        Raises:
            LeaseLost: this worker was declared dead; nothing was settled.
        """
        alone = capacity is not None and self._may_run_suspect(results)
        cursors = self._unsafe_suspects() if alone else self._open_cursors(capacity)
        if not results and not cursors:
            return []
        try:
            settled, claimed, advanced = self._store.transact(
                lambda c: self._settle_and_claim(c, results, cursors, dict(capacity or {}), alone)
            )
        except LeaseLost:
            raise
        except Exception as error:
            if not results or is_transient(error):
                raise
            logger.info("settling %d jobs one by one, because of %s", len(results), error)
            settled, claimed, advanced = self._settle_singly(results), [], []
        self._note_results(results, settled)
        self._note_claims(claimed, advanced)
        self._runs_suspect = alone and bool(claimed)
        return claimed

    def _settle_and_claim(
        self,
        connection: Connection,
        results: Sequence[JobResult],
        cursors: Sequence[ClaimCursor],
        capacity: dict[str, int],
        alone: bool,
    ) -> tuple[SettleResult, list[ClaimedJob], list[ClaimCursor]]:
        tally: Tally = Counter()
        self._lease.renew(connection)
        worker_id, settled = self._lease.worker_id, SettleResult()
        if results:
            settled = job_queue.settle(connection, worker_id, results, self.stage_plan, tally)
        cursors = [self._with_new_jobs(cursor, settled) for cursor in cursors]
        claimed = (
            self._claim_one_suspect(connection, cursors, tally)
            if alone
            else self._claim(connection, cursors, capacity, tally)
        )
        add_to_counters(connection, worker_id, tally)
        loaded = [
            job for claims, cursor in claimed for job in self._load(connection, cursor, claims)
        ]
        return settled, loaded, [cursor for _, cursor in claimed]

    def _load(
        self, connection: Connection, cursor: ClaimCursor, claims: Sequence[Claim]
    ) -> list[ClaimedJob]:
        if not claims:
            return []
        stage = cursor.stage
        rows = job_claims.load_rows(connection, self.stage_plan, stage, claims)
        context = self._new_context(self.stage_plan.policy, cursor.variant_id)
        return [ClaimedJob(c, stage, rows.get(c.subject_id), context) for c in claims]

    def _claim(
        self,
        connection: Connection,
        cursors: Sequence[ClaimCursor],
        capacity: dict[str, int],
        tally: Tally,
    ) -> list[tuple[list[Claim], ClaimCursor]]:
        claimed: list[tuple[list[Claim], ClaimCursor]] = []
        left = dict(self._left)  # shared by the cursors of one stage
        for cursor in cursors:
            executor, name = cursor.stage.executor, cursor.stage.name
            limit = _within(left[name], capacity.get(executor, INLINE_BATCH))
            if limit <= 0:
                continue
            suspects = cursor.has_suspects and cursor.is_crash_safe
            claim = cursor.claim_suspects if suspects else cursor.claim
            claims, after = claim(connection, self._lease.worker_id, limit, tally)
            claimed.append((claims, after))
            left[name] = _without(left[name], len(claims))
            if executor in capacity:
                capacity[executor] -= len(claims)
        return claimed

    def _claim_one_suspect(
        self, connection: Connection, cursors: Sequence[ClaimCursor], tally: Tally
    ) -> list[tuple[list[Claim], ClaimCursor]]:
        claimed: list[tuple[list[Claim], ClaimCursor]] = []
        for cursor in cursors:
            claimed.append(cursor.claim_suspects(connection, self._lease.worker_id, 1, tally))
            if claimed[-1][0]:
                break
        return claimed

    def _settle_singly(self, results: Sequence[JobResult]) -> SettleResult:
        together = SettleResult()
        for result in results:
            settled = self._settle_or_fail(result)
            together.accepted.extend(settled.accepted)
            together.enqueued.update(settled.enqueued)
        return together

    def _settle_or_fail(self, result: JobResult) -> SettleResult:
        """Settle one job; when the rows it made cannot be written, it fails with the reason."""
        try:
            return self._settle_one(result)
        except LeaseLost:
            raise
        except Exception as error:
            if is_transient(error):
                raise
            message = str(getattr(error, "orig", None) or error)[:MESSAGE_CHARS]
            outcome = failed(type(error).__name__, detail=message)
            return self._settle_one(JobResult(result.claim, outcome))

    def _settle_one(self, result: JobResult) -> SettleResult:
        return self._store.transact(lambda c: self._settle_and_claim(c, [result], (), {}, False)[0])

    def _note_results(self, results: Sequence[JobResult], settled: SettleResult) -> None:
        for result in results:
            self._held.pop(result.claim, None)
        for result in settled.accepted:
            if result.outcome.state == "pending":
                continue  # it was returned unchanged
            outcome = result.outcome
            self._progress.record(result.claim.stage, outcome.state, outcome.reason)
        self._cursors = {
            key: self._with_new_jobs(cursor, settled) for key, cursor in self._cursors.items()
        }

    @staticmethod
    def _with_new_jobs(cursor: ClaimCursor, settled: SettleResult) -> ClaimCursor:
        return cursor.reset() if settled.enqueued[cursor.stage.name] else cursor

    def _note_claims(self, claimed: Sequence[ClaimedJob], advanced: Sequence[ClaimCursor]) -> None:
        self._cursors.update((cursor.key, cursor) for cursor in advanced)
        for job in claimed:
            self._held[job.claim] = None
            self._left[job.stage.name] = _without(self._left[job.stage.name], 1)

    def write_early(self, rows: Sequence[NewRow], notice: str) -> None:
        """Store rows of jobs that are still in progress, and why this worker waits.

        Args:
            rows: the rows.
            notice: a sentence for the status; empty if it does not wait.

        Raises:
            LeaseLost: this worker was declared dead; nothing was stored.
        """

        def write(connection: Connection) -> None:
            self._lease.renew(connection)
            insert_rows(connection, rows)
            workers.set_notice(connection, self._lease.worker_id, notice)

        self._store.transact(write)

    def release(self, claims: Sequence[Claim] | None = None) -> None:
        """Return jobs as if they had never been claimed.

        Args:
            claims: the jobs to return; None for all that this worker holds.
        """
        returned = list(self._held) if claims is None else claims
        if returned:
            self._store.transact(lambda c: job_queue.release(c, self._lease.worker_id, returned))
        for claim in returned:
            self._held.pop(claim, None)

    # Cursors ---------------------------------------------------------------------------------

    def may_claim(self, executor: str) -> bool:
        """Return whether there may be jobs to claim for an executor now."""
        return any(c.stage.executor == executor and c.is_open for c in self._claimable())

    def _claimable(self) -> list[ClaimCursor]:
        """The cursors of stages that have not reached the limit of jobs."""
        return [c for c in self._cursors.values() if self._left[c.stage.name] != 0]

    def _open_cursors(self, capacity: Mapping[str, int] | None) -> list[ClaimCursor]:
        suspects_due = bool(self._unsafe_suspects()) and time.monotonic() > self._suspects_due_at
        if capacity is None or suspects_due or (self._runs_suspect and self._held):
            return []
        return [
            c
            for c in self._claimable()
            if c.is_open and capacity.get(c.stage.executor, INLINE_BATCH) > 0
        ]

    def _unsafe_suspects(self) -> list[ClaimCursor]:
        """The cursors with suspects that have to run alone."""
        return [c for c in self._claimable() if c.has_suspects and not c.is_crash_safe]

    def _may_run_suspect(self, results: Sequence[JobResult]) -> bool:
        """Whether no job is in progress once `results` are settled, and a suspect has to run alone."""
        return len(results) == len(self._held) and bool(self._unsafe_suspects())


def _within(left: int | None, capacity: int) -> int:
    return capacity if left is None else min(capacity, left)


def _without(left: int | None, n: int) -> int | None:
    return None if left is None else left - n
