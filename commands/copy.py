"""Copy a store to another database."""

from __future__ import annotations

import click

from annoy_store.db.migrate import open_store
from annoy_store.maintenance.copy import copy

from ._progress import progress
from ._shared import json_option, print_json, say


@click.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@json_option
@click.pass_context
def command(ctx: click.Context, source: str, target: str, as_json: bool) -> None:
    """Copy a store to another database.

    FROM and TO are store URLs, each SQLite or PostgreSQL. TO is a new file or an empty database;
    FROM is not changed. Ids are kept, and every table is compared by digest; a copy that differs is
    discarded. No worker may run on FROM meanwhile. A copy that was interrupted opens as no store:
    repeat the command, and it starts anew.

    \b
    Examples:
      annoy copy sqlite:///annoy.db postgresql://user@host/annoy
      annoy copy postgresql://user@host/annoy sqlite:///laptop.db
    """
    store = open_store(source)
    ctx.call_on_close(store.close)
    with progress(ctx) as show:
        done = copy(store, target, show)
    if as_json:
        print_json({"rows": done.rows, "digests": done.digests})
    else:
        say(
            ctx,
            f"copied {sum(done.rows.values()):,} rows of {len(done.rows)} tables, all digests equal",
        )
