"""The errors this package raises on purpose.

    AnnoyError
      UsageError        a person can mend it; the message says what to type next
        StoreError      the store is missing, too old, too new or not writable
      Undone            a job goes back as it was; the tries made for it are kept
        StopRun         nothing more can be asked of an endpoint; the run ends
        NotNow          not asked any more, because we are stopping or the money is spent
      LostClaim         this worker was declared dead; another one holds its jobs
      SandboxError      the sandbox itself broke; never a verdict about the code in it

Everything else that escapes from a stage's work is a bug: its job is settled as `failed`
with the type and the message, and the run goes on.
"""

from __future__ import annotations

from typing import Any


class AnnoyError(Exception):
    """Something that this package foresaw went wrong."""


class UsageError(AnnoyError):
    """A person can mend this; the message says what to do next."""


class StoreError(UsageError):
    """The store cannot be used as it is."""


class JobReturned(AnnoyError):
    """A job goes back as it was; `made` are the tries, later rows, that are kept all the same."""

    def __init__(self, words: str = "", made: tuple[Any, ...] = ()) -> None:
        super().__init__(words)
        self.rows = made


class EndpointUnavailable(JobReturned):
    """The run has to end now; unfinished jobs go back as they were."""


class CallPostponed(JobReturned):
    """A call is not asked now, and nobody is to blame; its job goes back as it was."""


class LeaseLost(AnnoyError):
    """This worker was declared dead and must stop."""


class SandboxError(AnnoyError):
    """The sandbox failed, not the code in it; the work may be tried again."""
