"""When a call is tried again, and how long it waits before that.

Decisions
- What the provider asks for is waited for in full, plus jitter.
- A fault backs off with full jitter, doubling up to a minute. A refused call comes back within
  seconds: the limit keeps the peace, not the waiting, and long waits would starve the unlucky.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from annoy_store.inference.client.errors import CallError
from annoy_store.inference.client.retry_after import with_jitter
from annoy_store.interfaces import Attempt

_ERROR_BACKOFF = (0.5, 60.0)  # the first pause at most, and the longest, in seconds
_RATE_LIMIT_BACKOFF = (0.25, 4.0)


@dataclass
class CallState:
    """One call under way: its body, about how many tokens its prompt has, and its tries so far.

    `cached` is set when its prompt's beginning is cached; None where that does not matter.
    """

    body: bytes
    prompt_tokens: int
    prefix_cached: asyncio.Event | None = None
    is_first: bool = False  # it is the one that sees to it
    attempts: list[Attempt] = field(default_factory=list)
    failed_tries: int = 0


def backoff_seconds(fault: CallError, tries: int) -> float:
    """Return the seconds to wait after `fault` ended the last of so many `tries`."""
    first, longest = _RATE_LIMIT_BACKOFF if fault.kind == "limited" else _ERROR_BACKOFF
    backoff = random.uniform(0, min(longest, first * 2.0 ** min(tries - 1, 10)))
    if fault.retry_after is None:
        return backoff
    return max(with_jitter(fault.retry_after), backoff if tries > 1 else 0.0)
