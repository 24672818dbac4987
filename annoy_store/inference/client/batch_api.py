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

from annoy_store.inference.client.batch_types import URL, Complaint, Remote
from annoy_store.inference.client.errors import Fault, of_status, scrub
from annoy_store.inference.client.providers import Endpoint
from annoy_store.inference.client.transport import trusted

WINDOW: Final = "24h"
MARK = "annoy_batch"  # the key of the metadata that holds the store's name of a batch
PAUSES = (0.5, 2.0, 8.0)  # seconds before another try
_TIMEOUT = httpx2.Timeout(600.0, connect=30.0)
_PAGE = 100
T = TypeVar("T")


class BatchWire:
    """Files and batches of one account at one endpoint. All methods raise Fault."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._client = OpenAI(
            api_key=endpoint.key,
            admin_api_key="",
            base_url=endpoint.base_url,
            max_retries=0,
            timeout=_TIMEOUT,
            http_client=DefaultHttpxClient(timeout=_TIMEOUT, verify=trusted()),
        )

    def upload(self, path: Path) -> str:
        """Send the file at `path` and return its id there."""

        def send() -> str:
            with path.open("rb") as file:
                return self._client.files.create(file=(path.name, file), purpose="batch").id

        return self._insist(send)

    def create(self, file_id: str, name: str) -> Remote:
        """Let the requests of a file be answered. Tried once: it is what costs money."""
        return self._once(
            lambda: _remote(
                self._client.batches.create(
                    input_file_id=file_id,
                    endpoint=URL,
                    completion_window=WINDOW,
                    metadata={MARK: name},
                )
            )
        )

    def look(self, remote_id: str) -> Remote:
        """Return how a batch is."""
        return self._insist(lambda: _remote(self._client.batches.retrieve(remote_id)))

    def find(self, name: str, since: float) -> list[Remote]:
        """Return the batches of that name made after `since`, oldest first, refused ones left out."""
        found = self._insist(lambda: list(self._newer(since)))
        named = [r for r in found if r.name == name and r.status != "failed"]
        return sorted(named, key=lambda r: r.created_at)

    def cancel(self, remote_id: str) -> Remote:
        """Ask for the end of a batch; what is answered by then stays."""
        try:
            return self._once(lambda: _remote(self._client.batches.cancel(remote_id)))
        except Fault as fault:
            if not fault.again and fault.status != 409:
                raise
        return self.look(remote_id)  # it has ended, or nobody knows whether we were heard

    def fetch(self, file_id: str, path: Path) -> None:
        """Write the content of a file to `path`."""

        def get() -> None:
            with self._client.files.with_streaming_response.content(file_id) as response:
                response.stream_to_file(path)

        self._insist(get)

    def forget(self, file_id: str) -> None:
        """Delete a file; one that is gone is no fault."""
        try:
            self._insist(lambda: self._client.files.delete(file_id))
        except Fault as fault:
            if fault.status != 404:
                raise

    def forget_named(self, filename: str, since: float) -> None:
        """Delete files of that name that were sent after `since`."""
        newest = self._insist(lambda: list(self._newer_files(since)))
        for file_id in (key for key, name in newest if name == filename):
            self.forget(file_id)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _newer_files(self, since: float) -> Iterator[tuple[str, str]]:
        for file in self._client.files.list(purpose="batch", order="desc", limit=_PAGE):
            if file.created_at < since:
                return
            yield file.id, file.filename

    def _newer(self, since: float) -> Iterator[Remote]:
        for batch in self._client.batches.list(limit=_PAGE):  # newest first; pages follow
            if batch.created_at < since:
                return
            yield _remote(batch)

    def _insist(self, do: Callable[[], T]) -> T:
        for seconds in PAUSES:
            try:
                return self._once(do)
            except Fault as fault:
                if not fault.again:
                    raise
                wait = max(fault.wait or 0.0, random.uniform(seconds / 2, seconds))
            time.sleep(min(wait, 60.0))
        return self._once(do)

    def _once(self, do: Callable[[], T]) -> T:
        try:
            return do()
        except APIStatusError as error:
            fault = of_status(
                error.status_code, error.body or error.message, error.response.headers, time.time()
            )
        except APITimeoutError:
            fault = Fault("retry", "deadline", "no answer in time")
        except (APIConnectionError, httpx2.HTTPError) as error:
            fault = Fault("unreachable", "unreachable", str(error.__cause__ or error))
        except (ValueError, AttributeError) as error:  # a page of a proxy, say
            fault = Fault("retry", "bad_body", str(error))
        fault.words = scrub(fault.words, self._endpoint.key)
        raise fault from None


def _remote(batch: Any) -> Remote:
    if isinstance(batch, str) or not getattr(batch, "id", None):
        raise ValueError(f"no batch: {str(batch)[:120]}")
    errors = (batch.errors.data if batch.errors else None) or []
    return Remote(
        id=str(batch.id),
        status=str(batch.status),
        name=(batch.metadata or {}).get(MARK),
        created_at=float(batch.created_at or 0),
        output_file=batch.output_file_id or None,  # none at all is told as '' as well
        error_file=batch.error_file_id or None,
        complaints=tuple(
            Complaint(str(e.code or "failed"), scrub(str(e.message or "")), e.line) for e in errors
        ),
    )
