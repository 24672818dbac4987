"""The worker: the loop that claims, runs and settles jobs until none is pending.

Decisions
- One thread uses the store (`job_manager.py`). Executors run jobs in other threads and return how
  they ended. The loop sleeps until a job has ended, and gathers those that end shortly after, so
  that one commit serves many: for `BUSY_GATHER_SECONDS` or a few dozen jobs while every executor
  has enough to do, which is also what kill -9 can lose; for a few times the duration of the last
  commit when one has not, so that a short chain is not delayed.
- Late stages are claimed first: chains close early, and few rows wait between the stages.
- A run ends when no job that it may claim is pending, due, suspect or held by another worker. It
  enqueues once more before it ends, and it waits for other workers, naming them.
- The first signal drains: no job is begun, calls in flight finish, the other jobs are returned.
  The second stops at once. kill -9 loses at most the work in flight.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue

from annoy_store.config import Policy, RunSettings
from annoy_store.db.engine import Database
from annoy_store.errors import EndpointUnavailable, LeaseLost
from annoy_store.interfaces import ExecutorName, NewRow, Stage, StageContext
from annoy_store.queue.jobs import JobResult
from annoy_store.queue.lease import Lease
from annoy_store.queue.workers import LEASE_LOST_MESSAGE, MAX_CRASHES
from annoy_store.stages import PIPELINE
from annoy_store.worker.claim_cursor import ClaimedJob
from annoy_store.worker.executors import AsyncExecutor, Executor, Results, ThreadExecutor, run_job
from annoy_store.worker.job_manager import JobManager, WorkerScope
from annoy_store.worker.progress import Progress, by_stage
from annoy_store.worker.resources import WorkerResources

logger = logging.getLogger(__name__)

COMMIT_ROWS = (32, 500)  # results of one commit: enough to begin one, and the maximum
GATHER_SECONDS = (0.005, 0.1)
GATHER_FACTOR = 4
BUSY_GATHER_SECONDS = 0.2
POLL_SECONDS = 0.25  # the longest sleep: signals, display and paused cursors are checked then
IDLE_SECONDS = (0.05, 1.0)
MAINTENANCE_SECONDS = 5.0
DRAIN_SECONDS = 60.0
WRITE_EARLY_SECONDS = 1.0


class Worker:
    """One process of a run on a store.

    Args:
        store: the store.
        settings: sandbox, teachers, lease and limits of this process.
        stages: the stages whose jobs this worker claims.
        pipeline: all stages whose jobs it enqueues.
        limit: the maximum number of jobs per stage; None for no limit.
        watch: keep running when no job is left, until `stop` is called.
        max_crashes: crashes of workers after which a job fails.
        on_progress: called with the progress several times a second.
        progress: the progress to add to.
    """

    def __init__(
        self,
        store: Database,
        settings: RunSettings,
        stages: Sequence[Stage] = PIPELINE,
        *,
        pipeline: Sequence[Stage] = PIPELINE,
        limit: int | None = None,
        watch: bool = False,
        max_crashes: int = MAX_CRASHES,
        on_progress: Callable[[Progress], None] = lambda _: None,
        progress: Progress | None = None,
    ) -> None:
        self.store, self.settings, self.stages = store, settings, stages
        self.watch, self.on_progress = watch, on_progress
        self.progress = progress or Progress()
        self.resources = WorkerResources(store, settings)
        self._scope = WorkerScope(pipeline, stages, self.resources.can_answer, limit, max_crashes)
        self._results: Results = SimpleQueue()
        self._early_rows: SimpleQueue[tuple[NewRow, ...]] = SimpleQueue()
        self._notice, self._written_early = "", time.monotonic()
        self._executors: dict[ExecutorName, Executor] = {}
        self._stop = threading.Event()
        self._error: EndpointUnavailable | None = None
        self._commit_seconds = 0.0
        self._idle = IDLE_SECONDS[0]
        self._maintained = time.monotonic()

    # Lifecycle -------------------------------------------------------------------------------

    def run(self) -> Progress:
        """Work until no job is left.

        Returns:
            What was done.

        Raises:
            EndpointUnavailable: an endpoint rejects every call; the jobs were released.
            LeaseLost: this worker was declared dead, and others run its jobs.
            StoreFileLost: the file of the store is gone; what was written is saved beside it.
        """
        try:
            if not self._stop.is_set():
                self._open_resources()
            if self._stop.is_set():  # nothing was claimed yet
                return self.progress
            names = [stage.name for stage in self.stages]
            seconds = self.settings.lease_seconds
            with Lease(self.store, names, seconds, self.stop) as self._lease:
                self._work()
            self.store.check_file()
        finally:
            self._close_executors()
            self.resources.close()
        if self._lease.lost.is_set():
            raise LeaseLost(LEASE_LOST_MESSAGE)
        if self._error:
            raise self._error
        return self.progress

    def stop(self) -> None:
        """Drain: start no job, finish those in flight, release the others."""
        self._stop.set()

    def _open_resources(self) -> None:
        wanted = {stage.executor for stage in self.stages}
        if "async" in wanted:
            self.resources.open_teachers()
            self._executors["async"] = AsyncExecutor(
                self._results, self.resources.max_in_flight, self.resources.drain_teachers
            )
        if "sandbox" in wanted:
            slots = self.resources.sandbox().slots
            self._executors["sandbox"] = ThreadExecutor(self._results, slots)

    def _work(self) -> None:
        self._manager = JobManager(
            self.store, self._lease, self._scope, self.progress, self._new_context
        )
        try:
            self._manager.enqueue()
            self._loop()
        finally:
            self._stop.set()
            self._close_executors()
            if not self._lease.lost.is_set():
                self._write_early()
                self._settle_and_claim(self._accept(self._drain_queue()))
                self._manager.release()

    def _new_context(self, policy: Policy, variant_id: int) -> StageContext:
        return StageContext(
            policy,
            variant_id,
            self.resources.sandbox,
            self.resources.teacher,
            self._lease.worker_id,
            self._early_rows.put,
        )

    def _close_executors(self) -> None:
        """Stop the jobs that are still in flight."""
        executors, self._executors = list(self._executors.values()), {}
        for executor in executors:
            if isinstance(executor, AsyncExecutor):
                executor.cancel()
                executor.call(self.resources.close_teachers())
        if executors:
            self.resources.close()  # ends the calls in the sandbox, so that its threads can end
        for executor in executors:
            executor.close()

    # The loop --------------------------------------------------------------------------------

    def _loop(self) -> None:
        results: list[JobResult] = []
        while not self._stop.is_set():
            results = self._settle_and_claim([*results, *self._gather()])
            if time.monotonic() - self._maintained > MAINTENANCE_SECONDS:
                self._maintain()
            self._report()
            if time.monotonic() - self._written_early > WRITE_EARLY_SECONDS:
                self._write_early()
            if not results and not self._manager.in_progress and self._is_finished():
                return
        self._drain(results)

    def _settle_and_claim(self, results: list[JobResult]) -> list[JobResult]:
        """Settle, claim and start jobs; return the results of those that ran inline."""
        capacity: dict[str, int] = {
            name: executor.free_capacity() for name, executor in self._executors.items()
        }
        began = time.monotonic()
        try:
            claimed = self._manager.settle_and_claim(
                results, None if self._stop.is_set() else capacity
            )
        except LeaseLost:
            self._lose_lease()
            return []
        self._commit_seconds = time.monotonic() - began
        if claimed:
            self._idle = IDLE_SECONDS[0]
        return self._start(claimed)

    def _write_early(self) -> None:
        """Store what is known of jobs in progress, and why this worker waits, if that is new."""
        self._written_early = time.monotonic()
        rows: list[NewRow] = []
        while not self._early_rows.empty():
            rows += self._early_rows.get()
        if not rows and self._notice == self.progress.notice:
            return
        self._notice = self.progress.notice
        try:
            self._manager.write_early(rows, self._notice)
        except LeaseLost:
            self._lose_lease()

    def _lose_lease(self) -> None:
        logger.info("worker %d lost its lease", self._lease.worker_id)
        self._lease.lost.set()
        self._stop.set()

    def _is_finished(self) -> bool:
        """Return whether no job is left; pauses when other workers may add some."""
        self._maintain()
        if self._manager.enqueue():
            return False
        self.progress.waiting_for = still_open = self._manager.open_jobs()
        if not still_open and not self.watch:
            return True
        if any(state in ("pending", "suspect") for state, _ in still_open):
            self._manager.reset_cursors()
        self._report()
        self._stop.wait(self._idle)
        self._idle = min(2 * self._idle, IDLE_SECONDS[1])
        return False

    def _maintain(self) -> None:
        self._manager.maintain()
        self._maintained = time.monotonic()

    def _drain(self, results: list[JobResult]) -> None:
        """Release the jobs that have not started, wait for those in flight, settle them."""
        for executor in self._executors.values():
            self._manager.release(executor.drain())
        deadline = time.monotonic() + DRAIN_SECONDS
        while not self._lease.lost.is_set() and time.monotonic() < deadline:
            running = any(executor.in_progress() for executor in self._executors.values())
            results = self._settle_and_claim([*results, *self._gather()])
            self._report()
            if not running and self._results.empty():
                return

    def _report(self) -> None:
        self.progress.in_flight = self._manager.in_progress
        self.on_progress(self.progress)

    # Jobs ------------------------------------------------------------------------------------

    def _start(self, claimed: Iterable[ClaimedJob]) -> list[JobResult]:
        """Submit jobs to their executors, or run them inline; return the results of the latter."""
        inline: list[ClaimedJob] = []
        submitted: dict[ExecutorName, list[ClaimedJob]] = defaultdict(list)
        for job in claimed:
            name = job.stage.executor
            is_inline = job.row is None or name not in self._executors
            (inline if is_inline else submitted[name]).append(job)
        for name, jobs in submitted.items():
            self._executors[name].submit(jobs)
        return self._accept(map(run_job, inline))

    def _drain_queue(self) -> list[JobResult]:
        results = []
        while not self._results.empty():
            results.append(self._results.get())
        return results

    def _gather(self) -> list[JobResult]:
        """Wait for a result, then gather those that follow for one commit."""
        if not self._is_running() and self._results.empty():
            return []
        results: list[JobResult] = []
        until = time.monotonic() + POLL_SECONDS
        enough, most = COMMIT_ROWS
        while len(results) < most and (left := until - time.monotonic()) > 0:
            try:
                results.append(self._results.get(timeout=left))
            except Empty:
                break
            if len(results) == 1:
                until = time.monotonic() + self._gather_seconds()
            if self._results.empty() and (len(results) >= enough or self._needs_jobs()):
                break
        return self._accept(results)

    def _is_running(self) -> bool:
        return any(executor.in_progress() for executor in self._executors.values())

    def _gather_seconds(self) -> float:
        """How long to gather results that end shortly after each other."""
        if not any(executor.is_idle() for executor in self._executors.values()):
            return BUSY_GATHER_SECONDS
        shortest, longest = GATHER_SECONDS
        return min(longest, max(shortest, GATHER_FACTOR * self._commit_seconds))

    def _needs_jobs(self) -> bool:
        """Return whether an executor needs jobs and the store may have some."""
        if not self._is_running():
            return True
        return any(
            executor.is_idle() and self._manager.may_claim(name)
            for name, executor in self._executors.items()
        )

    def _accept(self, results: Iterable[JobResult]) -> list[JobResult]:
        """Return the results to settle; jobs that an unavailable endpoint stopped are released."""
        ended = list(results)
        stopped = [result for result in ended if result.stop]
        if stopped:
            self._error = self._error or stopped[0].stop
            logger.info("the run ends: %s", self._error)
            self._manager.release([r.claim for r in stopped if not r.outcome.rows])
            self._stop.set()
        return [r for r in ended if not r.stop or r.outcome.rows]


__all__ = ["Progress", "Worker", "by_stage"]
