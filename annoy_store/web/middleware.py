"""Access control for all pages: allowed hosts and methods, and security headers.

Decisions
- A page of another site must not read the store through a host name that it has pointed at this
  machine (DNS rebinding): only names of this machine and plain IP addresses are accepted.
- Only GET and HEAD are accepted, and pages of other sites may link here but not load from here.
- A POST is accepted where the application writes, and only from our own pages: a browser names their
  address as the origin. A request that names none, or `null`, is rejected.
- The referrer is sent to our own pages alone; with none at all, browsers hide the origin, too.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection, Iterable, Mapping
from urllib.parse import urlsplit

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
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """ASGI middleware that rejects requests from other sites and sets security headers.

    Args:
        app: The application.
        names: Further host names under which the pages are served.
        writable: Paths that accept POST.
    """

    def __init__(
        self, app: ASGIApp, names: Iterable[str] = (), writable: Collection[str] = ()
    ) -> None:
        self.app, self.writable = app, writable
        self.names = {"localhost", socket.gethostname().lower(), *(n.lower() for n in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI request; reject it if it comes from another site."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        rejection = self._rejection(scope["method"], scope["path"], Headers(scope=scope))
        answer = PlainTextResponse(rejection[1], rejection[0]) if rejection else self.app
        await answer(scope, receive, send_with_headers)

    def _rejection(
        self, method: str, path: str, headers: Mapping[str, str]
    ) -> tuple[int, str] | None:
        if not self._is_known_host(headers.get("host", "")):
            return 421, "This is not a host name of the machine that runs annoy view."
        if method == "POST" and path in self.writable:
            return None if _is_own(headers) else (403, "Only forms of these pages are accepted.")
        if method not in ("GET", "HEAD"):
            return 405, "These pages are read-only."
        is_foreign = headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")
        if is_foreign and headers.get("sec-fetch-mode") != "navigate":
            return 403, "Other sites may link here, but not load from here."
        return None

    def _is_known_host(self, host: str) -> bool:
        """Return True for a name of this machine and for an IP address, with any port."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        name = name.strip("[]").lower()
        if name in self.names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _is_own(headers: Mapping[str, str]) -> bool:
    """Return True if a request comes from a page of the host that it is sent to."""
    try:
        origin = urlsplit(headers.get("origin", ""))
    except ValueError:
        return False
    is_same = origin.scheme in ("http", "https") and origin.netloc == headers.get("host")
    return is_same and headers.get("sec-fetch-site", "same-origin") == "same-origin"
