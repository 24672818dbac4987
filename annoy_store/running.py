"""A run as a person starts it: its rounds with a display, signals and prices."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from annoy_store.database import Store
from annoy_store.errors import UsageError
from annoy_store.goals import Goal
from annoy_store.pricing import enter_prices
from annoy_store.progress import Progress, by_stage
from annoy_store.rounds import Rounds
from annoy_store.settings import RunSettings
from annoy_store.stages import PIPELINE, STAGES

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
    rounds = Rounds(store, settings, stages, limit, goal, display)
    on_signal(rounds.stop)
    started = time.monotonic()
    rounds.go(watch)
    seconds = time.monotonic() - started
    if goal:
        goal.recount()
    return Done(
        rounds.progress, seconds, rounds.stopped.is_set(), rounds.spent,
        str(goal) if goal else None, tuple(rounds.out()), tuple(rounds.troubles),
    )  # fmt: skip


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
