"""Batches: they advance one step at every look, and end as planned."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.support.provider import batch_lines
from tests.support.provider.answers import canonical
from tests.support.provider.batch_lines import batch_error, list_page
from tests.support.provider.behaviour import Behaviour
from tests.support.provider.completion import Completions
from tests.support.provider.connection import Request
from tests.support.provider.errors import error_body
from tests.support.provider.files import FileService, Reply

ENDED = ("completed", "failed", "expired", "cancelled")
MAX_LINES = 50_000


class State(Protocol):
    """What a provider keeps for all its services."""

    behaviour: Behaviour
    completions: Completions
    counts: Counter[str]
    paid: Counter[str]
    delivered: Counter[str]
    files: FileService


@dataclass
class Batch:
    """One batch. `end`: how it will end; `done`: share of lines answered by then."""

    id: str
    input_file_id: str
    endpoint: str
    window: str
    metadata: dict[str, Any]
    created_at: int
    end: str = "completed"
    done: float = 1.0
    errors: float = 0.0  # share of the answered lines that are errors
    polls: int = 1  # states shown before the end: validating, in_progress, ..
    seconds: float = 0.0  # ... and at least this long
    code: str = "token_limit_exceeded"
    seen: int = 0
    status: str = "validating"
    total: int = 0
    completed: int = 0
    failed: int = 0
    output_file_id: str | None = None
    error_file_id: str | None = None
    error: dict[str, Any] | None = None
    started: float = field(default_factory=time.monotonic)

    def shown(self) -> dict[str, Any]:
        """Return the batch object of the API."""
        data = [self.error] if self.error else []
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "errors": {"object": "list", "data": data} if data else None,
            "input_file_id": self.input_file_id,
            "completion_window": self.window,
            "status": self.status,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "created_at": self.created_at,
            "request_counts": {
                "total": self.total,
                "completed": self.completed,
                "failed": self.failed,
            },
            "metadata": self.metadata,
        }


class BatchService:
    """The batches of a provider, and the routes of its files. Plans come from `behaviour.batch_ends`, one per batch."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.by_id: dict[str, Batch] = {}
        self._made = 0

    def route(self, request: Request) -> Reply:
        steps = request.path.split("/")
        at = steps.index("files") if "files" in steps else steps.index("batches")
        kind, rest = steps[at], steps[at + 1 :]
        self._state.counts[f"{request.method} {kind}"] += 1
        name = rest[0] if rest else None
        if kind == "files":
            return self._state.files.route(request, name, rest[1:])
        return self._route_batch(request, name, rest[1:])

    def _route_batch(self, request: Request, name: str | None, rest: list[str]) -> Reply:
        if name is None:
            if request.method == "POST":
                return 200, self._create(request.json()).shown()
            newest = [batch.shown() for batch in reversed(self.by_id.values())]
            return 200, list_page(newest, request.query)
        batch = self.by_id.get(name)
        if batch is None:
            return 404, error_body(404, f"No batch found with id '{name}'.")
        if rest == ["cancel"]:
            return self._cancel(batch)
        self._advance(batch)
        return 200, batch.shown()

    def _create(self, body: dict[str, Any]) -> Batch:
        self._made += 1
        plans = self._state.behaviour.batch_ends
        plan = plans.pop(0) if plans else {}
        batch = Batch(
            f"batch_{self._made}",
            body["input_file_id"],
            body["endpoint"],
            body["completion_window"],
            body.get("metadata") or {},
            int(time.time()),
            **plan,
        )
        self._state.files.contents[batch.input_file_id]  # an unknown file is a bad request
        self.by_id[batch.id] = batch
        return batch

    def _cancel(self, batch: Batch) -> Reply:
        if batch.status in ENDED:
            return 409, error_body(409, f"Cannot cancel a batch with status '{batch.status}'.")
        batch.status, batch.end = "cancelling", "cancelled"
        batch.seen = max(batch.seen, batch.polls)
        return 200, batch.shown()

    def _advance(self, batch: Batch) -> None:
        """Move one step at every look: validating, in_progress, .., finalizing, the end."""
        if batch.status in ENDED:
            return
        batch.seen += 1
        content = self._state.files.contents[batch.input_file_id]
        lines = [line for line in content.split(b"\n") if line.strip()]
        batch.total = len(lines)
        if error := self.file_error(batch, lines):
            batch.status, batch.error, batch.total = "failed", error, 0
        elif batch.seen <= batch.polls or time.monotonic() - batch.started < batch.seconds:
            batch.status = "in_progress"
        elif batch.status == "in_progress" and batch.end == "completed":
            batch.status = "finalizing"
        elif batch.status == "in_progress" and batch.end == "cancelled":
            batch.status = "cancelling"
        else:
            self._end(batch, lines)

    def file_error(self, batch: Batch, lines: list[bytes]) -> dict[str, Any] | None:
        """Return what is wrong with the file as a whole, if anything is."""
        live = [b for b in self.by_id.values() if b is not batch and b.status not in ENDED]
        limit = self._state.behaviour.enqueued_limit
        if limit is not None and batch.total + sum(b.total for b in live) > limit:
            return batch_error("token_limit_exceeded", "Enqueued token limit reached")
        if batch.end == "failed":
            return batch_error(batch.code, "as planned")
        if len(lines) > MAX_LINES:
            return batch_error("invalid_batch", "too many lines")
        return _line_error(lines, batch.endpoint)

    def _end(self, batch: Batch, lines: list[bytes]) -> None:
        """Answer the planned share of the lines, in another order, and write both files."""
        rng = random.Random(batch.id)
        records = [json.loads(line) for line in lines]
        rng.shuffle(records)
        n_done = round(len(records) * batch.done)
        n_errors = round(n_done * batch.errors)
        good = [self._answered(r) for r in records[n_errors:n_done]]
        bad = [batch_lines.failed_line(r, i) for i, r in enumerate(records[:n_errors])]
        code = {"expired": "batch_expired", "cancelled": "batch_cancelled"}.get(batch.end)
        if code is not None:
            bad += [batch_lines.unprocessed_line(r, code) for r in records[n_done:]]
        batch.completed, batch.failed = len(good), len(bad)
        batch.output_file_id = self.write_results(good, "output")
        batch.error_file_id = self.write_results(bad, "errors")
        batch.status = batch.end

    def _answered(self, record: dict[str, Any]) -> dict[str, Any]:
        state = self._state
        key = hashlib.blake2b(canonical(record["body"]).encode(), digest_size=12).hexdigest()
        state.paid[key] += 1
        state.delivered[key] += 1
        body = state.completions.build(record["body"], state.behaviour, "ok")
        response = {"status_code": 200, "request_id": "req", "body": body}
        return batch_lines.result_line(record, response, None)

    def write_results(self, lines: list[dict[str, Any]], what: str) -> str | None:
        """Keep a file of results and return its id."""
        if not lines:
            return "" if self._made % 2 else None  # providers do both
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        return str(self._state.files.keep(content, f"{what}.jsonl", "batch_output")["id"])


def _line_error(lines: list[bytes], endpoint: str) -> dict[str, Any] | None:
    """Return what is wrong with the first bad line, or with the lines together."""
    seen: set[str] = set()
    models: set[Any] = set()
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            name, url = record["custom_id"], record["url"]
            models.add(record["body"]["model"])
        except (ValueError, KeyError, TypeError):
            return batch_error("invalid_json_line", "This line is not parseable.", number)
        if name in seen:
            return batch_error("duplicate_custom_id", f"{name} appears twice", number)
        if url != endpoint:
            return batch_error("mismatched_endpoint", url, number)
        seen.add(name)
    return batch_error("mismatched_model", "one model per file") if len(models) > 1 else None
