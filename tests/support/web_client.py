"""A client that requests pages of the web application without a socket."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

from annoy_store.db.engine import Database
from annoy_store.web import application


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    text: str


class Client:
    """Requests pages of an application, as a server would."""

    def __init__(self, store: Database, author: str | None = None) -> None:
        self.app = application(store, ["store.example"], author)
        self.background = self.app.state.background

    def wait(self) -> None:
        """Wait for what is computed in the background."""
        for one in self.background:
            one.wait(30)

    def get(self, url: str, method: str = "GET", **headers: str) -> Response:
        return asyncio.run(self._ask(method, url, headers))

    def post(self, url: str, body: bytes, **headers: str) -> Response:
        """Send a form, as a browser does from a page of ours unless `headers` say otherwise."""
        own = {
            "origin": "http://127.0.0.1:8765",
            "sec_fetch_site": "same-origin",
            "content_type": "application/x-www-form-urlencoded",
        }
        sent = {name: value for name, value in (own | headers).items() if value}
        return asyncio.run(self._ask("POST", url, sent, body))

    async def _ask(
        self, method: str, url: str, headers: dict[str, str], body: bytes = b""
    ) -> Response:
        parts = urlsplit(url)
        given = {"host": "127.0.0.1:8765"} | {k.replace("_", "-"): v for k, v in headers.items()}
        scope = {
            "type": "http",
            "method": method,
            "path": parts.path,
            "query_string": parts.query.encode(),
            "headers": [(k.encode(), v.encode()) for k, v in given.items()],
            "http_version": "1.1",
            "scheme": "http",
            "root_path": "",
            "server": ("127.0.0.1", 8765),
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)  # type: ignore[arg-type]
        answer = b"".join(m.get("body", b"") for m in sent)
        response_headers = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
        return Response(sent[0]["status"], response_headers, answer.decode())
