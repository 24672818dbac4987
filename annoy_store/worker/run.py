"""A run as `annoy run` starts it: workers and batch passes, with a display, signals and prices."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from annoy_store.batch.client import BatchClient, batch_client
from annoy_store.batch.session import BatchPass
from annoy_store.batch.status import open_batch_summary
from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.states import STAGE_NAMES
from annoy_store.errors import EndpointUnavailable, UsageError, unknown_name
from annoy_store.inference.prices import insert_prices
from annoy_store.interfaces import Stage
from annoy_store.stages import PIPELINE
from annoy_store.worker.outlook import Outlook, StoreWatcher
from annoy_store.worker.progress import Progress, by_stage
from annoy_store.worker.stop_condition import StopCondition
from annoy_store.worker.worker import Worker


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes:
        progress: what was done.
        seconds: how long it took.
        interrupted: whether a signal ended it.
        stopped: why it ended early (a budget), as a sentence.
        stop_condition: whether the stop condition was met, as a sentence.
        open_batches: the open batches, and the command that collects them, as sentences.
        batch_errors: temporary errors of batches, as sentences.
        outlook: what all workers of the store have done since the run started, and what it cost.
    """

    progress: Progress
    seconds: float
    interrupted: bool
    stopped: str | None = None
    stop_condition: str | None = None
    open_batches: tuple[str, ...] = ()
    batch_errors: tuple[str, ...] = ()
    outlook: Outlook | None = None

    @property
    def failed(self) -> int:
        """How many jobs failed."""
        return self.progress.failed

    def by_stage(self) -> dict[str, dict[str, int]]:
        """Return the ended jobs by stage and state."""
        return by_stage(self.progress)


def run(
    store: Database,
    settings: RunSettings,
    names: Sequence[str] = (),
    *,
    limit: int | None = None,
    watch: bool = False,
    until_correct: int | None = None,
    display: Callable[[Progress], None] = lambda _: None,
    on_signal: Callable[[Callable[[], None]], None] = lambda _: None,
) -> RunResult:
    """Run stages on a store until no job is left.

    A run ends earlier when `until_correct` chains are correct, or when a budget is used up and only
    calls are left.

    Args:
        store: the store.
        settings: how this process runs.
        names: the stages to run; all of them if empty.
        limit: the maximum number of jobs per stage; None for no limit.
        watch: keep running when no job is left, until the run is stopped.
        until_correct: the number of correct chains to stop at.
        display: called with the progress several times a second.
        on_signal: called once with the function that stops the run, to be called by a signal.

    Returns:
        How the run ended.

    Raises:
        UsageError: an unknown stage, or a setting is missing or wrong.
        EndpointUnavailable: an endpoint rejects every call.
        LeaseLost: this worker was declared dead.
    """
    stages = _chosen_stages(names)
    insert_prices(store, settings)
    condition = StopCondition(store, until_correct) if until_correct else None
    if condition and condition.is_met:
        return RunResult(Progress(), 0.0, False, stop_condition=str(condition))
    this = Run(store, settings, stages, limit, condition, display)
    on_signal(this.stop)
    started = time.monotonic()
    with this.watcher:
        this.work(watch)
    seconds = time.monotonic() - started
    if condition:
        condition.recount()
    return RunResult(
        this.progress,
        seconds,
        this.stopped.is_set(),
        this.exhausted_budget,
        str(condition) if condition else None,
        tuple(this.open_batches()),
        tuple(this.batch_errors),
        this.watcher.read_last(),
    )


def _chosen_stages(names: Sequence[str]) -> list[Stage]:
    """Return the stages of these names, all if there are none; raise UsageError for others."""
    if unknown := set(names) - set(STAGE_NAMES):
        raise UsageError(unknown_name("stage", min(unknown), STAGE_NAMES))
    return [stage for stage in PIPELINE if not names or stage.name in names]


