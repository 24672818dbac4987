"""Backoff between the tries of a call.

Decisions
- What the provider asks for is waited for in full, plus jitter.
- After an error the wait is exponential with full jitter, doubling up to a minute. A rate-limited
  call returns within seconds: the concurrency limit protects the provider, and long waits would
  starve the calls that are rejected several times. Once its 429s count as tries, its waits double
  too: 4 + 8 + 16 + 32 s outlast a limit per minute.
- An answer that was paid for and is not whole is asked for once more, with another seed: with the
  same one the same answer might be bought again.
- So is every try after a reply of status 200 that holds no answer (cut off, HTML, empty): a cache on
  the way may have stored that reply, and would repeat it. After an error status, a broken connection
  or a time-out the seed stays: these are not stored (RFC 9111, section 3), and the answer is the one
  that the first try would have had.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace

from annoy_store.inference.client.errors import CallError
from annoy_store.inference.client.limited_call import LimitedCall
from annoy_store.inference.client.retry_after import with_jitter
from annoy_store.interfaces import Attempt, Completion, Request

_ERROR_BACKOFF = (0.5, 60.0)  # seconds: the first wait at most, and the longest
_RATE_LIMIT_BACKOFF = (0.25, 4.0)
_COUNTED_BACKOFF = 4.0  # seconds, after the first 429 that counts as a try
MAX_PAID_REPLIES = 2  # of one call, without a whole answer


@dataclass
class CallState:
    """One call under way.

    Attributes:
        request: The call.
        prompt_tokens: An estimate of the tokens of its prompt.
        prefix_cached: Set once the beginning of its prompt is cached; None where that does not
            matter.
        is_first: Whether this call is the one that gets the beginning cached.
        attempts: The tries so far.
        n_reported: How many of them the caller knows already.
        failed_tries: How many of them count against the call.
        limited: Its 429s.
        answers: Answers that were paid for and are not whole, by the number of their attempt.
        n_unread: How many other replies of status 200 held no answer.
    """

    request: Request
    prompt_tokens: int
    prefix_cached: asyncio.Event | None = None
    is_first: bool = False
    attempts: list[Attempt] = field(default_factory=list)
    n_reported: int = 0
    failed_tries: int = 0
    limited: LimitedCall = field(default_factory=LimitedCall)
    answers: dict[int, Completion] = field(default_factory=dict)
    n_unread: int = 0

    def next_request(self) -> Request:
        """Return the request of the next try, with the seed that it has to have."""
        unread = self.request.unread_before + self.n_unread
        return replace(self.request, replies_before=self.n_paid, unread_before=unread)

    @property
    def n_paid(self) -> int:
        """Return how many replies were paid for that are no whole answer."""
        return self.request.replies_before + len(self.answers)

    def report_attempts(self) -> None:
        """Tell the caller of new attempts, but for those whose text may yet be the answer."""
        new, self.n_reported = self.attempts[self.n_reported :], len(self.attempts)
        for attempt in new:
            if self.request.on_attempt is not None and attempt.text is None:
                self.request.on_attempt(attempt)

    def fullest_answer(self) -> tuple[int, Completion] | None:
        """Return the answer that says most, with the number of its attempt; None if none does."""
        said = [(n, a) for n, a in self.answers.items() if a.says_anything]
        return max(said, key=lambda one: (*_length(one[1]), one[0]), default=None)


def _length(answer: Completion) -> tuple[int, int]:
    return len(answer.text.strip()), len(answer.reasoning or "")


def backoff_seconds(error: CallError, tries: int, n_counted: int = 0) -> float:
    """Return how long to wait before the next try of a call.

    Full jitter, as in https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.

    Args:
        error: The error that ended the last try.
        tries: How many tries the call has had, at least 1.
        n_counted: How many 429s of the call counted as a try.

    Returns:
        Seconds, never less than the provider asked for.
    """
    if error.retry_after is None and error.kind == "limited" and n_counted:
        return with_jitter(_COUNTED_BACKOFF * 2.0 ** min(n_counted - 1, 4))
    first, longest = _RATE_LIMIT_BACKOFF if error.kind == "limited" else _ERROR_BACKOFF
    backoff = random.uniform(0, min(longest, first * 2.0 ** min(tries - 1, 10)))
    if error.retry_after is None:
        return backoff
    return max(with_jitter(error.retry_after), backoff if tries > 1 else 0.0)
