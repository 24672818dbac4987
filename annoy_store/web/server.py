"""The HTTP server of the web pages."""

from __future__ import annotations

import socket

import uvicorn
from starlette.applications import Starlette

from annoy_store.errors import UsageError


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Args:
        host: Name or address of this machine.
        port: Port; 0 for any free one.

    Raises:
        UsageError: The port is taken, or the host is not this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(128)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        reason = f"cannot listen at {host}:{port} ({error.strerror})"
        raise UsageError(f"{reason}; --port 0 chooses a free port") from error
    return listening


def serve(app: Starlette, listening: socket.socket) -> None:
    """Serve an application on a socket until interrupted."""
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", ws="none")
    uvicorn.Server(config).run(sockets=[listening])
