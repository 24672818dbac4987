"""The clerk: comes by, takes in what has ended, hands in what waits, and leaves.

Decision: nothing is kept between visits but what the store knows, so it makes no difference which
process comes by, on which machine, or whether the last one was killed.
"""

from __future__ import annotations

from collections.abc import Callable

from annoy_store.batch.poll import adopt, collect
from annoy_store.batch.results import finish
from annoy_store.batch.rows import Held
from annoy_store.batch.session import Account, Visit, batch_teachers
from annoy_store.batch.submit import hand_in
from annoy_store.config import RunSettings
from annoy_store.db.engine import Store
from annoy_store.db.tables import batches
from annoy_store.db.timestamps import utc_now
from annoy_store.errors import StopRun, UsageError
from annoy_store.inference.client.errors import Fault
from annoy_store.inference.client.providers import normal_url, place

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
        """End a batch and return how it is then: at the provider, or let go. Raises StopRun."""
        with self._account.visit() as visit:
            visit.each([batch] if batch.state == "bound" else [], adopt)  # it may be there
            (batch,) = self._account.found(batches.c.id == batch.id)
            if batch.state == "sent":
                visit.each([batch], _cancel)
        if visit.stop or visit.away:
            raise StopRun(visit.stop or visit.away or "")
        if batch.state == "bound":
            raise UsageError(f"batch {batch.id} is being handed in by another run: wait for it")
        (batch,) = self._account.found(batches.c.id == batch.id)
        return batch.status or batch.state

    def look(self, batch: Held) -> str:
        """Return how a batch is at the provider, or what kept us from knowing, and note it."""
        try:
            remote = self._account.wire.look(str(batch.remote_id))
        except Fault as fault:
            return fault.reason
        self._account.note(batch, status=remote.status, polled_at=utc_now())
        return remote.status

    def close(self) -> None:
        """Give the connections back."""
        self._account.wire.close()

    def _pace(self, visit: Visit) -> None:
        """Look less often while nothing happens."""
        first = self._account.settings.poll_seconds
        longest = max(first, LONGEST_PAUSE)
        self.pause = first if visit.moved else min(longest, _SLOWER * self.pause)


def _cancel(visit: Visit, batch: Held) -> None:
    """Cancel at the provider; what nobody knows there is let go."""
    try:
        remote = visit.account.wire.cancel(str(batch.remote_id))
    except Fault as fault:
        if fault.status != 404:
            raise
        finish(visit.office, batch, error="unknown at the provider")
        return
    visit.account.note(batch, status=remote.status, polled_at=utc_now())


def clerk_of(
    store: Store, settings: RunSettings, stopping: Callable[[], bool] = lambda: False
) -> Clerk | None:
    """The clerk that the settings need; None if they name no teacher by batch.

    Raises UsageError for what is missing.
    """
    teachers = batch_teachers(store, settings)
    return Clerk(Account(store, settings, teachers), stopping) if teachers else None


def clerk_at(store: Store, settings: RunSettings, base_url: str) -> Clerk:
    """A clerk who looks after what is out at an endpoint, whoever handed it in.

    The key is the one of that endpoint. Raises UsageError without one.
    """
    here = normal_url(place(settings)[1]) == base_url
    key_env = settings.api_key_env if here else None
    there = {"base_url": base_url, "preset": None, "api_key_env": key_env}
    return Clerk(Account(store, settings.model_copy(update=there), {}))