class Run:
    """One run: a worker, and a batch pass before and after it where calls are sent in batches.

    Args:
        store: the store.
        settings: how this process runs.
        stages: the stages to run.
        limit: the maximum number of jobs per stage; None for no limit.
        condition: when to stop although jobs are left; None for no such condition.
        display: called with the progress several times a second.
    """

    def __init__(
        self,
        store: Database,
        settings: RunSettings,
        stages: Sequence[Stage],
        limit: int | None,
        condition: StopCondition | None,
        display: Callable[[Progress], None],
    ) -> None:
        self._store, self._settings, self._stages = store, settings, stages
        self._limit, self._condition, self._display = limit, condition, display
        goal = condition.counts if condition else None
        self.watcher = StoreWatcher(store, settings, stages, limit, goal)
        self.stopped = threading.Event()
        self.progress = Progress()
        self.batch_errors: list[str] = []
        self.exhausted_budget: str | None = None
        self._worker: Worker | None = None

    def stop(self) -> None:
        """Finish the jobs in flight, and start no more."""
        self.stopped.set()
        self.progress.stopping = True
        if self._worker:
            self._worker.stop()

    def work(self, watch: bool) -> None:
        """Run until no job is left; with `watch`, until `stop` is called. Raises as `run` does."""
        calls = any(stage.executor == "async" for stage in self._stages)
        client = batch_client(self._store, self._settings, self.stopped.is_set) if calls else None
        if client is None:
            return self._run_worker(watch)
        try:
            while self._run_with_batches(client, watch) and watch:
                self._wait(client.poll_interval)
        finally:
            client.close()

    def _run_with_batches(self, client: BatchClient, watch: bool) -> bool:
        """Collect, work, submit; return whether to repeat that."""
        self.batch_errors, self.exhausted_budget = [], None
        self._note(client.collect(), watch)
        if not self.stopped.is_set():
            self._run_worker(watch=False)
        if self.stopped.is_set() or (self._condition and self._condition.is_met):
            return False
        left = None if self._limit is None else self._limit - self.progress.submitted_calls
        self._note(client.submit(left), watch)
        return not self.stopped.is_set() and bool(self.open_batches() or not self.exhausted_budget)

    def _note(self, done: BatchPass, watch: bool) -> None:
        """Add the results of a batch pass; raise EndpointUnavailable if every call is rejected."""
        self.progress.ended += done.job_states
        self.progress.submitted_calls += done.submitted
        self.exhausted_budget = self.exhausted_budget or done.exhausted_budget
        self.batch_errors += done.problems
        if done.stop_reason or (done.unreachable_reason and not watch):
            raise EndpointUnavailable(done.stop_reason or done.unreachable_reason or "")

    def _run_worker(self, watch: bool) -> None:
        """Run the jobs that can be run now."""
        self._worker = worker = Worker(
            self._store,
            self._settings,
            self._stages,
            limit=self._limit,
            watch=watch,
            on_progress=self._report,
            progress=self.progress,
        )
        if self.stopped.is_set():
            worker.stop()
        worker.run()
        self.exhausted_budget = self.exhausted_budget or worker.resources.exhausted_budget

    def _report(self, progress: Progress) -> None:
        assert self._worker
        progress.notice = _notice(self._worker)
        progress.connections = self._worker.resources.connections()
        progress.outlook = self.watcher.outlook
        self._display(progress)
        if self._condition and self._condition.check():
            self._worker.stop()

    def open_batches(self) -> list[str]:
        """Return the open batches, as sentences."""
        with self._store.read() as connection:
            return open_batch_summary(connection)

    def _wait(self, seconds: float) -> None:
        """Wait until the batches are to be polled again, or the run is stopped."""
        self.progress.notice = (
            "; ".join([*self.batch_errors, *self.open_batches()]) or "no open batches"
        )
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.stopped.wait(min(1.0, left)):
            self.progress.outlook = self.watcher.outlook
            self._display(self.progress)


def _notice(worker: Worker) -> str:
    """Return why the run sends no calls now, or gets no answers; empty if it does."""
    if worker.resources.exhausted_budget:
        return worker.resources.exhausted_budget
    if end := worker.resources.peak_hours_end():
        return f"peak hours until {end:%a %H:%M} UTC: no calls are sent"
    return worker.resources.notice()
