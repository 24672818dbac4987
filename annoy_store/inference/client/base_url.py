"""Base URLs of endpoints: what is one, which hosts are near, and what of it may be stored.

Decisions
- A query such as `?api-version=2024-10-21` is sent with every request. One that looks like a key is
  refused, as credentials are: keys belong into an environment variable.
- What is stored and shown has neither a query nor credentials.
- Requests to this machine itself never go through a proxy, whatever HTTP_PROXY says.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from annoy_store.errors import UsageError

_EXAMPLE = "one looks like https://host/v1"
_SECRET_NAME = re.compile(r"key|token|secret|pass|pwd|sig|code|auth|cred|access", re.I)


def check_base_url(url: str) -> str:
    """Return a base URL without blanks around it and without a slash at its end.

    Raises:
        UsageError: It is none, or it holds a key.
    """
    url = url.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise UsageError(f"the base URL is none ({error}); {_EXAMPLE}") from None
    if parts.scheme.lower() not in ("http", "https") or not host or re.search(r"\s", url):
        raise UsageError(f"{normalised_url(url)!r} is no base URL; {_EXAMPLE}")
    if "@" in parts.netloc or any(_SECRET_NAME.search(name) for name in url_query(url)):
        raise UsageError(
            f"the base URL of {host} holds a key; put keys into an environment variable, named with "
            "--api-key-env"
        )
    if not _has_valid_port(url):
        raise UsageError(f"{normalised_url(url)!r} has no valid port: it is a number up to 65535")
    if parts.fragment:
        raise UsageError(f"{normalised_url(url)!r} goes on after a '#'; {_EXAMPLE}")
    return url


def url_query(url: str) -> dict[str, str]:
    """Return the parameters in the query of a URL."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def without_query(url: str) -> str:
    """Return a URL without its query and without a slash at its end."""
    return urlunsplit(urlsplit(url)._replace(query="", fragment="")).rstrip("/")


def normalised_url(url: str) -> str:
    """Return `url` as it may be stored: no credentials, no query, no slash at the end."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].lower()
    return urlunsplit((parts.scheme.lower(), host, parts.path.rstrip("/"), "", ""))


def is_local(url: str) -> bool:
    """Return whether `url` points to this machine or a private network."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith((".local", ".localhost", ".internal")):
        return True
    address = _address(host)
    if address is None:
        return "." not in host  # a name of a local network or of a container
    return address.is_private or address.is_loopback


def is_loopback(url: str) -> bool:
    """Return whether `url` points to this machine."""
    host = urlsplit(url).hostname or ""
    address = _address(host)
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _has_valid_port(url: str) -> bool:
    """Return whether a URL names no port, or one from 1 to 65535."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False
