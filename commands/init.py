"""Create the store, or upgrade its schema.

Pairs of an older store are then compared with their questions, so that none is asked about whose
answer stands there; repeat the command if that was interrupted. It also repairs what `annoy check`
finds of takedowns; else repeating it changes nothing. Back up a store before its schema is
upgraded: for SQLite, copy the file while nothing runs. (`ingest` and `demo` create a new SQLite
store by themselves.)

\b
Examples:
  annoy init
  annoy --store postgresql://user@host/annoy init
"""

from __future__ import annotations

import click

from annoy_store.db import engine, migrate

from ._progress import progress
from ._shared import json_option, load_settings, print_json


@click.command(help=__doc__)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    from annoy_store.maintenance.fill_shown import fill_shown

    store = engine.connect(load_settings(ctx).store)
    ctx.call_on_close(store.close)
    newest = migrate.newest_revision()
    before = _revision(store)
    if before is None or before < newest:
        migrate.upgrade(store)
    migrate.open_store(store.url.render_as_string(hide_password=False)).close()
    if before is not None:
        _complete(store)
    with progress(ctx) as show:
        compared = fill_shown(store, lambda n: show(f"{n:,} pairs compared with their questions"))
    if as_json:
        found = {"store": str(store), "before": before, "schema": newest, "compared": compared}
        print_json(found)
    else:
        click.echo(_summary(str(store), before, newest))
        if compared:
            click.echo(f"compared {compared:,} pairs with their questions")


def _complete(store: engine.Database) -> None:
    """Compute what a store of an older schema lacks: digests, and what takedown rules hide."""
    from annoy_store.db.hidden import refresh_hidden
    from annoy_store.maintenance.digests import fill_missing_digests
    from annoy_store.maintenance.purge import blank_purged

    fill_missing_digests(store)
    with store.write() as connection:
        blank_purged(connection)
        refresh_hidden(connection)


def _revision(store: engine.Database) -> str | None:
    """Return the current schema revision; must not create a file."""
    if store.path is not None and not store.path.exists():
        return None
    return migrate.revision(store)


def _summary(store: str, before: str | None, newest: str) -> str:
    if before is None:
        return f"created {store} with schema {newest}"
    if before < newest:
        return f"upgraded {store} from schema {before} to {newest}"
    return f"{store} already has schema {newest}"
