"""Browse the store in a web browser: search, chains side by side, figures and SQL.

Rows can be marked with a flag, tags and notes, as by annoy note; nothing else is written, and
nothing at all with --read-only. Only this machine can connect, unless --host is given: then anyone
who can reach that address can read everything in the store, and set marks with --marks. Needs the
extra `web`. Keys: j and k select the next and previous row, o opens it, u returns to the list, /
searches.

\b
Examples:
  annoy view
  annoy view --port 0 --no-open
  annoy view --read-only
"""

from __future__ import annotations

import os
import sys

import click

from ._shared import say, store_of, warn
from ._user import author_option
from ._web import is_loopback, url_of, web_needed


@click.command(help=__doc__)
@click.option("--port", default=8765, show_default=True, help="Port; 0 selects a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--open/--no-open",
    "opens",
    default=None,
    help="Open a browser; default: on a desktop.",
)
@click.option(
    "--marks/--read-only",
    "marks",
    default=None,
    help="Whether rows can be marked; default: when only this machine can connect.",
)
@author_option
@click.pass_context
def command(
    ctx: click.Context, port: int, host: str, opens: bool | None, marks: bool | None, author: str
) -> None:
    from annoy_store.db.introspect import can_insert
    from annoy_store.db.tables import annotation_log

    with web_needed("annoy view"):
        from annoy_store.db.duckdb_session import prevent_pandas_import
        from annoy_store.web import application, listen, serve
    prevent_pandas_import()
    store = store_of(ctx)
    marks = is_loopback(host) if marks is None else marks
    writer = author if marks and can_insert(store, annotation_log) else None
    with listen(host, port) as listening:
        url = url_of(host, listening.getsockname()[1])
        if not is_loopback(host):
            more = " and mark its rows" if writer is not None else ""
            warn(f"anyone who can reach {host} can read everything in {store}{more}")
        click.echo(url)
        say(ctx, f"serving {store}; Ctrl-C stops")
        if opens or (opens is None and _on_desktop()):
            click.launch(url)
        serve(application(store, [host], writer), listening)


def _on_desktop() -> bool:
    """True where a browser would have a window to open."""
    shown = sys.platform == "darwin" or any(
        os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    return sys.stdout.isatty() and shown
