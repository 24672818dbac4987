"""Browse the store in a web browser: search, chains side by side, figures and SQL.

Nothing is written, and only this machine can connect, unless --host is given (then anyone who can
reach that address can read everything in the store). Needs the extra `view`. Keys: j and k select
the next and previous row, o opens it, u returns to the list, / searches.

\b
Examples:
  annoy view
  annoy view --port 0 --no-open
"""

from __future__ import annotations

import ipaddress
import os
import sys

import click

from annoy_store.errors import UsageError

from ._shared import say, store_of, warn

NEEDED = "annoy view needs three packages: pip install 'annoy-store[view]'"


@click.command(help=__doc__)
@click.option("--port", default=8765, show_default=True, help="Port; 0 selects a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--open/--no-open",
    "opens",
    default=None,
    help="Open a browser; default: on a desktop.",
)
@click.pass_context
def command(ctx: click.Context, port: int, host: str, opens: bool | None) -> None:
    try:
        from annoy_store.web import application, listen, serve
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("starlette", "uvicorn", "jinja2", "markupsafe"):
            raise
        raise UsageError(NEEDED) from None
    store = store_of(ctx)
    with listen(host, port) as listening:
        url = _url(host, listening.getsockname()[1])
        if not _is_loopback(host):
            warn(f"anyone who can reach {host} can read everything in {store}")
        click.echo(url)
        say(ctx, f"serving {store}; Ctrl-C stops")
        if opens or (opens is None and _on_desktop()):
            click.launch(url)
        serve(application(store, [host]), listening)


def _url(host: str, port: int) -> str:
    name = "127.0.0.1" if host in ("0.0.0.0", "") else "[::1]" if host == "::" else host
    return (
        f"http://[{name}]:{port}/" if ":" in name and "[" not in name else f"http://{name}:{port}/"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _on_desktop() -> bool:
    """True where a browser would have a window to open."""
    shown = sys.platform == "darwin" or any(
        os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    return sys.stdout.isatty() and shown
