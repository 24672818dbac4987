"""A loopback provider: chat completions, files and batches, with every fault on demand.

Standard library only, so that it can be started beside anything: from the top folder,
`python -m tests.support.provider --port 0 --latency 1 --fault 429=0.02 --fault reset=0.01` prints
its base URL. In tests: `with Provider(latency=1).serving() as provider: provider.url`.

What it does is a `Behaviour`, which is changed at start, at run time (`provider.behave(...)` or
`POST /_sim/behaviour`) or for one request (header `X-Sim`, or `model="m?fault=html"`).
`GET /_sim/stats` returns what it counted, above all how many answers were paid for twice.
"""

from __future__ import annotations

from tests.support.provider.answers import answers_from, default_answer, prompt_digest
from tests.support.provider.behaviour import Behaviour
from tests.support.provider.errors import error_body, retry_headers
from tests.support.provider.server import Provider

__all__ = [
    "Behaviour",
    "Provider",
    "answers_from",
    "default_answer",
    "error_body",
    "prompt_digest",
    "retry_headers",
]
