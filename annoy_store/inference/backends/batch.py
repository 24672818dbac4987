"""The teacher behind a Batch API: half the price, answers within a day.

Decision: it words requests and says who answers; nobody waits for it. What asks (a clerk of the
run, `annoy batch`) binds many calls, hands them in, and comes back; see `annoy_store/batch`.
So it needs no key until something is handed in, and a file for another program needs none at all.
"""

from __future__ import annotations

from annoy_store.config import RunSettings
from annoy_store.errors import UsageError
from annoy_store.inference.client.providers import normalised_url, resolve_endpoint
from annoy_store.inference.client.request import generation_parameters, request_builder
from annoy_store.interfaces import CallResult, Request, TeacherIdentity


def connect(settings: RunSettings, model: str | None) -> BatchTeacher:
    """Return the teacher that `settings` describe. Raises UsageError for what is missing."""
    return BatchTeacher(settings, model)


class BatchTeacher:
    """One model whose answers come in batches."""

    def __init__(self, settings: RunSettings, model: str | None) -> None:
        endpoint = resolve_endpoint(settings, model, keyless=True)
        self.identity = TeacherIdentity(
            backend="batch",
            model=endpoint.model,
            base_url=normalised_url(endpoint.base_url),
            parameters=generation_parameters(settings, endpoint),
        )
        self._request_builder = request_builder(settings, endpoint)

    @property
    def capacity(self) -> int:
        """Return how many calls it is worth having in flight: none."""
        return 0

    def encode(self, request: Request) -> bytes:
        """Return the body that asks `request`, as JSON."""
        return self._request_builder.encode(request)

    async def ask(self, request: Request) -> CallResult:
        """Answer nothing while somebody waits. Raises UsageError."""
        raise UsageError("the batch teacher answers within a day, not now: use --teacher openai")

    def drain(self) -> None:
        """Nothing waits here."""

    async def close(self) -> None:
        """Hold nothing."""
