"""Copy the store to a file while workers keep running."""

from __future__ import annotations

from pathlib import Path

import click

from annoy_store.maintenance.backup import backup

from ._progress import progress
from ._shared import json_option, print_json, say, store_of


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Overwrite an existing file.")
@json_option
@click.pass_context
def command(ctx: click.Context, file: Path, replace: bool, as_json: bool) -> None:
    """Copy the store to a file while workers keep running.

    FILE is a complete store as of the start of the command; it gets its name once it is complete.
    Never copy a store with `cp` while workers run. For PostgreSQL use `pg_dump`; the command says
    how.

    \b
    Examples:
      annoy backup monday.db
      annoy --store sqlite:///monday.db status
    """
    store = store_of(ctx)
    with progress(ctx) as show:
        size = backup(store, file, show, replace=replace)
    if as_json:
        print_json({"file": str(file), "bytes": size})
    else:
        say(ctx, f"{file} has {size:,} bytes")
