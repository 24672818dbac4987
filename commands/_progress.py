"""How far a command is, on stderr: a bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from ._text import safe

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import ProgressColumn

    from annoy_store.interfaces import ShowProgress

LINE_SECONDS = 10.0
BAR_WIDTH = 20
NUMBERS_WIDTH = 30  # of the spinner, the share and the times beside the bar


@contextmanager
def progress(ctx: click.Context) -> Iterator[ShowProgress]:
    """Yield a function that shows progress on stderr: a bar, or a line every ten seconds."""
    if ctx.find_root().params.get("quiet"):
        yield lambda message, done=0, total=None: None
        return
    if not sys.stderr.isatty():
        yield _line_from_time_to_time()
        return
    from rich.console import Console

    from annoy_store.worker.live_frame import LiveFrame

    console = Console(file=sys.stderr)
    if console.is_dumb_terminal:
        yield _line_from_time_to_time()
        return
    bar = _Bar(console)
    with LiveFrame(console, bar.render):
        yield bar


class _Bar:
    """The progress of one step after another as a line; called to show it."""

    def __init__(self, console: Console) -> None:
        from rich.progress import Progress

        self._bars = Progress(console=console, auto_refresh=False)
        self._task = self._bars.add_task("starting", total=None)
        self._total: int | None = None

    def __call__(self, message: str, done: int = 0, total: int | None = None) -> None:
        if total != self._total:  # another step, with a speed of its own
            self._bars.remove_task(self._task)
            self._task, self._total = self._bars.add_task("", total=total), total
        self._bars.update(self._task, description=safe(message, one_line=True), completed=done)

    def render(self, width: int) -> RenderableType:
        """Return the line for a terminal of so many columns; a long message ends in an ellipsis."""
        self._bars.columns = tuple(_columns(width))
        return self._bars.get_renderable()


def _columns(width: int) -> Iterator[ProgressColumn]:
    from rich import progress as bars
    from rich.table import Column

    most = max(10, width - BAR_WIDTH - NUMBERS_WIDTH)
    words = Column(no_wrap=True, overflow="ellipsis", max_width=most)
    yield bars.SpinnerColumn()
    yield bars.TextColumn("{task.description}", markup=False, table_column=words)
    yield bars.BarColumn(BAR_WIDTH)
    yield bars.TaskProgressColumn()
    yield bars.TimeElapsedColumn(Column(no_wrap=True))
    yield bars.TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True))


def _line_from_time_to_time() -> ShowProgress:
    due = time.monotonic() + LINE_SECONDS

    def show(message: str, done: int = 0, total: int | None = None) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + LINE_SECONDS
            share = f" ({done / total:.0%})" if total else ""
            click.echo(safe(message, one_line=True) + share, err=True)

    return show
