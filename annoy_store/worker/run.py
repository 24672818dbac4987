"""A run as a person starts it: its rounds with a display, signals and prices."""

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
from annoy_store.errors import EndpointUnavailable, UsageError
from annoy_store.inference.prices import insert_prices
from annoy_store.interfaces import Stage
from annoy_store.stages import PIPELINE, STAGES
from annoy_store.worker.progress import Progress, by_stage
from annoy_store.worker.stop_condition import StopCondition
from annoy_store.worker.worker import Worker


@dataclass(frozen=True)
class RunResult:
    """How a run ended."""

    progress: Progress
    seconds: float
    interrupted: bool
    stopped: str | None = None  # why it ended before all was done
    stop_condition: str | None = None  # what became of the goal
    open_batches: tuple[str, ...] = ()  # what is out in batches, and the command to come back with
    batch_errors: tuple[str, ...] = ()  # what could not be done with a batch, for now

    @property
    def failed(self) -> int:
        return self.progress.failed

    def by_stage(self) -> dict[str, dict[str, int]]:
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
    """Run the named stages (all without names) on a store until nothing is left.

    It ends before that when `until_correct` chains are correct, or when a budget is reached and
    what is left are calls. Raises UsageError, StopRun, LostClaim.
    """
    stages = [stage for stage in PIPELINE if not names or stage.name in names]
    if unknown := set(names) - set(STAGES):
        raise UsageError(f"unknown stage {min(unknown)!r}; stages are: {', '.join(STAGES)}")
    insert_prices(store, settings)
    goal = StopCondition(store, until_correct) if until_correct else None
    if goal and goal.is_met:
        return RunResult(Progress(), 0.0, False, stop_condition=str(goal))
    rounds = Run(store, settings, stages, limit, goal, display)
    on_signal(rounds.stop)
    started = time.monotonic()
    rounds.work(watch)
    seconds = time.monotonic() - started
    if goal:
        goal.recount()
    return RunResult(
        rounds.progress,
        seconds,
        rounds.stopped.is_set(),
        rounds.exhausted_budget,
        str(goal) if goal else None,
        tuple(rounds.open_batches()),
        tuple(rounds.batch_errors),
    )


class Run:
    """The rounds of one run."""

    def __init__(
        self,
        store: Database,
        settings: RunSettings,
        stages: Sequence[Stage],
        limit: int | None,
        goal: StopCondition | None,
        display: Callable[[Progress], None],
    ) -> None:
        self._store, self._settings, self._stages = store, settings, stages
        self._limit, self._goal, self._display = limit, goal, display
        self.stopped = threading.Event()
        self.progress = Progress()
        self.batch_errors: list[str] = []
        self.exhausted_budget: str | None = None
        self._worker: Worker | None = None

    def stop(self) -> None:
        """Finish what is in flight, and begin nothing more."""
        self.stopped.set()
        if self._worker:
            self._worker.stop()

    def work(self, watch: bool) -> None:
        """Work round by round. Raises UsageError, StopRun, LostClaim."""
        asks = any(stage.executor == "async" for stage in self._stages)
        clerk = batch_client(self._store, self._settings, self.stopped.is_set) if asks else None
        if clerk is None:
            return self._work(watch)
        try:
            while self._round(clerk, watch) and watch:
                self._wait(clerk.poll_interval)
        finally:
            clerk.close()

    def _round(self, clerk: BatchClient, watch: bool) -> bool:
        """Take in, work, hand in; say whether there is a reason for another round."""
        self.batch_errors, self.exhausted_budget = [], None
        self._note(clerk.collect(), watch)
        if not self.stopped.is_set():
            self._work(watch=False)
        if self.stopped.is_set() or (self._goal and self._goal.is_met):
            return False
        left = None if self._limit is None else self._limit - self.progress.submitted_calls
        self._note(clerk.submit(left), watch)
        return not self.stopped.is_set() and bool(self.open_batches() or not self.exhausted_budget)

    def _note(self, visit: BatchPass, watch: bool) -> None:
        """Add up what a visit did. Raises StopRun when nobody gets an answer, or nobody is there."""
        self.progress.ended += visit.job_states
        self.progress.submitted_calls += visit.submitted
        self.exhausted_budget = self.exhausted_budget or visit.exhausted_budget
        self.batch_errors += visit.problems
        if visit.stop_reason or (visit.unreachable_reason and not watch):
            raise EndpointUnavailable(visit.stop_reason or visit.unreachable_reason or "")

    def _work(self, watch: bool) -> None:
        """Let a worker do what can be done now."""
        before = self.progress
        self._worker = worker = Worker(
            self._store,
            self._settings,
            self._stages,
            limit=self._limit,
            watch=watch,
            on_progress=self._report,
            progress=before,
        )
        if self.stopped.is_set():
            worker.stop()
        worker.run()
        self.exhausted_budget = self.exhausted_budget or worker.resources.exhausted_budget

    def _report(self, progress: Progress) -> None:
        assert self._worker
        progress.notice = _notice(self._worker)
        self._display(progress)
        if self._goal and self._goal.check():
            self._worker.stop()

    def open_batches(self) -> list[str]:
        """What is out, in words."""
        with self._store.read() as connection:
            return open_batch_summary(connection)

    def _wait(self, seconds: float) -> None:
        """Wait until it is worth looking at the batches again, or we are stopped."""
        self.progress.notice = (
            "; ".join([*self.batch_errors, *self.open_batches()]) or "nothing is out"
        )
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.stopped.wait(min(1.0, left)):
            self._display(self.progress)


def _notice(worker: Worker) -> str:
    """Why the run asks nothing now, if so."""
    if worker.resources.exhausted_budget:
        return worker.resources.exhausted_budget
    end = worker.resources.peak_hours_end()
    return f"peak hours until {end:%a %H:%M} UTC: nothing is asked" if end else ""
