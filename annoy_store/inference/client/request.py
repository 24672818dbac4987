"""The body of a chat completion request, and the part of it that identifies the teacher.

Decisions
- A parameter that is None is left out; a null in `extra_body` removes a field for an endpoint
  that does not know it, such as `{"seed": null}`.
- A parameter that the model is known to refuse is left out too, unless it has the only value that
  is accepted. What an endpoint turned out to refuse (parameters.py) is left out of the body, but
  stays part of the teacher's identity: that is what the settings ask for.
- `"stream": false` is said: some servers stream, or end a plain object like a stream, unless told.
- `n` is never used: each sample is a call of its own with a seed of its own, so a stored answer
  is never requested again, and servers without `n` work as well.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from annoy_store.config import RunSettings
from annoy_store.inference.client.parameters import KEPT_FIELDS, LENGTH_FIELDS
from annoy_store.inference.client.providers import Endpoint
from annoy_store.interfaces import Request

_MAX_SEED = 0x7FFF_FFFF  # some servers hold seeds in 32 signed bits
_DEFAULTS = {"temperature": 1, "top_p": 1}


@dataclass(frozen=True)
class RequestBuilder:
    """What all request bodies of one teacher have in common.

    Attributes:
        model: The model's name at the endpoint.
        fields: Sampling parameters by their field names at the endpoint.
        max_tokens: The longest answer, in tokens; None for no limit.
        max_tokens_field: The field that says so.
        extra_body: Further fields, which win over all others.
        seed: Is added to the seed of every call; None to send none.
        seed_field: The field that holds it.
    """

    model: str
    fields: Mapping[str, Any]
    max_tokens: int | None
    max_tokens_field: str
    extra_body: Mapping[str, Any]
    seed: int | None
    seed_field: str = "seed"

    def body(self, request: Request, omitted: Collection[str] = ()) -> dict[str, Any]:
        """Return the request body of a call.

        Args:
            request: The call.
            omitted: Fields to leave out. A limit of the length is sent in another field instead.
        """
        n_before = request.replies_before + request.unread_before
        seed = None if self.seed is None else request.seed + n_before + self.seed
        own = {
            "model": self.model,
            "messages": list(request.messages),
            **self.fields,
            self._length_field(omitted): self.max_tokens,
            self.seed_field: None if seed is None else seed & _MAX_SEED,
            "stream": False,
            **self.extra_body,
        }
        left_out = set(omitted) - KEPT_FIELDS
        return {k: v for k, v in own.items() if v is not None and k not in left_out}

    def encode(self, request: Request, omitted: Collection[str] = ()) -> bytes:
        """Return the body as JSON.

        It is copied, because orjson leaves its buffer eight times too large, and thousands of
        bodies are in flight.
        """
        return bytes(memoryview(orjson.dumps(self.body(request, omitted))))

    def can_omit(self, name: str, omitted: Collection[str]) -> bool:
        """Return whether a field that the endpoint refuses may be left out.

        Args:
            name: The field.
            omitted: The fields that are left out already.
        """
        if name == self._length_field(omitted) and name not in self.extra_body:
            return self._length_field({*omitted, name}) not in {*omitted, name}
        return name not in KEPT_FIELDS

    def _length_field(self, omitted: Collection[str]) -> str:
        """Return the first name for the limit of the length that is not refused."""
        names = (self.max_tokens_field, *LENGTH_FIELDS)
        return next((name for name in names if name not in omitted), self.max_tokens_field)


def request_builder(settings: RunSettings, endpoint: Endpoint) -> RequestBuilder:
    """Return the request builder that `settings` describe for `endpoint`."""
    return RequestBuilder(
        endpoint.model,
        _sampling(settings, endpoint),
        settings.max_tokens,
        endpoint.max_tokens_field,
        endpoint.extra_body,
        None if "seed" in endpoint.refused else settings.seed,
        endpoint.seed_field,
    )


def generation_parameters(settings: RunSettings, endpoint: Endpoint) -> dict[str, Any]:
    """Return every parameter that affects an answer, under names that no endpoint changes.

    They are part of the teacher's identity, and so of its digest.
    """
    named = {
        **_sampling(settings, endpoint),
        "max_tokens": settings.max_tokens,
        "seed": None if "seed" in endpoint.refused else settings.seed or None,
        **endpoint.extra_body,
    }
    return {name: value for name, value in named.items() if value is not None}


def _sampling(settings: RunSettings, endpoint: Endpoint) -> dict[str, Any]:
    """Return the sampling parameters, without those that the model is known to refuse."""
    wanted = {"temperature": settings.temperature, "top_p": settings.top_p}
    return {
        name: value
        for name, value in wanted.items()
        if name not in endpoint.refused or value == _DEFAULTS[name]
    }
