"""The worker: the one loop that claims, works, settles and heartbeats until nothing is pending.

Decisions
- One thread talks to the store (`job_manager.py`). Lanes work in others and hand back how jobs
  ended. It sleeps until something has, and gathers what follows, so that one commit serves many:
  for `FED_SECONDS` or a few dozen while every lane has enough to do, which is also what kill -9 can
  lose; for a few times as long as the last commit took when one has not, so that a short chain is
  not kept waiting.
- Stages near the end are fed first: chains close early, and what waits is small.
- A run ends when nothing that it may claim is pending, due, suspect or held by anybody else. It
  plans once more before it ends, and it waits for others, saying for whom.
- The first signal drains: nothing new is begun, calls in flight are waited for, the rest goes
  back. The second stops at once. kill -9 loses at most the work in flight.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.errors import EndpointUnavailable, LeaseLost
from annoy_store.interfaces import ExecutorName as LaneName
from annoy_store.interfaces import Outcome, Stage, StageContext
from annoy_store.queue.jobs import JobResult
from annoy_store.queue.lease import Lease
from annoy_store.queue.workers import LEASE_LOST_MESSAGE, MAX_CRASHES
from annoy_store.stages import PIPELINE
from annoy_store.worker.claim_cursor import ClaimedBatch
from annoy_store.worker.executors import (
    AsyncExecutor,
    Executor,
    Results,
    Stopped,
    Task,
    ThreadExecutor,
    work_on,
)
from annoy_store.worker.job_manager import JobManager, WorkerScope
from annoy_store.worker.progress import Progress, by_stage
from annoy_store.worker.resources import WorkerResources

COMMIT_ROWS = (32, 500)  # worth a commit; the most of one, when they come faster than it
GATHER_SECONDS = (0.005, 0.1)
GATHER_FACTOR = 4
BUSY_GATHER_SECONDS = 0.2
POLL_SECONDS = 0.25  # the longest sleep: signals, the display and dry places are looked at then
IDLE_SECONDS = (0.05, 1.0)
MAINTENANCE_SECONDS = 5.0
DRAIN_SECONDS = 60.0


class Worker:
    """One process's share of a run over `stages` of a store."""

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
        self._lanes: dict[LaneName, Executor] = {}
        self._stop = threading.Event()
        self._error: EndpointUnavailable | None = None
        self._committing = 0.0
        self._idle = IDLE_SECONDS[0]
        self._kept_up = time.monotonic()

    # Life ------------------------------------------------------------------------------------

    def run(self) -> Progress:
        """Work until nothing is left. Raises StopRun or LostClaim when it had to end early."""
        try:
            self._open_hands()
            names = [stage.name for stage in self.stages]
            seconds = self.settings.lease_seconds
            with Lease(self.store, names, seconds, self.stop) as self._lease:
                self._work()
        finally:
            self._close_lanes()
            self.resources.close()
        if self._lease.lost.is_set():
            raise LeaseLost(LEASE_LOST_MESSAGE)
        if self._error:
            raise self._error
        return self.progress

    def stop(self) -> None:
        """Drain: begin nothing new, finish what is in flight, give the rest back."""
        self._stop.set()

    def _open_hands(self) -> None:
        wanted = {stage.executor for stage in self.stages}
        if "asking" in wanted:
            self.resources.open_teachers()
            self._lanes["asking"] = AsyncExecutor(
                self._results, self.resources.max_in_flight, self.resources.drain_teachers
            )
        if "sandbox" in wanted:
            self._lanes["sandbox"] = ThreadExecutor(self._results, self.resources.sandbox().slots)

    def _work(self) -> None:
        self._desk = JobManager(self.store, self._lease, self._scope, self.progress)
        try:
            self._desk.enqueue()
            self._loop()
        finally:
            self._stop.set()
            self._close_lanes()
            if not self._lease.lost.is_set():
                self._round(self._kept(self._drain_queue()))
                self._desk.release()

    def _close_lanes(self) -> None:
        """Drop what is still in flight."""
        lanes, self._lanes = list(self._lanes.values()), {}
        for lane in lanes:
            if isinstance(lane, AsyncExecutor):
                lane.cancel()
                lane.call(self.resources.close_teachers())
        if lanes:
            self.resources.close()  # ends what runs in the sandbox, so that its lane can close
        for lane in lanes:
            lane.close()

    # The loop --------------------------------------------------------------------------------

    def _loop(self) -> None:
        ended: list[JobResult] = []
        while not self._stop.is_set():
            ended = self._round([*ended, *self._gather()])
            if time.monotonic() - self._kept_up > MAINTENANCE_SECONDS:
                self._keep_up()
            self._report()
            if not ended and not self._desk.in_progress and self._over():
                return
        self._wind_up(ended)

    def _round(self, ended: list[JobResult]) -> list[JobResult]:
        """Settle what ended, claim, begin; return what has ended again by then (inline work)."""
        room: dict[str, int] = {name: lane.free_capacity() for name, lane in self._lanes.items()}
        began = time.monotonic()
        try:
            taken = self._desk.settle_and_claim(ended, None if self._stop.is_set() else room)
        except LeaseLost:
            self._lease.lost.set()
            self._stop.set()
            return []
        self._committing = time.monotonic() - began
        if taken:
            self._idle = IDLE_SECONDS[0]
        return [e for t in taken for e in self._begin(t)]

    def _over(self) -> bool:
        """True when there is nothing left for us; waits a little when others may make more."""
        self._keep_up()
        if self._desk.enqueue():
            return False
        self.progress.waiting_for = still = self._desk.open_jobs()
        if not still and not self.watch:
            return True
        if any(state in ("pending", "suspect") for state, _ in still):
            self._desk.reset_cursors()
        self._report()
        self._stop.wait(self._idle)
        self._idle = min(2 * self._idle, IDLE_SECONDS[1])
        return False

    def _keep_up(self) -> None:
        self._desk.maintain()
        self._kept_up = time.monotonic()

    def _wind_up(self, ended: list[JobResult]) -> None:
        """Give back what has not begun, wait for what is in flight, settle it."""
        for lane in self._lanes.values():
            self._desk.release(lane.drain())
        deadline = time.monotonic() + DRAIN_SECONDS
        while not self._lease.lost.is_set() and time.monotonic() < deadline:
            waiting = any(lane.in_progress() for lane in self._lanes.values())
            ended = self._round([*ended, *self._gather()])
            self._report()
            if not waiting and self._results.empty():
                return

    def _report(self) -> None:
        self.progress.in_flight = self._desk.in_progress
        self.on_progress(self.progress)

    # Work ------------------------------------------------------------------------------------

    def _begin(self, taken: ClaimedBatch) -> list[JobResult]:
        """Hand claims to their lane, or do them here; return those that have ended."""
        stage, claims, rows = taken.place.stage, taken.claims, taken.rows
        tools = StageContext(
            self._desk.stage_plan.policy,
            taken.place.variant_id,
            self.resources.sandbox,
            self.resources.teacher,
            self._lease.worker_id,
        )
        tasks = [Task(c, stage, rows[c.subject_id], tools) for c in claims if c.subject_id in rows]
        unwanted = Outcome("rejected", (), "not_wanted")
        ended = [JobResult(c, unwanted) for c in claims if c.subject_id not in rows]
        lane = self._lanes.get(stage.executor)
        if lane is None:
            return ended + self._kept(map(work_on, tasks))
        lane.submit(tasks)
        return ended

    def _drain_queue(self) -> list[JobResult | Stopped]:
        gathered = []
        while not self._results.empty():
            gathered.append(self._results.get())
        return gathered

    def _gather(self) -> list[JobResult]:
        """Wait for a result, then take what comes for one commit."""
        if not any(lane.in_progress() for lane in self._lanes.values()) and self._results.empty():
            return []
        gathered: list[JobResult | Stopped] = []
        until = time.monotonic() + POLL_SECONDS
        enough, most = COMMIT_ROWS
        while len(gathered) < most and (left := until - time.monotonic()) > 0:
            try:
                gathered.append(self._results.get(timeout=left))
            except Empty:
                break
            if len(gathered) == 1:
                until = time.monotonic() + self._window()
            if self._results.empty() and (len(gathered) >= enough or self._is_hungry()):
                break
        return self._kept(gathered)

    def _window(self) -> float:
        """How long results that come together may wait for each other."""
        if not any(lane.is_idle() for lane in self._lanes.values()):
            return BUSY_GATHER_SECONDS
        shortest, longest = GATHER_SECONDS
        return min(longest, max(shortest, GATHER_FACTOR * self._committing))

    def _is_hungry(self) -> bool:
        """True when a lane will soon be idle that the store may have work for."""
        if not any(lane.in_progress() for lane in self._lanes.values()):
            return True
        return any(n.is_idle() and self._desk.may_claim(name) for name, n in self._lanes.items())

    def _kept(self, results: Iterable[JobResult | Stopped]) -> list[JobResult]:
        """The jobs that ended; those that were stopped go back, and the run ends."""
        gathered = list(results)
        stopped = [r for r in gathered if isinstance(r, Stopped)]
        if stopped:
            self._error = self._error or stopped[0].error
            self._desk.release([s.claim for s in stopped if not s.made])
            self._stop.set()
        ended = (r.made if isinstance(r, Stopped) else r for r in gathered)
        return [e for e in ended if e is not None]


__all__ = ["Progress", "Worker", "by_stage"]
