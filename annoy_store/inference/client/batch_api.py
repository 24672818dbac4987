"""Files and batches at an OpenAI-compatible endpoint, by the `openai` package.

Decisions
- Requests that only read, and those that may be repeated, are tried a few times. Creating a batch
  is not: after a lost response the caller looks whether there is one before it creates another.
- Files are uploaded from disk and downloaded to disk, so a batch of 200 MB is never in memory.
- A batch carries the name that the store gave it, in its metadata: the store finds it by that.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx2
from openai import APIConnectionError, APIStatusError, APITimeoutError, DefaultHttpxClient, OpenAI

from annoy_store.inference.client.batch_types import COMPLETIONS_PATH, BatchError, ProviderBatch
from annoy_store.inference.client.errors import CallError, error_from_status, redact
from annoy_store.inference.client.providers import Endpoint
from annoy_store.inference.client.transport import checked_proxies, connection_error, ssl_context

logger = logging.getLogger(__name__)

COMPLETION_WINDOW: Final = "24h"
METADATA_KEY = "annoy_batch"  # holds the store's name of a batch
RETRY_SECONDS = (0.5, 2.0, 8.0)  # before each further try
_TIMEOUT = httpx2.Timeout(600.0, connect=30.0)
_PAGE = 100
T = TypeVar("T")


class BatchApi:
    """Client of the files and batches of one account. All methods raise CallError."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        with checked_proxies(endpoint) as trust_env:
            http = DefaultHttpxClient(timeout=_TIMEOUT, verify=ssl_context(), trust_env=trust_env)
        self._client = OpenAI(
            api_key=endpoint.key,
            admin_api_key="",
            base_url=endpoint.base_url,
            max_retries=0,
            timeout=_TIMEOUT,
            default_query=endpoint.query,
            http_client=http,
        )

    def upload(self, path: Path) -> str:
        """Upload the input file at `path` and return its id at the provider."""

        def send() -> str:
            with path.open("rb") as file:
                return self._client.files.create(file=(path.name, file), purpose="batch").id

        return self._call_with_retries(send)

    def create(self, file_id: str, name: str) -> ProviderBatch:
        """Create a batch. Tried once, because this is what costs money.

        Args:
            file_id: The id of the uploaded input file.
            name: The store's name of the batch, by which it is found again.

        Returns:
            The batch at the provider.

        Raises:
            CallError: It is unknown whether the batch was created, if the error is retryable.
        """
        return self._call_once(
            lambda: _provider_batch(
                self._client.batches.create(
                    input_file_id=file_id,
                    endpoint=COMPLETIONS_PATH,
                    completion_window=COMPLETION_WINDOW,
                    metadata={METADATA_KEY: name},
                )
            )
        )

    def retrieve(self, remote_id: str) -> ProviderBatch:
        """Return the present state of a batch."""
        return self._call_with_retries(
            lambda: _provider_batch(self._client.batches.retrieve(remote_id))
        )

    def find_by_name(self, name: str, since: float) -> list[ProviderBatch]:
        """Find batches that this store has created.

        Args:
            name: The store's name of the batch.
            since: Only batches created after this time, in seconds since 1970.

        Returns:
            The batches, oldest first, without those whose file was refused.
        """
        found = self._call_with_retries(lambda: list(self._batches_since(since)))
        # The list is newest first and times are whole seconds; the sort keeps equal ones in order.
        named = [b for b in reversed(found) if b.name == name and b.status != "failed"]
        return sorted(named, key=lambda batch: batch.created_at)

    def cancel(self, remote_id: str) -> ProviderBatch:
        """Request the cancellation of a batch, which keeps the answers that it has by then."""
        try:
            return self._call_once(lambda: _provider_batch(self._client.batches.cancel(remote_id)))
        except CallError as error:
            if not error.is_retryable and error.status != 409:
                raise
        return self.retrieve(remote_id)  # it has ended, or the response was lost

    def download(self, file_id: str, path: Path) -> None:
        """Write the content of a file to `path`."""

        def get() -> None:
            with self._client.files.with_streaming_response.content(file_id) as response:
                response.stream_to_file(path)

        self._call_with_retries(get)

    def delete_file(self, file_id: str) -> None:
        """Delete a file; one that does not exist is no error."""
        try:
            self._call_with_retries(lambda: self._client.files.delete(file_id))
        except CallError as error:
            if error.status != 404:
                raise

    def delete_files_named(self, filename: str, since: float) -> None:
        """Delete the files of that name that were uploaded after `since` (seconds since 1970)."""
        newest = self._call_with_retries(lambda: list(self._files_since(since)))
        for file_id in (key for key, name in newest if name == filename):
            self.delete_file(file_id)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _files_since(self, since: float) -> Iterator[tuple[str, str]]:
        for file in self._client.files.list(purpose="batch", order="desc", limit=_PAGE):
            if file.created_at < since:
                return
            yield file.id, file.filename

    def _batches_since(self, since: float) -> Iterator[ProviderBatch]:
        for batch in self._client.batches.list(limit=_PAGE):  # newest first; pages follow
            if batch.created_at < since:
                return
            yield _provider_batch(batch)

    def _call_with_retries(self, do: Callable[[], T]) -> T:
        for seconds in RETRY_SECONDS:
            try:
                return self._call_once(do)
            except CallError as error:
                if not error.is_retryable:
                    raise
                wait = max(error.retry_after or 0.0, random.uniform(seconds / 2, seconds))
                logger.info("%s: retry in %.1f s", error.reason, wait)
            time.sleep(min(wait, 60.0))
        return self._call_once(do)

    def _call_once(self, do: Callable[[], T]) -> T:
        try:
            return do()
        except APIStatusError as error:
            failure = error_from_status(
                error.status_code, error.body or error.message, error.response.headers, time.time()
            )
        except APITimeoutError:
            failure = CallError("retry", "deadline", "no answer in time")
        except (APIConnectionError, httpx2.HTTPError) as error:
            failure = connection_error(error)
            if failure.kind != "stop":
                failure = CallError("unreachable", "unreachable", str(error.__cause__ or error))
        except (ValueError, AttributeError) as error:  # for example the page of a proxy
            failure = CallError("retry", "bad_body", str(error))
        failure.message = redact(failure.message, self._endpoint.key)
        raise failure from None


def _provider_batch(batch: Any) -> ProviderBatch:
    if isinstance(batch, str) or not getattr(batch, "id", None):
        raise ValueError(f"no batch: {str(batch)[:120]}")
    errors = (batch.errors.data if batch.errors else None) or []
    return ProviderBatch(
        id=str(batch.id),
        status=str(batch.status),
        name=(batch.metadata or {}).get(METADATA_KEY),
        created_at=float(batch.created_at or 0),
        output_file=batch.output_file_id or None,  # some report '' for none
        error_file=batch.error_file_id or None,
        errors=tuple(
            BatchError(str(e.code or "failed"), redact(str(e.message or "")), e.line)
            for e in errors
        ),
    )
