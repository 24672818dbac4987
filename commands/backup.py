"""Copy the store to a file while workers go on."""

from __future__ import annotations

from pathlib import Path

import click

from annoy_store.maintenance.backup import backup

from ._shared import json_option, print_json, say, store_of


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Write over a file that is there.")
@json_option
@click.pass_context
def command(ctx: click.Context, file: Path, replace: bool, as_json: bool) -> None:
    """Copy the store to a file while workers go on.

    FILE is a store of its own, as of the moment the command began; it gets its name when it is
    whole. Never copy a store with `cp` while workers run. PostgreSQL has `pg_dump` for this; the
    command says how.

    \b
    Examples:
      annoy backup monday.db
      annoy --store sqlite:///monday.db status
    """
    size = backup(store_of(ctx), file, replace=replace)
    if as_json:
        print_json({"file": str(file), "bytes": size})
    else:
        say(ctx, f"{file} has {size:,} bytes")
