"""A run as a person starts it: a worker with its display, its signals and its prices.

Decision: where a teacher answers by batch a run goes in rounds: take in what has ended, work until
nothing is left that needs no answer, hand in what waits. One round, and the run ends, saying what is
out; nobody has to stay. With `watch` it stays, and looks again.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from annoy_store.batching.account import Visit
from annoy_store.batching.clerk import Clerk, clerk_of
from annoy_store.batching.telling import waiting
from annoy_store.contracts import Stage
from annoy_store.database import Store
from annoy_store.errors import StopRun, UsageError
from annoy_store.goals import Goal
from annoy_store.pricing import enter_prices
from annoy_store.settings import RunSettings
from annoy_store.stages import PIPELINE, STAGES
from annoy_store.worker import Progress, Worker, by_stage

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table


@dataclass(frozen=True)
class Done:
    """How a run ended."""

    progress: Progress
    seconds: float
    interrupted: bool
    stopped: str | None = None  # why it ended before all was done
    goal: str | None = None  # what became of the goal
    waiting: tuple[str, ...] = ()  # what is out in batches, and the command to come back with
    troubles: tuple[str, ...] = ()  # what could not be done with a batch, for now

    @property
    def failed(self) -> int:
        return self.progress.failed

    def by_stage(self) -> dict[str, dict[str, int]]:
        return by_stage(self.progress)


def run(
    store: Store,
    settings: RunSettings,
    names: Sequence[str] = (),
    *,
    limit: int | None = None,
    watch: bool = False,
    until_correct: int | None = None,
    display: Callable[[Progress], None] = lambda _: None,
    on_signal: Callable[[Callable[[], None]], None] = lambda _: None,
) -> Done:
    """Run the named stages (all without names) on a store until nothing is left.

    It ends before that when `until_correct` chains are correct, or when a budget is reached and
    what is left are calls. Raises UsageError, StopRun, LostClaim.
    """
    stages = [stage for stage in PIPELINE if not names or stage.name in names]
    if unknown := set(names) - set(STAGES):
        raise UsageError(f"unknown stage {min(unknown)!r}; stages are: {', '.join(STAGES)}")
    enter_prices(store, settings)
    goal = Goal(store, until_correct) if until_correct else None
    if goal and goal.reached:
        return Done(Progress(), 0.0, False, goal=str(goal))
    rounds = _Rounds(store, settings, stages, limit, goal, display)
    on_signal(rounds.stop)
    started = time.monotonic()
    rounds.go(watch)
    seconds = time.monotonic() - started
    if goal:
        goal.recount()
    with store.read() as connection:
        out = waiting(connection)
    return Done(
        rounds.progress, seconds, rounds.stopped.is_set(), rounds.spent,
        str(goal) if goal else None, tuple(out), tuple(rounds.troubles),
    )  # fmt: skip


class _Rounds:
    """The rounds of one run: one worker each, and a clerk if there are batches."""

    def __init__(
        self,
        store: Store,
        settings: RunSettings,
        stages: Sequence[Stage],
        limit: int | None,
        goal: Goal | None,
        display: Callable[[Progress], None],
    ) -> None:
        self._store, self._settings, self._stages = store, settings, stages
        self._limit, self._goal, self._display = limit, goal, display
        self.stopped = threading.Event()
        self.progress = Progress()
        self.troubles: list[str] = []
        self.spent: str | None = None
        self._worker: Worker | None = None

    def stop(self) -> None:
        """Finish what is in flight, and begin nothing more."""
        self.stopped.set()
        if self._worker:
            self._worker.stop()

    def go(self, watch: bool) -> None:
        """Work round by round. Raises UsageError, StopRun, LostClaim."""
        asks = any(stage.lane == "asking" for stage in self._stages)
        clerk = clerk_of(self._store, self._settings, self.stopped.is_set) if asks else None
        if clerk is None:
            return self._work(watch)
        try:
            while self._round(clerk, watch) and watch:
                self._wait(clerk.pause)
        finally:
            clerk.close()

    def _round(self, clerk: Clerk, watch: bool) -> bool:
        """Take in, work, hand in; say whether there is a reason for another round."""
        self.troubles = []
        self._note(clerk.collect(), watch)
        if not self.stopped.is_set():
            self._work(watch=False)
        if self.stopped.is_set() or self.spent or (self._goal and self._goal.reached):
            return False
        left = None if self._limit is None else self._limit - self.progress.handed_in
        self._note(clerk.hand_in(left), watch)
        return not (self.stopped.is_set() or self.spent)

    def _note(self, visit: Visit, watch: bool) -> None:
        """Add up what a visit did. Raises StopRun when nobody gets an answer, or nobody is there."""
        self.progress.ended += visit.ended
        self.progress.handed_in += visit.sent
        self.spent = self.spent or visit.spent
        self.troubles += visit.troubles
        if visit.stop or (visit.away and not watch):
            raise StopRun(visit.stop or visit.away or "")

    def _work(self, watch: bool) -> None:
        """Let a worker do what can be done now."""
        before = self.progress
        self._worker = worker = Worker(
            self._store, self._settings, self._stages, limit=self._limit, watch=watch,
            on_progress=self._report, before=before,
        )  # fmt: skip
        if self.stopped.is_set():
            worker.stop()
        worker.run()
        self.spent = self.spent or worker.hands.spent

    def _report(self, progress: Progress) -> None:
        assert self._worker
        progress.notice = _notice(self._worker)
        self._display(progress)
        if self._goal and self._goal.look():
            self._worker.stop()

    def _wait(self, seconds: float) -> None:
        """Wait until it is worth looking at the batches again, or we are stopped."""
        with self._store.read() as connection:
            out = waiting(connection)
        self.progress.notice = "; ".join([*self.troubles, *out]) or "nothing is out"
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.stopped.wait(min(1.0, left)):
            self._display(self.progress)


def _notice(worker: Worker) -> str:
    """Why the run asks nothing now, if so."""
    if worker.hands.spent:
        return worker.hands.spent
    end = worker.hands.peak_ends()
    return f"peak hours until {end:%a %H:%M} UTC: nothing is asked" if end else ""


class Display(AbstractContextManager["Display"]):
    """Shows a run on stderr: a live table on a terminal, a plain line now and then elsewhere."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live: Live | None = None
        self._next = 0.0
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), transient=True, refresh_per_second=4)

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, progress: Progress) -> None:
        if self._quiet or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + (0.25 if self._live else 10.0)
        if self._live:
            self._live.update(_table(progress))
        elif progress.ended or progress.waiting_for or progress.notice:
            print(_line(progress), file=sys.stderr, flush=True)


def _line(progress: Progress) -> str:
    ended = by_stage(progress)
    parts = [f"{name} {sum(states.values())}" for name, states in ended.items()]
    waiting = _waiting(progress)
    return f"{_elapsed(progress):.0f} s: {', '.join(parts)}; {progress.in_flight} in hand{waiting}"


def _waiting(progress: Progress) -> str:
    if progress.notice:
        return f"; {progress.notice}"
    others = {worker for (state, worker) in progress.waiting_for if state == "claimed"}
    if progress.in_flight or not progress.waiting_for:
        return ""
    names = ", ".join(f"worker {w}" for w in sorted(others, key=str)) or "jobs that are due later"
    return f"; waiting for {names}"


def _elapsed(progress: Progress) -> float:
    return max(time.monotonic() - progress.started, 0.001)


def _table(progress: Progress) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, caption=f"{progress.in_flight} in hand{_waiting(progress)}")
    for name in ("stage", "done", "rejected", "failed", "per second"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for name, states in by_stage(progress).items():
        rate = sum(states.values()) / _elapsed(progress)
        numbers = (states.get(s, 0) for s in ("done", "rejected", "failed"))
        table.add_row(name, *(f"{n:,}" for n in numbers), f"{rate:,.1f}")
    return table
