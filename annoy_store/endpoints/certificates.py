"""Whom https trusts: the machine's certificates, read once for all clients of a process."""

from __future__ import annotations

import ssl
from functools import cache

import httpx2


@cache
def trusted() -> ssl.SSLContext:
    """Return what the HTTP library would make anew, in tens of milliseconds, for every client."""
    return httpx2.create_ssl_context()
