"""Files and batches at an OpenAI-compatible endpoint, by the `openai` package; faults as `Fault`.

Decisions
- What only looks, and what may be done twice, is tried a few times. Creating a batch is not: after
  a lost answer the caller looks whether there is one before it creates another.
- Files go up and come down by way of the disk, so that a batch of 200 MB is never in memory.
- A batch carries the name that the store gave it, in its metadata: the store finds it by that.
"""

from __future__ import annotations

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
from annoy_store.inference.client.transport import ssl_context

COMPLETION_WINDOW: Final = "24h"
METADATA_KEY = "annoy_batch"  # the key of the metadata that holds the store's name of a batch
RETRY_SECONDS = (0.5, 2.0, 8.0)  # seconds before another try
_TIMEOUT = httpx2.Timeout(600.0, connect=30.0)
_PAGE = 100
T = TypeVar("T")


class BatchApi:
    """Files and batches of one account at one endpoint. All methods raise Fault."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._client = OpenAI(
            api_key=endpoint.key,
            admin_api_key="",
            base_url=endpoint.base_url,
            max_retries=0,
            timeout=_TIMEOUT,
            http_client=DefaultHttpxClient(timeout=_TIMEOUT, verify=ssl_context()),
        )

    def upload(self, path: Path) -> str:
        """Send the file at `path` and return its id there."""

        def send() -> str:
            with path.open("rb") as file:
                return self._client.files.create(file=(path.name, file), purpose="batch").id

        return self._call_with_retries(send)

    def create(self, file_id: str, name: str) -> ProviderBatch:
        """Let the requests of a file be answered. Tried once: it is what costs money."""
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
        """Return how a batch is."""
        return self._call_with_retries(
            lambda: _provider_batch(self._client.batches.retrieve(remote_id))
        )

    def find_by_name(self, name: str, since: float) -> list[ProviderBatch]:
        """Return the batches of that name made after `since`, oldest first, refused ones left out."""
        found = self._call_with_retries(lambda: list(self._batches_since(since)))
        named = [r for r in found if r.name == name and r.status != "failed"]
        return sorted(named, key=lambda r: r.created_at)

    def cancel(self, remote_id: str) -> ProviderBatch:
        """Ask for the end of a batch; what is answered by then stays."""
        try:
            return self._call_once(lambda: _provider_batch(self._client.batches.cancel(remote_id)))
        except CallError as fault:
            if not fault.is_retryable and fault.status != 409:
                raise
        return self.retrieve(remote_id)  # it has ended, or nobody knows whether we were heard

    def download(self, file_id: str, path: Path) -> None:
        """Write the content of a file to `path`."""

        def get() -> None:
            with self._client.files.with_streaming_response.content(file_id) as response:
                response.stream_to_file(path)

        self._call_with_retries(get)

    def delete_file(self, file_id: str) -> None:
        """Delete a file; one that is gone is no fault."""
        try:
            self._call_with_retries(lambda: self._client.files.delete(file_id))
        except CallError as fault:
            if fault.status != 404:
                raise

    def delete_files_named(self, filename: str, since: float) -> None:
        """Delete files of that name that were sent after `since`."""
        newest = self._call_with_retries(lambda: list(self._files_since(since)))
        for file_id in (key for key, name in newest if name == filename):
            self.delete_file(file_id)

    def close(self) -> None:
        """Give the connections back."""
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
            except CallError as fault:
                if not fault.is_retryable:
                    raise
                wait = max(fault.retry_after or 0.0, random.uniform(seconds / 2, seconds))
            time.sleep(min(wait, 60.0))
        return self._call_once(do)

    def _call_once(self, do: Callable[[], T]) -> T:
        try:
            return do()
        except APIStatusError as error:
            fault = error_from_status(
                error.status_code, error.body or error.message, error.response.headers, time.time()
            )
        except APITimeoutError:
            fault = CallError("retry", "deadline", "no answer in time")
        except (APIConnectionError, httpx2.HTTPError) as error:
            fault = CallError("unreachable", "unreachable", str(error.__cause__ or error))
        except (ValueError, AttributeError) as error:  # a page of a proxy, say
            fault = CallError("retry", "bad_body", str(error))
        fault.message = redact(fault.message, self._endpoint.key)
        raise fault from None


def _provider_batch(batch: Any) -> ProviderBatch:
    if isinstance(batch, str) or not getattr(batch, "id", None):
        raise ValueError(f"no batch: {str(batch)[:120]}")
    errors = (batch.errors.data if batch.errors else None) or []
    return ProviderBatch(
        id=str(batch.id),
        status=str(batch.status),
        name=(batch.metadata or {}).get(METADATA_KEY),
        created_at=float(batch.created_at or 0),
        output_file=batch.output_file_id or None,  # none at all is told as '' as well
        error_file=batch.error_file_id or None,
        errors=tuple(
            BatchError(str(e.code or "failed"), redact(str(e.message or "")), e.line)
            for e in errors
        ),
    )
