"""The provider: its server, its routes, and what it has counted."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

from tests.support.provider.answers import Answers, answers_from
from tests.support.provider.batches import BatchService
from tests.support.provider.behaviour import Behaviour
from tests.support.provider.chat import ChatService
from tests.support.provider.completion import Completions
from tests.support.provider.connection import Connection, Request
from tests.support.provider.errors import error_body
from tests.support.provider.files import FileService


class Provider:
    """A server of chat completions, files and batches on loopback.

    Args:
        answers: What to answer: a function of the messages, or the path of recorded answers. A
            prompt without one gets a text of its own.
        behaviour: Fields of `Behaviour`.
    """

    def __init__(self, *, answers: Answers | str | None = None, **behaviour: Any) -> None:
        self.behaviour = Behaviour(**behaviour)
        self.counts: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()
        self.delivered: Counter[str] = Counter()
        known = answers_from(answers) if isinstance(answers, str) else answers
        self.completions = Completions(known, self.counts)
        self.chat = ChatService(self)
        self.files = FileService()
        self.batches = BatchService(self)
        self.connections: set[Connection] = set()
        self.max_connections = 0
        self.url = ""
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        assert self._loop is not None, "the provider has not been started"
        return self._loop

    @property
    def answers(self) -> Answers | None:
        """Return the function that answers prompts; it can be replaced at any time."""
        return self.completions.answers

    @answers.setter
    def answers(self, answers: Answers | None) -> None:
        self.completions.answers = answers

    @property
    def in_flight(self) -> int:
        """Return how many completions are under way or wait."""
        return self.chat.in_flight

    # Serving -----------------------------------------------------------------------------

    async def start(self, port: int = 0) -> asyncio.Server:
        """Serve on the running loop, at `port` or any free one; `url` says where."""
        self._loop = asyncio.get_running_loop()
        server = await self._loop.create_server(
            lambda: Connection(self), "127.0.0.1", port, backlog=4096
        )
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        return server

    @contextlib.asynccontextmanager
    async def serving_here(self, port: int = 0) -> AsyncIterator[Provider]:
        """Serve on the running loop until the block ends."""
        server = await self.start(port)
        try:
            yield self
        finally:
            await self._stop(server)

    @contextlib.contextmanager
    def serving(self, port: int = 0) -> Iterator[Provider]:
        """Serve from a thread until the block ends."""
        up, stop = threading.Event(), asyncio.Event()

        async def main() -> None:
            server = await self.start(port)
            up.set()
            await stop.wait()
            await self._stop(server)

        thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
        thread.start()
        if not up.wait(10):
            raise RuntimeError("the provider did not start")
        try:
            yield self
        finally:
            self.loop.call_soon_threadsafe(stop.set)
            thread.join(10)

    async def _stop(self, server: asyncio.Server) -> None:
        server.close()
        for connection in list(self.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    def behave(self, **values: Any) -> None:
        """Change fields of the behaviour from now on."""
        self.behaviour = self.behaviour.changed(values)

    def stats(self) -> dict[str, Any]:
        """Return what was counted. `paid_twice`: answers worked out again for the same body."""
        return {
            "counts": dict(self.counts),
            "in_flight": self.in_flight,
            "max_in_flight": self.chat.max_in_flight,
            "connections": len(self.connections),
            "max_connections": self.max_connections,
            "prompts": len(self.paid),
            "paid": self.paid.total(),
            "paid_twice": self.paid.total() - len(self.paid),
            "delivered": self.delivered.total(),
            "delivered_twice": self.delivered.total() - len(self.delivered),
        }

    # Connections -------------------------------------------------------------------------

    def connected(self, connection: Connection) -> None:
        self.connections.add(connection)
        self.counts["connections"] += 1
        self.max_connections = max(self.max_connections, len(self.connections))

    def lost(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self.chat.lost(connection)

    def handle(self, connection: Connection, request: Request) -> None:
        try:
            self._route(connection, request)
        except (ValueError, KeyError, TypeError) as error:
            connection.reply(400, error_body(400, f"bad request: {error!r}"))

    def unauthorised(self, request: Request, behaviour: Behaviour) -> tuple[int, Any] | None:
        """Return the error of a request with the wrong key, if it has one."""
        sent = request.headers.get("authorization", "").removeprefix("Bearer ")
        if behaviour.key is not None and sent != behaviour.key:
            message = f"Incorrect API key provided: {sent}."
            return 401, error_body(401, message, code="invalid_api_key")
        return None

    # Routes ------------------------------------------------------------------------------

    def _route(self, connection: Connection, request: Request) -> None:
        path = request.path
        if path.endswith("/chat/completions"):
            self.chat.handle(connection, request)
        elif path == "/_sim/stats":
            connection.reply(200, self.stats())
        elif path == "/_sim/behaviour":
            self.behave(**request.json())
            connection.reply(200, dataclasses.asdict(self.behaviour))
        elif path.endswith("/models"):
            connection.reply(200, self._models())
        elif "/files" in path or "/batches" in path:
            self._route_batches(connection, request)
        else:
            connection.reply(404, error_body(404, f"no such path: {path}"))

    def _models(self) -> dict[str, Any]:
        names = self.behaviour.models or ["sim"]
        data = [{"id": n, "object": "model", "created": 0, "owned_by": "sim"} for n in names]
        return {"object": "list", "data": data}

    def _route_batches(self, connection: Connection, request: Request) -> None:
        """Answer, unless the behaviour says to stall before or after the work."""
        step = f"{request.method} {'files' if '/files' in request.path else 'batches'}"
        if self.behaviour.stall == f"before {step}":
            self.counts["stalled"] += 1
            return
        reply = self.unauthorised(request, self.behaviour) or self.batches.route(request)
        if self.behaviour.stall == f"after {step}":
            self.counts["stalled"] += 1
            return
        connection.reply(*reply)
