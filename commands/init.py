"""Create the store, or upgrade its schema.

Repeating the command changes nothing. Back up a store before its schema is upgraded: for SQLite,
copy the file while nothing runs. (`ingest` and `demo` create a new SQLite store by themselves.)

\b
Examples:
  annoy init
  annoy --store postgresql://user@host/annoy init
"""

from __future__ import annotations

import click

from annoy_store.db import engine, migrate

from ._shared import json_option, load_settings, print_json


@click.command(help=__doc__)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    store = engine.connect(load_settings(ctx).store)
    ctx.call_on_close(store.close)
    newest = migrate.newest_revision()
    before = _revision(store)
    if before is None or before < newest:
        migrate.upgrade(store)
    migrate.open_store(store.url.render_as_string(hide_password=False)).close()
    if as_json:
        print_json({"store": str(store), "before": before, "schema": newest})
    else:
        click.echo(_summary(str(store), before, newest))


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
