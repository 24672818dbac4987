"""What the provider does: its delays, limits and faults."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

# Faults by what they cost. What is in none of the three is paid for and does not arrive whole:
# reset_body, truncated, empty, blank, null, no_choices, resource, not_json, reasoning_only,
# think_open, error_beside, stream_cut.
UNPAID = ("400", "408", "409", "413", "422", "425", "429", "500", "502", "503", "504", "529")
BROKEN = ("reset", "hang", "html", "error200")
DELIVERED = (
    *("ok", "slow", "blanks", "length", "filter", "refusal", "think", "odd_finish", "parts"),
    *("strings", "one_part", "tool_call", "text_field", "stream", "done_after", "max_tokens"),
)


@dataclass
class Behaviour:
    """Settings of a provider; probabilities are shares of the requests, times are seconds."""

    latency: float = 0.0
    jitter: float = 0.0  # share of the latency
    faults: dict[str, float] = field(default_factory=dict)
    fault: str | None = None  # this one for every request
    retry_after: float = 1.0
    retry_form: str = "seconds"  # seconds | ms | date | reset | none
    max_in_flight: int | None = None  # above it: 429
    capacity: int | None = None  # above it: requests wait
    rpm: int | None = None
    tpm: int | None = None
    status: int | None = None  # every request gets this status ...
    error: dict[str, Any] = field(default_factory=dict)  # ... with this error object
    key: str | None = None  # the only bearer token that is accepted
    models: list[str] | None = None  # the only models that exist
    family: str | None = None  # refuses what this provider refuses: a name of `FAMILIES`
    answer_chars: int = 200
    slow_seconds: float = 1.0
    reasoning: str | None = None  # reasoning | reasoning_content | reasoning_details
    usage: bool = True
    seed: int = 0
    batch_ends: list[dict[str, Any]] = field(default_factory=list)  # one plan per new batch
    enqueued_limit: int | None = None  # lines in live batches; above it the next one fails
    stall: str | None = None  # `before POST files`, `after POST batches`: no reply to that

    def changed(self, values: dict[str, Any]) -> Behaviour:
        """Return a copy with `values`, which may be texts, in place."""
        types = {f.name: f for f in dataclasses.fields(self)}
        return dataclasses.replace(self, **{k: _typed(types[k], v) for k, v in values.items()})


def _typed(spec: dataclasses.Field[Any], value: Any) -> Any:
    if not isinstance(value, str) or str(spec.type).startswith("str"):
        return value
    return json.loads(value)
