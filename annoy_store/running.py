"""A run as a person starts it: a worker with its display, its signals and its prices."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from annoy_store.database import Store
from annoy_store.errors import UsageError
from annoy_store.policies import utc_now
from annoy_store.settings import RunSettings
from annoy_store.stages import PIPELINE, STAGES
from annoy_store.tables import prices
from annoy_store.worker import Progress, Worker, by_stage

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

PRICE_KEYS = ("input", "cached", "output")


@dataclass(frozen=True)
class Done:
    """How a run ended."""

    progress: Progress
    seconds: float
    interrupted: bool

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
    display: Callable[[Progress], None] = lambda _: None,
    on_signal: Callable[[Callable[[], None]], None] = lambda _: None,
) -> Done:
    """Run the named stages (all without names) on a store until nothing is left.

    Raises UsageError, StopRun, LostClaim.
    """
    stages = [stage for stage in PIPELINE if not names or stage.name in names]
    if unknown := set(names) - set(STAGES):
        raise UsageError(f"unknown stage {min(unknown)!r}; stages are: {', '.join(STAGES)}")
    enter_prices(store, settings)
    worker = Worker(store, settings, stages, limit=limit, watch=watch, on_progress=display)
    stopped = [False]

    def stop() -> None:
        stopped[0] = True
        worker.stop()

    on_signal(stop)
    started = time.monotonic()
    progress = worker.run()
    return Done(progress, time.monotonic() - started, stopped[0])


def enter_prices(store: Store, settings: RunSettings) -> None:
    """Enter the prices of the settings where they differ from the store's latest."""
    with store.write() as connection:
        for model, price in settings.prices.items():
            row = {key: float(price.get(key, price.get("input", 0.0))) for key in PRICE_KEYS}
            latest = connection.execute(
                select(prices.c.input, prices.c.cached, prices.c.output)
                .where(prices.c.model == model)
                .order_by(prices.c.from_time.desc())
                .limit(1)
            ).first()
            if latest is None or tuple(latest) != tuple(row.values()):
                since = utc_now() if latest is not None else "1970-01-01T00:00:00.000Z"
                connection.execute(insert(prices).values(model=model, from_time=since, **row))


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
        elif progress.ended or progress.waiting_for:
            print(_line(progress), file=sys.stderr, flush=True)


def _line(progress: Progress) -> str:
    ended = by_stage(progress)
    parts = [f"{name} {sum(states.values())}" for name, states in ended.items()]
    waiting = _waiting(progress)
    return f"{_elapsed(progress):.0f} s: {', '.join(parts)}; {progress.in_flight} in hand{waiting}"


def _waiting(progress: Progress) -> str:
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
