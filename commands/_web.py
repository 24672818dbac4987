"""Shared by the commands that serve HTTP."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterator

from annoy_store.errors import UsageError

_PACKAGES = ("starlette", "uvicorn", "jinja2", "markupsafe", "markdown_it")


@contextlib.contextmanager
def web_needed(command: str) -> Iterator[None]:
    """Say how to install what an import inside does not find.

    Args:
        command: The command as it is typed.

    Raises:
        UsageError: A package of the extra `web` is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in _PACKAGES:
            raise
        raise UsageError(
            f"{command} needs further packages: pip install 'annoy-store[web]'"
        ) from None


def url_of(host: str, port: int) -> str:
    """Return the URL at which a server is reached from this machine."""
    name = "127.0.0.1" if host in ("0.0.0.0", "") else "[::1]" if host == "::" else host
    return (
        f"http://[{name}]:{port}/" if ":" in name and "[" not in name else f"http://{name}:{port}/"
    )


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
