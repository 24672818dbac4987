"""Backoff between the tries of a call.

Decisions
- What the provider asks for is waited for in full, plus jitter.
- After an error the wait is exponential with full jitter, doubling up to a minute. A rate-limited
  call returns within seconds: the concurrency limit protects the provider, and long waits would
  starve the calls that are rejected several times.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from annoy_store.inference.client.errors import CallError
from annoy_store.inference.client.retry_after import with_jitter
from annoy_store.interfaces import Attempt

_ERROR_BACKOFF = (0.5, 60.0)  # seconds: the first wait at most, and the longest
_RATE_LIMIT_BACKOFF = (0.25, 4.0)


@dataclass
class CallState:
    """One call under way.

    Attributes:
        body: The request body, as JSON.
        prompt_tokens: An estimate of the tokens of its prompt.
        prefix_cached: Set once the beginning of its prompt is cached; None where that does not
            matter.
        is_first: Whether this call is the one that gets the beginning cached.
        attempts: The tries so far.
        failed_tries: How many of them count against the call.
    """

    body: bytes
    prompt_tokens: int
    prefix_cached: asyncio.Event | None = None
    is_first: bool = False
    attempts: list[Attempt] = field(default_factory=list)
    failed_tries: int = 0


def backoff_seconds(error: CallError, tries: int) -> float:
    """Return how long to wait before the next try of a call.

    Full jitter, as in https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.

    Args:
        error: The error that ended the last try.
        tries: How many tries the call has had, at least 1.

    Returns:
        Seconds, never less than the provider asked for.
    """
    first, longest = _RATE_LIMIT_BACKOFF if error.kind == "limited" else _ERROR_BACKOFF
    backoff = random.uniform(0, min(longest, first * 2.0 ** min(tries - 1, 10)))
    if error.retry_after is None:
        return backoff
    return max(with_jitter(error.retry_after), backoff if tries > 1 else 0.0)
