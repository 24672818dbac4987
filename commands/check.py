"""See whether the store is in order."""

from __future__ import annotations

import click

from annoy_store.maintenance.check import check, recount
from annoy_store.tasks import TASKS

from ._shared import json_option, print_json, print_table, progress, say, store_of


@click.command()
@click.option("--no-digests", is_flag=True, help="Do not read all content again.")
@click.option(
    "--recount", "counting", is_flag=True, help="Make the counters anew (nobody at work)."
)
@json_option
@click.pass_context
def command(ctx: click.Context, no_digests: bool, counting: bool, as_json: bool) -> None:
    """See whether the store is in order.

    Looks at the file, the references between tables, the ledger against the data, the counters
    against a scan, and the digests against the content. Exit code 1 when something was found; each
    finding says what helps. Nothing is changed, except by `--recount`.

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
        found = check(
            store, lambda what: show(f"looking at {what}"), tasks=TASKS, digests=not no_digests
        )
    if as_json:
        print_json({"store": str(store), "findings": [f.as_dict() for f in found]})
    elif found:
        rows = [(f.what, f.table, f.n, f.example, f.hint) for f in found]
        print_table(("finding", "table", "rows", "for example", "what helps"), rows)
    else:
        say(ctx, f"{store} is in order")
    if found:
        ctx.exit(1)
