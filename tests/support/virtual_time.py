"""An event loop on a simulated clock: timers fire in order, and nobody waits for them.

The clock stands still while there is work or traffic on a socket, and jumps to the next timer when
there is none. So what a coroutine does depends on the order of events alone, not on the speed of
the machine, and a minute of waiting costs nothing.

Everything has to run on this one loop: a server on another thread would be overtaken by the clock.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_GRACE_SECONDS = 0.0005  # real time for the kernel to deliver what was sent over loopback


class _JumpingSelector(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    """Returns what is ready; if nothing is, moves the clock instead of waiting."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if ready or timeout <= 0:
            return ready
        ready = super().select(_GRACE_SECONDS)
        if not ready:
            self.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time` is simulated and begins at 0 seconds."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` on a simulated clock and return its result."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)
