"""The body of a chat completion request, and the part of it that identifies the teacher.

Decisions
- A parameter that is None is left out; a null in `extra_body` removes a field for an endpoint
  that does not know it, such as `{"seed": null}`.
- `"stream": false` is said: some servers stream, or end a plain object like a stream, unless told.
- `n` is never used: each sample is a call of its own with a seed of its own, so a stored answer
  is never requested again, and servers without `n` work as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from annoy_store.config import RunSettings
from annoy_store.inference.client.providers import Endpoint
from annoy_store.interfaces import Request

_MAX_SEED = 0x7FFF_FFFF  # some servers hold seeds in 32 signed bits


@dataclass(frozen=True)
class RequestBuilder:
    """What all request bodies of one teacher have in common.

    Attributes:
        model: The model's name at the endpoint.
        fields: Sampling parameters by their field names at the endpoint.
        extra_body: Further fields, which win over all others.
        seed: Is added to the seed of every call.
    """

    model: str
    fields: Mapping[str, Any]
    extra_body: Mapping[str, Any]
    seed: int

    def body(self, request: Request) -> dict[str, Any]:
        """Return the request body of a call."""
        own = {
            "model": self.model,
            "messages": list(request.messages),
            **self.fields,
            "seed": (request.seed + request.replies_before + self.seed) & _MAX_SEED,
            "stream": False,
            **self.extra_body,
        }
        return {name: value for name, value in own.items() if value is not None}

    def encode(self, request: Request) -> bytes:
        """Return the body as JSON.

        It is copied, because orjson leaves its buffer eight times too large, and thousands of
        bodies are in flight.
        """
        return bytes(memoryview(orjson.dumps(self.body(request))))


def request_builder(settings: RunSettings, endpoint: Endpoint) -> RequestBuilder:
    """Return the request builder that `settings` describe for `endpoint`."""
    fields = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        endpoint.max_tokens_field: settings.max_tokens,
    }
    return RequestBuilder(endpoint.model, fields, endpoint.extra_body, settings.seed)


def generation_parameters(settings: RunSettings, endpoint: Endpoint) -> dict[str, Any]:
    """Return every parameter that affects an answer, under names that no endpoint changes.

    They are part of the teacher's identity, and so of its digest.
    """
    named = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_tokens": settings.max_tokens,
        "seed": settings.seed or None,
        **endpoint.extra_body,
    }
    return {name: value for name, value in named.items() if value is not None}
