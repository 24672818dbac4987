"""Check the integrity of the store."""

from __future__ import annotations

import click

from annoy_store.maintenance.check import check, recount
from annoy_store.tasks import TASKS

from ._progress import progress
from ._shared import json_option, print_json, print_table, say, store_of


@click.command()
@click.option(
    "--no-digests", is_flag=True, help="Skip the digests, which need all content to be read."
)
@click.option(
    "--recount", "counting", is_flag=True, help="Rebuild the counters first (no worker may run)."
)
@json_option
@click.pass_context
def command(ctx: click.Context, no_digests: bool, counting: bool, as_json: bool) -> None:
    """Check the integrity of the store.

    Checks the file, the references between tables, the jobs against the data, the counters
    against the jobs, and the digests against the content. The exit code is 1 if there are findings;
    each says what to do. Nothing is changed, except by `--recount`.

    \b
    Examples:
      annoy check
      annoy check --json
    """
    store = store_of(ctx)
    if counting:
        with store.write() as connection:
            recount(connection)
    with progress(ctx) as show:
        found = check(store, show, tasks=TASKS, digests=not no_digests)
    if as_json:
        print_json({"store": str(store), "findings": [f.as_dict() for f in found]})
    elif found:
        rows = [(f.what, f.table, f.n, f.example, f.hint) for f in found]
        print_table(("finding", "table", "rows", "for example", "what to do"), rows)
    else:
        say(ctx, f"{store}: no findings")
    if found:
        ctx.exit(1)
