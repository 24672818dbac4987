"""Chat completions: which are refused, which wait, and how each ends."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs

from tests.support.provider.behaviour import BROKEN, DELIVERED, UNPAID, Behaviour
from tests.support.provider.completion import Completions
from tests.support.provider.connection import Connection, Request, head
from tests.support.provider.errors import error_body, retry_headers
from tests.support.provider.families import FAMILIES
from tests.support.provider.forms import STREAMS
from tests.support.provider.token_bucket import TokenBucket

Refusal = tuple[int, Any] | tuple[int, Any, dict[str, str]]


class State(Protocol):
    """What a provider keeps for all its services."""

    behaviour: Behaviour
    completions: Completions
    counts: Counter[str]
    paid: Counter[str]
    delivered: Counter[str]

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...

    def unauthorised(self, request: Request, behaviour: Behaviour) -> tuple[int, Any] | None: ...


@dataclass(eq=False)
class ChatCall:
    """One completion under way."""

    connection: Connection
    body: dict[str, Any]
    behaviour: Behaviour
    kind: str
    key: str
    cached_blocks: int  # of its prompt, when it came
    timer: asyncio.Handle | None = None
    is_running: bool = False


class ChatService:
    """Answers chat completions as the behaviour says."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._random = random.Random(state.behaviour.seed)
        self._calls: dict[Connection, ChatCall] = {}
        self._waiting: deque[ChatCall] = deque()
        self._requests_bucket, self._tokens_bucket = TokenBucket(), TokenBucket()
        self.running = 0
        self.in_flight = self.max_in_flight = 0
        self.bodies: list[dict[str, Any]] = []  # kept only when `keep_bodies` is set
        self.keep_bodies = False
        self.refuse: Callable[[dict[str, Any]], Refusal | None] = lambda _: None  # by the body

    def handle(self, connection: Connection, request: Request) -> None:
        """Refuse a request, or begin to answer it."""
        state = self._state
        state.counts["requests"] += 1
        body = request.json()
        if self.keep_bodies:
            self.bodies.append(body)
        behaviour = self._behaviour_for(request, body)
        refusal = self._refusal(request, body, behaviour)
        kind = behaviour.fault or self._draw(behaviour.faults)
        if refusal is None and kind in UNPAID:
            refusal = _fault_refusal(kind, behaviour)
        if refusal is not None:
            state.counts[str(refusal[0])] += 1
            connection.reply(*refusal)
            return
        key = hashlib.blake2b(request.body, digest_size=12).hexdigest()
        cached = state.completions.cached_blocks(body["messages"])
        call = ChatCall(connection, body, behaviour, kind, key, cached)
        self._calls[connection] = call
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        self._waiting.append(call)
        self._start_waiting()

    def lost(self, connection: Connection) -> None:
        """Forget the call of a connection that the client has closed."""
        if (call := self._calls.get(connection)) is not None:
            self._state.counts["given_up"] += 1
            self._remove(call)

    # Before any work ---------------------------------------------------------------------

    def _behaviour_for(self, request: Request, body: dict[str, Any]) -> Behaviour:
        changes = request.headers.get("x-sim") or str(body.get("model", "")).partition("?")[2]
        if not changes:
            return self._state.behaviour
        values = {name: texts[0] for name, texts in parse_qs(changes).items()}
        return self._state.behaviour.changed(values)

    def _draw(self, faults: dict[str, float]) -> str:
        at = self._random.random() if faults else 0.0
        for kind, share in faults.items():
            at -= share
            if at < 0:
                return kind
        return "ok"

    def _refusal(
        self, request: Request, body: dict[str, Any], behaviour: Behaviour
    ) -> Refusal | None:
        """Return the error that a request gets before any work is done, if it gets one."""
        if refusal := self._state.unauthorised(request, behaviour):
            return refusal
        if behaviour.status is not None:
            return behaviour.status, error_body(behaviour.status, "as asked", **behaviour.error)
        if refusal := self.refuse(body):
            return refusal
        model = str(body.get("model")).partition("?")[0]
        if behaviour.models is not None and model not in behaviour.models:
            message = f"The model `{model}` does not exist"
            return 404, error_body(404, message, code="model_not_found", param="model")
        if behaviour.family and (refused := FAMILIES[behaviour.family](body)):
            return refused
        if behaviour.max_in_flight is not None and self.in_flight >= behaviour.max_in_flight:
            return _fault_refusal("429", behaviour)
        wait, now = 0.0, self._state.loop.time()
        if behaviour.rpm:
            wait = self._requests_bucket.take(1, behaviour.rpm, now)
        if behaviour.tpm and not wait:
            wait = self._tokens_bucket.take(len(request.body) / 4, behaviour.tpm, now)
        return _fault_refusal("429", behaviour, wait) if wait else None

    # Work --------------------------------------------------------------------------------

    def _start_waiting(self) -> None:
        """Start calls that wait, as many as the capacity allows."""
        while self._waiting:
            capacity = self._state.behaviour.capacity
            if capacity is not None and self.running >= capacity:
                return
            call = self._waiting.popleft()
            if self._calls.get(call.connection) is call:
                self._start(call)

    def _start(self, call: ChatCall) -> None:
        call.is_running = True
        self.running += 1
        spread = call.behaviour.jitter * (2 * self._random.random() - 1)
        latency = call.behaviour.latency * (1 + spread)
        if call.kind == "hang":
            return
        if latency <= 0:
            call.timer = self._state.loop.call_soon(self._finish, call)
        else:
            call.timer = self._state.loop.call_later(latency, self._finish, call)

    def _remove(self, call: ChatCall) -> None:
        """Forget a call, however it ended."""
        del self._calls[call.connection]
        self.in_flight -= 1
        if call.timer is not None:
            call.timer.cancel()
        if call.is_running:
            self.running -= 1
            self._start_waiting()

    # The end -----------------------------------------------------------------------------

    def _finish(self, call: ChatCall) -> None:
        connection, state = call.connection, self._state
        state.counts[call.kind] += 1
        if call.kind in BROKEN:
            self._remove(call)
            _reply_broken(connection, call.kind)
            return
        state.paid[call.key] += 1
        payload = self._payload(call)
        if call.kind in ("slow", "blanks"):
            self._reply_slowly(call, payload)
            return
        self._remove(call)
        if call.kind in DELIVERED:
            state.delivered[call.key] += 1
        if call.kind == "reset_body":
            half = payload[: len(payload) // 2]
            connection.write(head(200, None, f"content-length: {len(payload)}") + half)
            state.loop.call_later(0.005, connection.reset)
        else:
            connection.reply(200, payload)

    def _payload(self, call: ChatCall) -> bytes:
        completion = self._state.completions.build(
            call.body, call.behaviour, call.kind, call.cached_blocks
        )
        if call.kind == "not_json":
            return b'{"id": "chatcmpl-sim", "choices": [{]}'
        if call.kind in STREAMS:
            return STREAMS[call.kind](completion)
        whole = json.dumps(completion).encode()
        return whole[: len(whole) * 2 // 3] if call.kind == "truncated" else whole

    def _reply_slowly(self, call: ChatCall, payload: bytes) -> None:
        """Send the body piece by piece, or blank lines before it."""
        connection, pieces = call.connection, _pieces(call.kind, payload)
        pause = call.behaviour.slow_seconds / 8
        connection.write(head(200, None, "transfer-encoding: chunked"))

        def send() -> None:
            piece = pieces.pop(0)
            connection.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            if pieces:
                call.timer = self._state.loop.call_later(pause, send)
                return
            connection.write(b"0\r\n\r\n")
            self._state.delivered[call.key] += 1
            self._remove(call)
            connection.finished()

        send()


def _pieces(kind: str, payload: bytes) -> list[bytes]:
    if kind == "blanks":
        return [b"\n"] * 8 + [payload]
    step = len(payload) // 8 + 1
    return [payload[i : i + step] for i in range(0, len(payload), step)]


def _fault_refusal(kind: str, behaviour: Behaviour, wait: float | None = None) -> Refusal:
    status = int(kind)
    headers = {}
    if status == 429:
        seconds = behaviour.retry_after if wait is None else wait
        headers = retry_headers(behaviour.retry_form, seconds)
    return status, error_body(status, f"sim fault {kind}"), headers


def _reply_broken(connection: Connection, kind: str) -> None:
    if kind == "html":
        page = b"<html><body><h1>Sign in to the network</h1></body></html>"
        connection.reply(200, page, {"content-type": "text/html"})
    elif kind == "error200":
        connection.reply(200, error_body(502, "upstream failed"))
    else:
        connection.reset()
