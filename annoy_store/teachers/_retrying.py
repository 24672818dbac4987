"""The clock of retries: when a call is tried again, and when it is given up.

Decisions
- What the provider asks for is waited for in full, plus jitter.
- A fault backs off with full jitter up to a minute. A refused call comes back within seconds:
  the limit keeps the peace, not the waiting, and long waits would starve the unlucky.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from annoy_store.contracts import Attempt
from annoy_store.teachers._faults import Fault
from annoy_store.teachers._waiting import jittered

_AFTER_FAULT = wait_random_exponential(multiplier=0.5, max=60)
_AFTER_REFUSAL = wait_random_exponential(multiplier=0.25, max=4)


@dataclass
class Call:
    """One call under way: its body, about how many tokens its prompt has, and its tries so far."""

    content: bytes
    weight: int
    attempts: list[Attempt] = field(default_factory=list)
    burned: int = 0


def retrying(tries: int, sleep: Callable[[float], Awaitable[None]]) -> AsyncRetrying:
    """Return a clock for functions of one Call. It is shared state: use a copy for each call."""
    return AsyncRetrying(
        retry=retry_if_exception(lambda error: isinstance(error, Fault) and error.again),
        stop=lambda state: state.args[0].burned >= tries,
        wait=_pause,
        sleep=sleep,
        reraise=True,
    )


def _pause(state: RetryCallState) -> float:
    """Return the seconds before the next try."""
    fault = state.outcome.exception() if state.outcome else None
    if not isinstance(fault, Fault):
        return 0.0
    if fault.wait is None:
        return (_AFTER_REFUSAL if fault.kind == "limited" else _AFTER_FAULT)(state)
    again = _AFTER_REFUSAL(state) if state.attempt_number > 1 else 0.0
    return max(jittered(fault.wait), again)
