"""What Ctrl-C and SIGTERM do: while a command starts, while it works, and in a run.

Decisions
- Until a command begins, a signal ends the process at once: nothing was done yet, and an exception
  in the middle of an import may come out as any other.
- Then a signal raises KeyboardInterrupt, so that the command cleans up. Whatever exception follows
  is told as an interruption.
- A run finishes its calls in flight instead, and says so at once; a second signal ends it at once.
- Handlers write to the file descriptor: the stream may be in use when the signal comes.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_received = False


def exit_at_once(_: int = 0, __: FrameType | None = None) -> NoReturn:
    """End the process, without any cleaning up."""
    _say("interrupted")
    os._exit(INTERRUPTED)


def exit_while_starting() -> None:
    """Let signals end the process at once, until `interrupt_from_now_on` is called."""
    for number in _SIGNALS:
        signal.signal(number, exit_at_once)


def interrupt_from_now_on() -> None:
    """Let signals interrupt the command, if they ended the process at once until now."""
    for number in _SIGNALS:
        if signal.getsignal(number) is exit_at_once:
            signal.signal(number, _interrupt)


def was_interrupted(error: BaseException) -> bool:
    """Return whether an exception follows from a signal, whatever it was turned into."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, KeyboardInterrupt):
            return True
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return _received


def drain_on_signal(
    stop: Callable[[], None],
    seconds: float,
    say: Callable[[str], None],
    leave: Callable[[], None],
) -> None:
    """Call `stop` on the first signal and end the process on the second.

    Args:
        stop: Lets a run finish what is in flight and begin nothing more.
        seconds: How long that may take.
        say: Prints a message beside the progress of the run.
        leave: Leaves the terminal usable, before the process ends.
    """

    def second(_: int, __: FrameType | None) -> None:
        leave()
        os._exit(INTERRUPTED)

    def first(number: int, _: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, second)
        again = "interrupt again" if number == signal.SIGINT else "send SIGTERM again"
        say(f"annoy: finishing calls in flight, for up to {seconds:.0f} s; {again} to stop at once")
        stop()

    for number in _SIGNALS:
        signal.signal(number, first)


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _received
    _received = True
    signal.default_int_handler(number, frame)


def _say(words: str) -> None:
    os.write(2, f"annoy: {words}\n".encode())
