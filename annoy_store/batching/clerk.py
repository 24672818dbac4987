"""The clerk: comes by, takes in what has ended, hands in what waits, and leaves.

Decision: nothing is kept between visits but what the store knows, so it makes no difference which
process comes by, on which machine, or whether the last one was killed.
"""

from __future__ import annotations

from collections.abc import Callable

from annoy_store.batching.account import Account, Visit, batch_teachers
from annoy_store.batching.collecting import collect
from annoy_store.batching.held import Held
from annoy_store.batching.sending import hand_in
from annoy_store.database import Store
from annoy_store.endpoints.faults import Fault
from annoy_store.errors import StopRun
from annoy_store.policies import utc_now
from annoy_store.settings import RunSettings

LONGEST_PAUSE = 600.0
_SLOWER = 1.5


class Clerk:
    """Deals with the batches of one account."""

    def __init__(self, account: Account, stopping: Callable[[], bool] = lambda: False) -> None:
        self._account = account
        account.stopping = stopping
        self.pause = account.settings.poll_seconds

    def collect(self) -> Visit:
        """Take in what has ended."""
        with self._account.visit() as visit:
            collect(visit)
        self._pace(visit)
        return visit

    def hand_in(self, limit: int | None = None) -> Visit:
        """Hand in what waits, at most `limit` calls."""
        with self._account.visit() as visit:
            hand_in(visit, limit)
        return visit

    def cancel(self, batch: Held) -> str:
        """Ask the provider to end a batch; return how it is then. Raises StopRun."""
        try:
            remote = self._account.wire.cancel(str(batch.remote_id))
        except Fault as fault:
            if fault.status == 404:
                return "unknown"
            raise StopRun(self._account.advice(fault)) from None
        self._account.note(batch, status=remote.status, polled_at=utc_now())
        return remote.status

    def look(self, batch: Held) -> str:
        """Return how a batch is at the provider, or what kept us from knowing, and note it."""
        try:
            remote = self._account.wire.look(str(batch.remote_id))
        except Fault as fault:
            return fault.reason
        self._account.note(batch, status=remote.status, polled_at=utc_now())
        return remote.status

    def deals_with(self, batch: Held) -> bool:
        """Say whether a batch is at our endpoint."""
        return batch.base_url == self._account.url

    def close(self) -> None:
        """Give the connections back."""
        self._account.wire.close()

    def _pace(self, visit: Visit) -> None:
        """Look less often while nothing happens."""
        first = self._account.settings.poll_seconds
        longest = max(first, LONGEST_PAUSE)
        self.pause = first if visit.moved else min(longest, _SLOWER * self.pause)


def clerk_of(
    store: Store, settings: RunSettings, stopping: Callable[[], bool] = lambda: False
) -> Clerk | None:
    """The clerk that the settings need; None if they name no teacher by batch.

    Raises UsageError for what is missing.
    """
    teachers = batch_teachers(store, settings)
    return Clerk(Account(store, settings, teachers), stopping) if teachers else None
