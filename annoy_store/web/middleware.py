"""What stands before every page: who may ask, what may be asked, and what a page may do.

Decisions
- A page that a person's browser has open elsewhere must not read the store through a name that
  it made point at this machine: only names of this machine and plain addresses are answered.
- Only GET and HEAD are answered, and a page elsewhere may link here but not load from here.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """An ASGI middleware that refuses strangers and lays down what pages may do."""

    def __init__(self, app: ASGIApp, names: Iterable[str] = ()) -> None:
        self.app = app
        self.names = {"localhost", socket.gethostname().lower(), *(n.lower() for n in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refused = self._refused(scope["method"], Headers(scope=scope))
        answer = PlainTextResponse(refused[1], refused[0]) if refused else self.app
        await answer(scope, receive, guarded)

    def _refused(self, method: str, headers: Mapping[str, str]) -> tuple[int, str] | None:
        if not self._is_ours(headers.get("host", "")):
            return 421, "This is not the name of the machine that annoy view runs on."
        if method not in ("GET", "HEAD"):
            return 405, "A store is only read here."
        strange = headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")
        if strange and headers.get("sec-fetch-mode") != "navigate":
            return 403, "Other pages may link here, but not load from here."
        return None

    def _is_ours(self, host: str) -> bool:
        """True for a name of this machine and for a plain address, with any port."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        name = name.strip("[]").lower()
        if name in self.names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
