"""A loopback provider: chat completions, files and batches, with every fault on demand.

One file, standard library only, so that it can be started beside anything:
`python tests/support/provider.py --port 0 --latency 1 --fault 429=0.02 --fault reset=0.01` prints
its base URL. In tests: `with Provider(latency=1).serving() as provider: provider.url`.
What it does is a `Behaviour`; it is changed at start, at run time (`provider.behave(..)`,
`POST /_sim/behaviour`) or for one request (header `X-Sim`, or `model="m?fault=html"`).
`GET /_sim/stats` tells what it saw, above all how many answers were paid for twice.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import email.utils
import hashlib
import itertools
import json
import random
import re
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

# The faults, by what they cost: `PAID` ones come after the model has done its work.
UNPAID = ("400", "408", "409", "413", "422", "425", "429", "500", "502", "503", "504", "529")
BROKEN = ("reset", "hang", "html", "error200")
PAID = ("reset_body", "truncated", "empty", "blank", "null", "no_choices", "resource", "not_json")
FINE = ("ok", "slow", "blanks", "length", "filter", "refusal", "think", "odd_finish", "parts")


@dataclass
class Behaviour:
    """What the provider does; probabilities are shares of the requests."""

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
    key: str | None = None  # the only bearer token that is let in
    models: list[str] | None = None  # the only models that exist
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


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Bucket:
    """A budget per minute, two seconds of it at once."""

    def __init__(self) -> None:
        self.level: float | None = None
        self.at = 0.0

    def take(self, amount: float, per_minute: int) -> float:
        """Take `amount`, or return the seconds until it would be there."""
        now, rate = time.monotonic(), per_minute / 60
        full = max(2 * rate, amount)
        self.level = full if self.level is None else min(full, self.level + (now - self.at) * rate)
        self.at = now
        if self.level < amount:
            return (amount - self.level) / rate
        self.level -= amount
        return 0.0


def canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def prompt_digest(messages: Any) -> str:
    """Name a prompt as the store does."""
    return hashlib.sha256(canonical(["prompt", messages]).encode()).hexdigest()[:32]


def default_answer(messages: Any, chars: int) -> str:
    """Return a text that tells which prompt it belongs to."""
    mark = f"answer to {hashlib.sha256(canonical(messages).encode()).hexdigest()[:16]} "
    return (mark * (chars // len(mark) + 1))[: max(chars, len(mark))]


Answers = Callable[[list[dict[str, Any]]], str | None]


def answers_from(path: str) -> Answers:
    """Read recorded answers: `response` (or `output`) by `digest`, `messages` or `contains`."""
    by_digest: dict[str, str] = {}
    parts: list[tuple[list[str], str]] = []
    with open(path, encoding="utf-8") as lines:
        for record in map(json.loads, filter(str.strip, lines)):
            text = record.get("response", record.get("output"))
            if "contains" in record:
                needles = record["contains"]
                parts.append(([needles] if isinstance(needles, str) else needles, text))
            else:
                by_digest[record.get("digest") or prompt_digest(record["messages"])] = text

    def answer(messages: list[dict[str, Any]]) -> str | None:
        known = by_digest.get(prompt_digest(messages))
        if known is not None:
            return known
        whole = "\n".join(str(m.get("content")) for m in messages)
        return next((t for needles, t in parts if all(n in whole for n in needles)), None)

    return answer


@dataclass(eq=False)
class Job:
    """One completion under way."""

    connection: Connection
    request: Request
    body: dict[str, Any]
    behaviour: Behaviour
    kind: str
    key: str
    hits: int  # blocks of its prompt that were cached when it came
    timer: asyncio.Handle | None = None
    running: bool = False


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, one request at a time."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.buffer = bytearray()
        self.busy = False
        self.job: Job | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.provider.connected(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.provider.lost(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.pump()

    def pump(self) -> None:
        if not self.busy and (request := self.take()):
            self.busy = True
            self.provider.handle(self, request)

    def take(self) -> Request | None:
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        lines = self.buffer[:end].decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        if headers.get("transfer-encoding") == "chunked":
            body, stop = self.unchunked(end + 4)
        else:
            stop = end + 4 + int(headers.get("content-length", 0))
            body = bytes(self.buffer[end + 4 : stop]) if len(self.buffer) >= stop else None
        if body is None:
            return None
        del self.buffer[:stop]
        method, target, _ = lines[0].split(" ")
        url = urlsplit(target)
        query = {k: v[0] for k, v in parse_qs(url.query).items()} if url.query else {}
        return Request(method, url.path, query, headers, body)

    def unchunked(self, at: int) -> tuple[bytes | None, int]:
        body = b""
        while (line := self.buffer.find(b"\r\n", at)) >= 0:
            size = int(self.buffer[at:line], 16)
            if len(self.buffer) < line + 2 + size + 2:
                break
            body += self.buffer[line + 2 : line + 2 + size]
            at = line + 2 + size + 2
            if size == 0:
                return body, at
        return None, at

    def reply(self, status: int, body: bytes | Any, headers: dict[str, str] | None = None) -> None:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.write(head(status, headers, f"content-length: {len(payload)}") + payload)
        self.finished()

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def finished(self) -> None:
        self.busy = False
        self.pump()

    def reset(self) -> None:
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def head(status: int, headers: dict[str, str] | None, *more: str) -> bytes:
    fields = {"content-type": "application/json", **(headers or {})}
    lines = [f"HTTP/1.1 {status} Sim", *(f"{k}: {v}" for k, v in fields.items()), *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Provider:
    """The server's state: its behaviour, what runs, what it counted, its files and batches."""

    def __init__(self, *, answers: Answers | str | None = None, **behaviour: Any) -> None:
        self.behaviour = Behaviour(**behaviour)
        self.answers = answers_from(answers) if isinstance(answers, str) else answers
        self.random = random.Random(self.behaviour.seed)
        self.counts: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()
        self.delivered: Counter[str] = Counter()
        self.connections: set[Connection] = set()
        self.in_flight = self.max_in_flight = self.max_connections = 0
        self.waiting: deque[Job] = deque()
        self.running = 0
        self.requests_bucket, self.tokens_bucket = Bucket(), Bucket()
        self.prefixes: set[int] = set()
        self.bodies: list[dict[str, Any]] = []  # kept only when `keep_bodies` is set
        self.keep_bodies = False
        self.store = Batches(self)
        self.url = ""
        self.loop: asyncio.AbstractEventLoop | None = None

    # running it

    async def start(self, port: int = 0) -> asyncio.Server:
        self.loop = asyncio.get_running_loop()
        server = await self.loop.create_server(
            lambda: Connection(self), "127.0.0.1", port, backlog=4096
        )
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        return server

    @contextlib.contextmanager
    def serving(self, port: int = 0) -> Iterator[Provider]:
        """Serve from a thread until the block ends."""
        up, stop = threading.Event(), asyncio.Event()

        async def main() -> None:
            server = await self.start(port)
            up.set()
            await stop.wait()
            server.close()
            for connection in list(self.connections):
                connection.transport.abort()
            await asyncio.sleep(0)

        thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
        thread.start()
        if not up.wait(10):
            raise RuntimeError("the provider did not start")
        try:
            yield self
        finally:
            assert self.loop is not None
            self.loop.call_soon_threadsafe(stop.set)
            thread.join(10)

    def behave(self, **values: Any) -> None:
        """Change what it does from now on."""
        self.behaviour = self.behaviour.changed(values)

    def stats(self) -> dict[str, Any]:
        """Return what was seen. `paid_twice`: answers worked out again for the same body."""
        return {
            "counts": dict(self.counts),
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "connections": len(self.connections),
            "max_connections": self.max_connections,
            "prompts": len(self.paid),
            "paid": self.paid.total(),
            "paid_twice": self.paid.total() - len(self.paid),
            "delivered": self.delivered.total(),
            "delivered_twice": self.delivered.total() - len(self.delivered),
        }

    def connected(self, connection: Connection) -> None:
        self.connections.add(connection)
        self.counts["connections"] += 1
        self.max_connections = max(self.max_connections, len(self.connections))

    def lost(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if connection.job is not None:
            self.counts["given_up"] += 1
            self.leave(connection.job)

    # routing

    def handle(self, connection: Connection, request: Request) -> None:
        try:
            self.route(connection, request)
        except (ValueError, KeyError, TypeError) as error:
            connection.reply(400, error_body(400, f"bad request: {error!r}"))

    def route(self, connection: Connection, request: Request) -> None:
        path = request.path
        if path.endswith("/chat/completions"):
            self.complete(connection, request)
        elif path == "/_sim/stats":
            connection.reply(200, self.stats())
        elif path == "/_sim/behaviour":
            self.behave(**request.json())
            connection.reply(200, dataclasses.asdict(self.behaviour))
        elif path.endswith("/models"):
            names = self.behaviour.models or ["sim"]
            data = [{"id": n, "object": "model", "created": 0, "owned_by": "sim"} for n in names]
            connection.reply(200, {"object": "list", "data": data})
        elif "/files" in path or "/batches" in path:
            self.file_or_batch(connection, request)
        else:
            connection.reply(404, error_body(404, f"no such path: {path}"))

    def file_or_batch(self, connection: Connection, request: Request) -> None:
        """Answer, unless behaviour says to fall silent before or after the work."""
        step = f"{request.method} {'files' if '/files' in request.path else 'batches'}"
        if self.behaviour.stall == f"before {step}":
            self.counts["stalled"] += 1
            return
        reply = self.unauthorised(request, self.behaviour) or self.store.route(request)
        if self.behaviour.stall == f"after {step}":
            self.counts["stalled"] += 1
            return
        connection.reply(*reply)

    # chat completions

    def complete(self, connection: Connection, request: Request) -> None:
        self.counts["requests"] += 1
        body = request.json()
        if self.keep_bodies:
            self.bodies.append(body)
        behaviour = self.steered(request, body)
        refused = self.refused(request, body, behaviour)
        kind = behaviour.fault or self.draw(behaviour.faults)
        if refused is None and kind in UNPAID:
            refused = self.fault_reply(kind, behaviour)
        if refused is not None:
            self.counts[str(refused[0])] += 1
            connection.reply(*refused)
            return
        key = hashlib.blake2b(request.body, digest_size=12).hexdigest()
        job = Job(connection, request, body, behaviour, kind, key, self.hits(body["messages"]))
        connection.job = job
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        self.waiting.append(job)
        self.run_waiting()

    def steered(self, request: Request, body: dict[str, Any]) -> Behaviour:
        steer = request.headers.get("x-sim") or str(body.get("model", "")).partition("?")[2]
        if not steer:
            return self.behaviour
        return self.behaviour.changed({k: v[0] for k, v in parse_qs(steer).items()})

    def draw(self, faults: dict[str, float]) -> str:
        at = self.random.random() if faults else 0.0
        for kind, share in faults.items():
            at -= share
            if at < 0:
                return kind
        return "ok"

    def unauthorised(self, request: Request, behaviour: Behaviour) -> tuple[int, Any] | None:
        sent = request.headers.get("authorization", "").removeprefix("Bearer ")
        if behaviour.key is not None and sent != behaviour.key:
            words = f"Incorrect API key provided: {sent}."
            return 401, error_body(401, words, code="invalid_api_key")
        return None

    def refused(
        self, request: Request, body: dict[str, Any], behaviour: Behaviour
    ) -> tuple[int, Any] | tuple[int, Any, dict[str, str]] | None:
        """Say no before any work is done, or return None."""
        if refused := self.unauthorised(request, behaviour):
            return refused
        if behaviour.status is not None:
            return behaviour.status, error_body(behaviour.status, "as asked", **behaviour.error)
        model = str(body.get("model")).partition("?")[0]
        if behaviour.models is not None and model not in behaviour.models:
            words = f"The model `{model}` does not exist"
            return 404, error_body(404, words, code="model_not_found", param="model")
        if behaviour.max_in_flight is not None and self.in_flight >= behaviour.max_in_flight:
            return self.fault_reply("429", behaviour)
        wait = 0.0
        if behaviour.rpm:
            wait = self.requests_bucket.take(1, behaviour.rpm)
        if behaviour.tpm and not wait:
            wait = self.tokens_bucket.take(len(request.body) / 4, behaviour.tpm)
        return self.fault_reply("429", behaviour, wait) if wait else None

    def fault_reply(
        self, kind: str, behaviour: Behaviour, wait: float | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        status = int(kind)
        headers = {}
        if status == 429:
            seconds = behaviour.retry_after if wait is None else wait
            headers = retry_headers(behaviour.retry_form, seconds)
        return status, error_body(status, f"sim fault {kind}"), headers

    def run_waiting(self) -> None:
        while self.waiting:
            capacity = self.behaviour.capacity
            if capacity is not None and self.running >= capacity:
                return
            job = self.waiting.popleft()
            if job.connection.job is job:
                self.run(job)

    def run(self, job: Job) -> None:
        job.running = True
        self.running += 1
        behaviour = job.behaviour
        latency = behaviour.latency * (1 + behaviour.jitter * (2 * self.random.random() - 1))
        if job.kind == "hang":
            return
        assert self.loop is not None
        if latency <= 0:
            job.timer = self.loop.call_soon(self.finish, job)
        else:
            job.timer = self.loop.call_later(latency, self.finish, job)

    def leave(self, job: Job) -> None:
        """Forget a job, however it ended."""
        job.connection.job = None
        self.in_flight -= 1
        if job.timer is not None:
            job.timer.cancel()
        if job.running:
            self.running -= 1
            self.run_waiting()

    def finish(self, job: Job) -> None:
        connection, kind = job.connection, job.kind
        self.counts[kind] += 1
        if kind in BROKEN:
            self.leave(job)
            broken_reply(connection, kind)
            return
        self.paid[job.key] += 1
        payload = self.payload(job)
        if kind in ("slow", "blanks"):
            self.dribble(job, payload)
            return
        self.leave(job)
        if kind in FINE:
            self.delivered[job.key] += 1
        if kind == "reset_body":
            half = payload[: len(payload) // 2]
            connection.write(head(200, None, f"content-length: {len(payload)}") + half)
            assert self.loop is not None
            self.loop.call_later(0.005, connection.reset)
        else:
            connection.reply(200, payload)

    def dribble(self, job: Job, payload: bytes) -> None:
        """Send the body piece by piece, or blank lines before it."""
        connection, parts = job.connection, 8
        pause = job.behaviour.slow_seconds / parts
        if job.kind == "blanks":
            pieces = [b"\n"] * parts + [payload]
        else:
            step = len(payload) // parts + 1
            pieces = [payload[i : i + step] for i in range(0, len(payload), step)]
        connection.write(head(200, None, "transfer-encoding: chunked"))

        def send() -> None:
            piece = pieces.pop(0)
            connection.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            if pieces:
                assert self.loop is not None
                job.timer = self.loop.call_later(pause, send)
                return
            connection.write(b"0\r\n\r\n")
            self.delivered[job.key] += 1
            self.leave(job)
            connection.finished()

        send()

    def payload(self, job: Job) -> bytes:
        completion = self.completion(job.body, job.behaviour, job.kind, job.hits)
        if job.kind == "not_json":
            return b'{"id": "chatcmpl-sim", "choices": [{]}'
        whole = json.dumps(completion).encode()
        return whole[: len(whole) * 2 // 3] if job.kind == "truncated" else whole

    def completion(
        self, body: dict[str, Any], behaviour: Behaviour, kind: str, hits: int = 0
    ) -> dict[str, Any]:
        """Return the answer to one body, spoilt as `kind` says."""
        messages = body["messages"]
        text = self.answers(messages) if self.answers else None
        if text is None:
            text = default_answer(messages, behaviour.answer_chars)
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if behaviour.reasoning == "reasoning_details":
            message["reasoning_details"] = [{"type": "reasoning.text", "text": "thought about it"}]
        elif behaviour.reasoning:
            message[behaviour.reasoning] = "thought about it"
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        spoil(choice, message, kind, text)
        completion: dict[str, Any] = {
            "id": "chatcmpl-sim",
            "object": "chat.completion",
            "created": 1,
            "model": str(body.get("model")).partition("?")[0],
            "choices": [] if kind == "no_choices" else [choice],
        }
        if behaviour.usage:
            completion["usage"] = self.usage(messages, text, bool(behaviour.reasoning), hits)
        return completion

    def hits(self, messages: list[dict[str, Any]]) -> int:
        """Return how many blocks at the beginning of a prompt are cached: those of old answers."""
        known = (block in self.prefixes for block in blocks_of(messages))
        return sum(itertools.takewhile(bool, known))

    def usage(
        self, messages: list[dict[str, Any]], text: str, reasoning: bool, hits: int
    ) -> dict[str, Any]:
        """Count four characters a token, of which `hits` blocks were cached."""
        self.prefixes.update(blocks_of(messages))
        whole = sum(len(str(m.get("content"))) for m in messages)
        prompt, thought = max(1, whole // 4), 4 if reasoning else 0
        completion = max(1, len(text) // 4) + thought
        self.counts["prompt_tokens"] += prompt
        self.counts["cached_tokens"] += 64 * hits
        self.counts["completion_tokens"] += completion
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": 64 * hits},
            "completion_tokens_details": {"reasoning_tokens": thought},
        }


def blocks_of(messages: list[dict[str, Any]]) -> list[int]:
    """Return a prompt's beginnings of 256, 512, .. characters, hashed."""
    whole = "\x00".join(str(m.get("content")) for m in messages)
    return [hash(whole[:end]) for end in range(256, len(whole) + 1, 256)]


def spoil(choice: dict[str, Any], message: dict[str, Any], kind: str, text: str) -> None:
    """Turn a good choice into one of `kind`."""
    if kind == "empty":
        message["content"] = ""
    elif kind == "blank":
        message["content"] = " \n\n  "
    elif kind == "null":
        message["content"] = None
    elif kind == "length":
        message["content"], choice["finish_reason"] = text[: len(text) // 2], "length"
    elif kind == "filter":
        message["content"], choice["finish_reason"] = "", "content_filter"
    elif kind == "resource":
        choice["finish_reason"] = "insufficient_system_resource"
    elif kind == "refusal":
        message["content"], message["refusal"] = None, "I can't help with that."
    elif kind == "think":
        message["content"] = f"<think>\nlet me see\n</think>\n\n{text}"
    elif kind == "odd_finish":
        choice["finish_reason"] = "mystery"
    elif kind == "parts":
        message["content"] = [{"type": "text", "text": text}]


def broken_reply(connection: Connection, kind: str) -> None:
    if kind == "html":
        page = b"<html><body><h1>Sign in to the network</h1></body></html>"
        connection.reply(200, page, {"content-type": "text/html"})
    elif kind == "error200":
        connection.reply(200, error_body(502, "upstream failed"))
    else:
        connection.reset()


def error_body(status: int, message: str, **more: Any) -> dict[str, Any]:
    kinds = {429: "rate_limit_exceeded", 401: "invalid_request_error", 404: "not_found_error"}
    error = {"message": message, "type": kinds.get(status, "sim_error"), "param": None}
    return {"error": {**error, "code": kinds.get(status), **more}}


def retry_headers(form: str, seconds: float) -> dict[str, str]:
    """Say `seconds` in one of the forms that providers use."""
    if form == "seconds":
        return {"retry-after": f"{seconds:g}"}
    if form == "ms":
        return {"retry-after-ms": str(int(seconds * 1000))}
    if form == "date":
        return {"retry-after": email.utils.formatdate(time.time() + seconds, usegmt=True)}
    if form == "reset":
        return {
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": f"{int(seconds * 1000)}ms",
            "x-ratelimit-remaining-tokens": "1000",
            "x-ratelimit-reset-tokens": "6m0s",
        }
    return {}


# Files and batches ---------------------------------------------------------------------------

ENDS = ("completed", "failed", "expired", "cancelled")
BATCH = "/v1/chat/completions"


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


Reply = tuple[int, Any]


class Batches:
    """Files and batches of a provider. Plans come from `behaviour.batch_ends`, one per batch."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.files: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self.batches: dict[str, Batch] = {}
        self.made = 0

    def route(self, request: Request) -> Reply:
        steps = request.path.split("/")
        at = steps.index("files") if "files" in steps else steps.index("batches")
        kind, rest = steps[at], steps[at + 1 :]
        self.provider.counts[f"{request.method} {kind}"] += 1
        name = rest[0] if rest else None
        if kind == "files":
            return self.file_route(request, name, rest[1:])
        return self.batch_route(request, name, rest[1:])

    def file_route(self, request: Request, name: str | None, rest: list[str]) -> Reply:
        if name is None:
            if request.method == "POST":
                return 200, self.upload(request)
            return 200, page(list(reversed(self.files.values())), request.query)
        if name not in self.files:
            return 404, error_body(404, f"No such File object: {name}")
        if request.method == "DELETE":
            del self.files[name], self.contents[name]
            return 200, {"id": name, "object": "file", "deleted": True}
        return 200, self.contents[name] if rest == ["content"] else self.files[name]

    def upload(self, request: Request) -> dict[str, Any]:
        boundary = re.search(r'boundary="?([^";]+)', request.headers["content-type"])
        assert boundary is not None
        fields: dict[str, tuple[str | None, bytes]] = {}
        for part in request.body.split(b"--" + boundary[1].encode())[1:-1]:
            top, _, content = part[2:-2].partition(b"\r\n\r\n")
            text = top.decode()
            name = re.search(r'name="([^"]*)"', text)
            filename = re.search(r'filename="([^"]*)"', text)
            assert name is not None
            fields[name[1]] = (filename[1] if filename else None, content)
        called, content = fields["file"]
        return self.keep(content, called or "file", fields["purpose"][1].decode())

    def keep(self, content: bytes, filename: str, purpose: str) -> dict[str, Any]:
        self.made += 1
        name = f"file-{self.made}"
        self.contents[name] = content
        self.files[name] = {
            "id": name,
            "object": "file",
            "bytes": len(content),
            "created_at": int(time.time()),
            "filename": filename,
            "purpose": purpose,
            "status": "processed",
        }
        return self.files[name]

    def batch_route(self, request: Request, name: str | None, rest: list[str]) -> Reply:
        if name is None:
            if request.method == "POST":
                return 200, self.create(request.json()).shown()
            newest = [batch.shown() for batch in reversed(self.batches.values())]
            return 200, page(newest, request.query)
        batch = self.batches.get(name)
        if batch is None:
            return 404, error_body(404, f"No batch found with id '{name}'.")
        if rest == ["cancel"]:
            return self.cancel(batch)
        self.advance(batch)
        return 200, batch.shown()

    def create(self, body: dict[str, Any]) -> Batch:
        self.made += 1
        plans = self.provider.behaviour.batch_ends
        plan = plans.pop(0) if plans else {}
        batch = Batch(
            f"batch_{self.made}",
            body["input_file_id"],
            body["endpoint"],
            body["completion_window"],
            body.get("metadata") or {},
            int(time.time()),
            **plan,
        )
        self.contents[batch.input_file_id]  # an unknown file is a bad request
        self.batches[batch.id] = batch
        return batch

    def cancel(self, batch: Batch) -> Reply:
        if batch.status in ENDS:
            return 409, error_body(409, f"Cannot cancel a batch with status '{batch.status}'.")
        batch.status, batch.end = "cancelling", "cancelled"
        batch.seen = max(batch.seen, batch.polls)
        return 200, batch.shown()

    def advance(self, batch: Batch) -> None:
        """Move one step at every look: validating, in_progress, .., finalizing, the end."""
        if batch.status in ENDS:
            return
        batch.seen += 1
        lines = self.lines(batch)
        batch.total = len(lines)
        if problem := self.problem(batch, lines):
            batch.status, batch.error, batch.total = "failed", problem, 0
        elif batch.seen <= batch.polls or time.monotonic() - batch.started < batch.seconds:
            batch.status = "in_progress"
        elif batch.status == "in_progress" and batch.end == "completed":
            batch.status = "finalizing"
        elif batch.status == "in_progress" and batch.end == "cancelled":
            batch.status = "cancelling"
        else:
            self.end(batch, lines)

    def lines(self, batch: Batch) -> list[bytes]:
        return [line for line in self.contents[batch.input_file_id].split(b"\n") if line.strip()]

    def problem(self, batch: Batch, lines: list[bytes]) -> dict[str, Any] | None:
        """Return what is wrong with the file as a whole."""
        live = [b for b in self.batches.values() if b is not batch and b.status not in ENDS]
        limit = self.provider.behaviour.enqueued_limit
        if limit is not None and batch.total + sum(b.total for b in live) > limit:
            return fault("token_limit_exceeded", "Enqueued token limit reached")
        if batch.end == "failed":
            return fault(batch.code, "as planned")
        if len(lines) > 50_000:
            return fault("invalid_batch", "too many lines")
        seen: set[str] = set()
        models: set[Any] = set()
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
                name, url = record["custom_id"], record["url"]
                models.add(record["body"]["model"])
            except (ValueError, KeyError, TypeError):
                return fault("invalid_json_line", "This line is not parseable.", number)
            if name in seen:
                return fault("duplicate_custom_id", f"{name} appears twice", number)
            if url != batch.endpoint:
                return fault("mismatched_endpoint", url, number)
            seen.add(name)
        return fault("mismatched_model", "one model per file") if len(models) > 1 else None

    def end(self, batch: Batch, lines: list[bytes]) -> None:
        """Answer the planned share of the lines, in another order, and write both files."""
        rng = random.Random(batch.id)
        records = [json.loads(line) for line in lines]
        rng.shuffle(records)
        n_done = round(len(records) * batch.done)
        n_errors = round(n_done * batch.errors)
        good = [self.answered(r) for r in records[n_errors:n_done]]
        bad = [failed_line(r, i) for i, r in enumerate(records[:n_errors])]
        code = {"expired": "batch_expired", "cancelled": "batch_cancelled"}.get(batch.end)
        if code is not None:
            bad += [unserved_line(r, code) for r in records[n_done:]]
        batch.completed, batch.failed = len(good), len(bad)
        batch.output_file_id = self.written(good, "output")
        batch.error_file_id = self.written(bad, "errors")
        batch.status = batch.end

    def answered(self, record: dict[str, Any]) -> dict[str, Any]:
        provider = self.provider
        key = hashlib.blake2b(canonical(record["body"]).encode(), digest_size=12).hexdigest()
        provider.paid[key] += 1
        provider.delivered[key] += 1
        body = provider.completion(record["body"], provider.behaviour, "ok")
        return line_of(record, {"status_code": 200, "request_id": "req", "body": body}, None)

    def written(self, lines: list[dict[str, Any]], what: str) -> str | None:
        if not lines:
            return "" if self.made % 2 else None  # providers do both
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        return str(self.keep(content, f"{what}.jsonl", "batch_output")["id"])


def line_of(record: dict[str, Any], response: Any, error: Any) -> dict[str, Any]:
    name = record["custom_id"]
    return {"id": f"breq-{name}", "custom_id": name, "response": response, "error": error}


def failed_line(record: dict[str, Any], index: int) -> dict[str, Any]:
    status = (400, 429, 500)[index % 3]
    body = error_body(status, "line failed")
    return line_of(record, {"status_code": status, "request_id": "req", "body": body}, None)


def unserved_line(record: dict[str, Any], code: str) -> dict[str, Any]:
    return line_of(record, None, {"code": code, "message": "This request was not executed."})


def fault(code: str, message: str, line: int | None = None) -> dict[str, Any]:
    return {"code": code, "message": message, "line": line, "param": None}


def page(items: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    """Return the page of `items` after the id `after`."""
    ids = [item["id"] for item in items]
    start = ids.index(query["after"]) + 1 if query.get("after") in ids else 0
    limit = int(query.get("limit", 20))
    data = items[start : start + limit]
    more = start + limit < len(items)
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": more}


def main() -> None:
    parser = argparse.ArgumentParser(description="loopback provider of chat completions")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--fault", action="append", default=[], metavar="KIND=SHARE")
    parser.add_argument("--answers", help="JSONL of recorded answers")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    for name in ("latency", "jitter", "max-in-flight", "capacity", "rpm", "tpm", "answer-chars"):
        parser.add_argument(f"--{name}")
    options = vars(parser.parse_args())
    port, answers = options.pop("port"), options.pop("answers")
    faults = {k: float(v) for k, v in (f.split("=") for f in options.pop("fault"))}
    values = dict(pair.split("=", 1) for pair in options.pop("set"))
    values |= {k: v for k, v in options.items() if v is not None}
    provider = Provider(answers=answers, faults=faults)
    provider.behave(**values)

    async def serve() -> None:
        server = await provider.start(port)
        print(provider.url, flush=True)
        await server.serve_forever()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())


if __name__ == "__main__":
    main()
