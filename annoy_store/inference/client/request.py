"""The body of a chat completion request, and the part of it that says who answers.

Decisions
- A parameter that is None is left out; a null in `extra_body` removes a field for an endpoint
  that does not know it, say `{"seed": null}`.
- `n` is never used: each sample is a call of its own with a seed of its own, so a stored answer
  is never asked for again, and servers without `n` serve as well.
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
    """What all bodies of one teacher have in common."""

    model: str
    fields: Mapping[str, Any]
    extra_body: Mapping[str, Any]
    seed: int

    def body(self, request: Request) -> dict[str, Any]:
        """Return the body that asks `request`."""
        own = {
            "model": self.model,
            "messages": list(request.messages),
            **self.fields,
            "seed": (request.seed + self.seed) & _MAX_SEED,
            **self.extra_body,
        }
        return {name: value for name, value in own.items() if value is not None}

    def encode(self, request: Request) -> bytes:
        """Return the body as JSON, in a copy of its own: orjson leaves its buffer eight times
        too large, and thousands of bodies are in flight."""
        return bytes(memoryview(orjson.dumps(self.body(request))))


def request_builder(settings: RunSettings, endpoint: Endpoint) -> RequestBuilder:
    """Return the form that `settings` ask for at `endpoint`."""
    fields = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        endpoint.max_tokens_field: settings.max_tokens,
    }
    return RequestBuilder(endpoint.model, fields, endpoint.extra_body, settings.seed)


def generation_parameters(settings: RunSettings, endpoint: Endpoint) -> dict[str, Any]:
    """Return everything that shapes an answer, under one name whatever the endpoint calls it."""
    named = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_tokens": settings.max_tokens,
        "seed": settings.seed or None,
        **endpoint.extra_body,
    }
    return {name: value for name, value in named.items() if value is not None}
