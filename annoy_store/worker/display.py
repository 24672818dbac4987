"""Shows the progress of a run on a terminal, or as plain lines without one."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from annoy_store.db.states import ENDED_STATES
from annoy_store.worker.progress import Progress, by_stage


class Display(AbstractContextManager["Display"]):
    """Shows a run on stderr: a live table on a terminal, else a plain line every ten seconds.

    A context manager, called with the progress; it limits its own rate.

    Args:
        quiet: show nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live: Live | None = None
        self._next = 0.0
        if not quiet and sys.stderr.isatty():
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
        """Show progress, at a limited rate; does nothing when quiet."""
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
    return (
        f"{_elapsed(progress):.0f} s: {', '.join(parts)}; {progress.in_flight} in progress{waiting}"
    )


def _waiting(progress: Progress) -> str:
    if progress.notice:
        return f"; {progress.notice}"
    others = {worker for (state, worker) in progress.waiting_for if state == "claimed"}
    if progress.in_flight or not progress.waiting_for:
        return ""
    names = ", ".join(f"worker {w}" for w in sorted(others, key=str)) or "deferred jobs"
    return f"; waiting for {names}"


def _elapsed(progress: Progress) -> float:
    return max(time.monotonic() - progress.started, 0.001)


def _table(progress: Progress) -> Table:
    caption = f"{progress.in_flight} in progress{_waiting(progress)}"
    table = Table(box=box.SIMPLE_HEAD, caption=caption)
    for name in ("stage", *ENDED_STATES, "per second"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for name, states in by_stage(progress).items():
        rate = sum(states.values()) / _elapsed(progress)
        numbers = (states.get(s, 0) for s in ENDED_STATES)
        table.add_row(name, *(f"{n:,}" for n in numbers), f"{rate:,.1f}")
    return table
