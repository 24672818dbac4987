"""HTTP/1.1 with keep-alive over asyncio, one request at a time per connection."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Application(Protocol):
    """What a connection serves."""

    def connected(self, connection: Connection) -> None: ...

    def lost(self, connection: Connection) -> None: ...

    def handle(self, connection: Connection, request: Request) -> None:
        """Answer `request` now or later, by `connection.reply`."""


class Connection(asyncio.Protocol):
    """One client's connection. While `busy`, a request has no reply yet."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._buffer = bytearray()
        self.busy = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._application.connected(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._application.lost(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._next_request()

    def reply(self, status: int, body: bytes | Any, headers: dict[str, str] | None = None) -> None:
        """Send a whole response; a body that is not bytes is sent as JSON."""
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.write(head(status, headers, f"content-length: {len(payload)}") + payload)
        self.finished()

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def finished(self) -> None:
        """Note that the response is complete."""
        self.busy = False
        self._next_request()

    def reset(self) -> None:
        """Break the connection with a TCP reset."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _next_request(self) -> None:
        if not self.busy and (request := self._take_request()):
            self.busy = True
            self._application.handle(self, request)

    def _take_request(self) -> Request | None:
        """Remove the next request from the buffer; None if it is not there in full."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        if headers.get("transfer-encoding") == "chunked":
            body, stop = self._unchunked(end + 4)
        else:
            stop = end + 4 + int(headers.get("content-length", 0))
            body = bytes(self._buffer[end + 4 : stop]) if len(self._buffer) >= stop else None
        if body is None:
            return None
        del self._buffer[:stop]
        method, target, _ = lines[0].split(" ")
        url = urlsplit(target)
        query = {k: v[0] for k, v in parse_qs(url.query).items()} if url.query else {}
        return Request(method, url.path, query, headers, body)

    def _unchunked(self, at: int) -> tuple[bytes | None, int]:
        """Return the chunked body that begins at `at`, None if it is not there in full, and its end."""
        body = b""
        while (line := self._buffer.find(b"\r\n", at)) >= 0:
            size = int(self._buffer[at:line], 16)
            if len(self._buffer) < line + 2 + size + 2:
                break
            body += self._buffer[line + 2 : line + 2 + size]
            at = line + 2 + size + 2
            if size == 0:
                return body, at
        return None, at


def head(status: int, headers: dict[str, str] | None, *more: str) -> bytes:
    """Return the status line and the headers of a response; `more` are whole header lines."""
    fields = {"content-type": "application/json", **(headers or {})}
    lines = [f"HTTP/1.1 {status} Sim", *(f"{k}: {v}" for k, v in fields.items()), *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
