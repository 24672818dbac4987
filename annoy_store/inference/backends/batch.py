"""The teacher behind a Batch API: half the price, answers within a day.

Decision: it builds request bodies and identifies the teacher; no call waits for it. The batch
client of a run or of `annoy batch` reserves many calls, submits them, and imports the results later
(annoy_store/batch). So no key is needed until something is submitted, and none at all for a file
that another program processes.
"""

from __future__ import annotations

from annoy_store.config import RunSettings
from annoy_store.errors import UsageError
from annoy_store.inference.client.base_url import normalised_url
from annoy_store.inference.client.providers import resolve_endpoint
from annoy_store.inference.client.request import generation_parameters, request_builder
from annoy_store.interfaces import CallResult, Request, TeacherIdentity
from annoy_store.records.teachers import OmittedParameters


def connect(settings: RunSettings, model: str | None) -> BatchTeacher:
    """Return the teacher that `settings` describe.

    Raises:
        UsageError: The settings lack something.
    """
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
        self._omitted: frozenset[str] = frozenset()

    @property
    def capacity(self) -> int:
        """Return how many calls are worth having in flight: none."""
        return 0

    def share_omitted(self, known: OmittedParameters) -> None:
        """Leave out what the endpoint is known to refuse."""
        self._omitted = known.load()

    def encode(self, request: Request) -> bytes:
        """Return the request body of a call, as JSON."""
        return self._request_builder.encode(request, self._omitted)

    async def ask(self, request: Request) -> CallResult:
        """Raise UsageError: answers are not available immediately."""
        raise UsageError("the batch teacher answers within a day, not now: use --teacher openai")

    def drain(self) -> None:
        """Do nothing: no call waits here."""

    async def close(self) -> None:
        """Do nothing: no connection is open."""
