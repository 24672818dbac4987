"""The errors this package raises on purpose.

    AnnoyError
      UsageError        a person can mend it; the message says what to type next
        StoreError      the store is missing, too old, too new or not writable
      StopRun           nothing more can be asked of an endpoint; no job is at fault
      LostClaim         this worker was declared dead; another one holds its jobs
      SandboxError      the sandbox itself broke; never a verdict about the code in it

Everything else that escapes from a stage's work is a bug: its job is settled as `failed`
with the type and the message, and the run goes on.
"""

from __future__ import annotations


class AnnoyError(Exception):
    """Something that this package foresaw went wrong."""


class UsageError(AnnoyError):
    """A person can mend this; the message says what to do next."""


class StoreError(UsageError):
    """The store cannot be used as it is."""


class StopRun(AnnoyError):
    """The run has to end now; unfinished jobs go back as they were."""


class LostClaim(AnnoyError):
    """This worker was declared dead and must stop."""


class SandboxError(AnnoyError):
    """The sandbox failed, not the code in it; the work may be tried again."""
