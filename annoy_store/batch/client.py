"""Polls submitted batches, imports finished results, submits pending calls.

Decision: nothing is kept between passes but what the store holds, so it makes no difference which
process makes the next one, on which machine, or whether the last one was killed.
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
from annoy_store.inference.client.base_url import normalised_url
from annoy_store.inference.client.errors import CallError
from annoy_store.inference.client.providers import resolve_base_url

MAX_POLL_SECONDS = 600.0
_POLL_BACKOFF = 1.5


class BatchClient:
    """Manages the batches of one account.

    Args:
        session: The account.
        is_stopping: Returns whether to begin no more work.

    Attributes:
        poll_interval: How long to wait until the next pass, in seconds.
    """

    def __init__(
        self, session: BatchSession, is_stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self._session = session
        session.is_stopping = is_stopping
        self.poll_interval = session.settings.poll_seconds

    def collect(self) -> BatchPass:
        """Import the results of batches that have ended.

        Returns:
            What was done and what went wrong.

        Raises:
            LeaseLost: Other workers have declared this one dead.
        """
        with self._session.start_pass() as batch_pass:
            collect(batch_pass)
        self._adjust_poll_interval(batch_pass)
        return batch_pass

    def submit(self, limit: int | None = None) -> BatchPass:
        """Submit pending calls.

        Args:
            limit: At most this many calls.

        Returns:
            What was done and what went wrong.

        Raises:
            LeaseLost: Other workers have declared this one dead.
        """
        with self._session.start_pass() as batch_pass:
            submit(batch_pass, limit)
        return batch_pass

    def cancel(self, batch: BatchRow) -> str:
        """Cancel a batch at the provider, or release it if it is not there.

        Returns:
            The status that the provider reports, or the state of the batch in the store.

        Raises:
            EndpointUnavailable: The provider rejects the request or cannot be reached.
            UsageError: Another run is submitting the batch.
        """
        with self._session.start_pass() as batch_pass:
            is_bound = batch.state == "bound"
            batch_pass.for_each([batch] if is_bound else [], find_lost)  # it may be there
            (batch,) = self._session.find(batches.c.id == batch.id)
            if batch.state == "sent":
                batch_pass.for_each([batch], _cancel)
        if reason := batch_pass.stop_reason or batch_pass.unreachable_reason:
            raise EndpointUnavailable(reason)
        if batch.state == "bound":
            raise UsageError(f"batch {batch.id} is being submitted by another run: wait for it")
        (batch,) = self._session.find(batches.c.id == batch.id)
        return batch.status or batch.state

    def refresh_status(self, batch: BatchRow) -> str:
        """Record the status of a batch at the provider; return it, or why it is unknown."""
        try:
            remote = self._session.api.retrieve(str(batch.remote_id))
        except CallError as error:
            return error.reason
        self._session.update(batch, status=remote.status, polled_at=utc_now())
        return remote.status

    def close(self) -> None:
        """Close the connections."""
        self._session.api.close()

    def _adjust_poll_interval(self, batch_pass: BatchPass) -> None:
        """Poll less often while nothing changes."""
        first = self._session.settings.poll_seconds
        longest = max(first, MAX_POLL_SECONDS)
        slower = min(longest, _POLL_BACKOFF * self.poll_interval)
        self.poll_interval = first if batch_pass.changed else slower


def _cancel(batch_pass: BatchPass, batch: BatchRow) -> None:
    """Cancel at the provider; a batch that is unknown there is released."""
    try:
        remote = batch_pass.session.api.cancel(str(batch.remote_id))
    except CallError as error:
        if error.status != 404:
            raise
        finish_batch(batch_pass.context, batch, error="unknown at the provider")
        return
    batch_pass.session.update(batch, status=remote.status, polled_at=utc_now())


def batch_client(
    store: Database, settings: RunSettings, is_stopping: Callable[[], bool] = lambda: False
) -> BatchClient | None:
    """Return the batch client that the settings need; None if they name no batch teacher.

    Args:
        store: The store.
        settings: The endpoint, budgets and limits.
        is_stopping: Returns whether to begin no more work.

    Raises:
        UsageError: The settings lack something.
    """
    teachers = batch_teachers(store, settings)
    return BatchClient(BatchSession(store, settings, teachers), is_stopping) if teachers else None


def batch_client_at(store: Database, settings: RunSettings, base_url: str) -> BatchClient:
    """Return a client that manages the open batches at an endpoint, and submits none.

    Args:
        store: The store.
        settings: The settings of the run.
        base_url: The endpoint; its own key is used.

    Raises:
        UsageError: There is no key.
    """
    is_configured = normalised_url(resolve_base_url(settings)[1]) == base_url
    key_env = settings.api_key_env if is_configured else None
    changes = {"base_url": base_url, "preset": None, "api_key_env": key_env}
    return BatchClient(BatchSession(store, settings.model_copy(update=changes), {}))
