"""From a socket to a server that reads a store."""

from __future__ import annotations

import socket

import uvicorn
from starlette.applications import Starlette

from annoy_store.errors import UsageError


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 is any that is free.

    Raises UsageError for a port that is taken and a host that is not this machine.
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
        words = f"cannot listen at {host}:{port} ({error.strerror})"
        raise UsageError(f"{words}; --port 0 takes one that is free") from error
    return listening


def serve(app: Starlette, listening: socket.socket) -> None:
    """Answer until interrupted."""
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", ws="none")
    uvicorn.Server(config).run(sockets=[listening])
