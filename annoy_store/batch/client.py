"""The clerk: comes by, takes in what has ended, hands in what waits, and leaves.

Decision: nothing is kept between visits but what the store knows, so it makes no difference which
process comes by, on which machine, or whether the last one was killed.
"""

from __future__ import annotations

from collections.abc import Callable

from annoy_store.batch.poll import collect, find_lost
from annoy_store.batch.results import finish_batch
from annoy_store.batch.rows import BatchRow
from annoy_store.batch.session import BatchPass, BatchSession, batch_teachers
from annoy_store.batch.submit import submit
from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.tables import batches
from annoy_store.db.timestamps import utc_now
from annoy_store.errors import EndpointUnavailable, UsageError
from annoy_store.inference.client.errors import CallError
from annoy_store.inference.client.providers import normalised_url, resolve_base_url

MAX_POLL_SECONDS = 600.0
_POLL_BACKOFF = 1.5


class BatchClient:
    """Deals with the batches of one account."""

    def __init__(self, account: BatchSession, stopping: Callable[[], bool] = lambda: False) -> None:
        self._session = account
        account.is_stopping = stopping
        self.poll_interval = account.settings.poll_seconds

    def collect(self) -> BatchPass:
        """Take in what has ended."""
        with self._session.start_pass() as visit:
            collect(visit)
        self._adjust_poll_interval(visit)
        return visit

    def submit(self, limit: int | None = None) -> BatchPass:
        """Hand in what waits, at most `limit` calls."""
        with self._session.start_pass() as visit:
            submit(visit, limit)
        return visit

    def cancel(self, batch: BatchRow) -> str:
        """End a batch and return how it is then: at the provider, or let go. Raises StopRun."""
        with self._session.start_pass() as visit:
            visit.for_each([batch] if batch.state == "bound" else [], find_lost)  # it may be there
            (batch,) = self._session.find(batches.c.id == batch.id)
            if batch.state == "sent":
                visit.for_each([batch], _cancel)
        if visit.stop_reason or visit.unreachable_reason:
            raise EndpointUnavailable(visit.stop_reason or visit.unreachable_reason or "")
        if batch.state == "bound":
            raise UsageError(f"batch {batch.id} is being handed in by another run: wait for it")
        (batch,) = self._session.find(batches.c.id == batch.id)
        return batch.status or batch.state

    def refresh_status(self, batch: BatchRow) -> str:
        """Return how a batch is at the provider, or what kept us from knowing, and note it."""
        try:
            remote = self._session.api.retrieve(str(batch.remote_id))
        except CallError as fault:
            return fault.reason
        self._session.update(batch, status=remote.status, polled_at=utc_now())
        return remote.status

    def close(self) -> None:
        """Give the connections back."""
        self._session.api.close()

    def _adjust_poll_interval(self, visit: BatchPass) -> None:
        """Look less often while nothing happens."""
        first = self._session.settings.poll_seconds
        longest = max(first, MAX_POLL_SECONDS)
        self.poll_interval = (
            first if visit.changed else min(longest, _POLL_BACKOFF * self.poll_interval)
        )


def _cancel(visit: BatchPass, batch: BatchRow) -> None:
    """Cancel at the provider; what nobody knows there is let go."""
    try:
        remote = visit.session.api.cancel(str(batch.remote_id))
    except CallError as fault:
        if fault.status != 404:
            raise
        finish_batch(visit.context, batch, error="unknown at the provider")
        return
    visit.session.update(batch, status=remote.status, polled_at=utc_now())


def batch_client(
    store: Database, settings: RunSettings, stopping: Callable[[], bool] = lambda: False
) -> BatchClient | None:
    """The clerk that the settings need; None if they name no teacher by batch.

    Raises UsageError for what is missing.
    """
    teachers = batch_teachers(store, settings)
    return BatchClient(BatchSession(store, settings, teachers), stopping) if teachers else None


def batch_client_at(store: Database, settings: RunSettings, base_url: str) -> BatchClient:
    """A clerk who looks after what is out at an endpoint, whoever handed it in.

    The key is the one of that endpoint. Raises UsageError without one.
    """
    here = normalised_url(resolve_base_url(settings)[1]) == base_url
    key_env = settings.api_key_env if here else None
    there = {"base_url": base_url, "preset": None, "api_key_env": key_env}
    return BatchClient(BatchSession(store, settings.model_copy(update=there), {}))
