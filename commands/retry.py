"""Retry failed jobs.

Failed jobs become pending and their attempts are reset; the next run does them. Jobs that were
rejected because of their subject are retried only with `--state rejected`.

\b
Examples:
  annoy retry --dry-run
  annoy retry complete --like http_429
  annoy retry generate --state rejected --like missing_module
"""

from __future__ import annotations

import click

from annoy_store.db.states import STAGE_NAMES
from annoy_store.errors import UsageError
from annoy_store.queue.requeue import requeue

from ._shared import json_option, print_json, print_table, say, store_of


@click.command(help=__doc__)
@click.argument("stage", required=False, type=click.Choice(list(STAGE_NAMES)))
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(["failed", "rejected"]),
    default=["failed"],
    show_default=True,
    help="State of the jobs to retry; may be repeated.",
)
@click.option("--like", metavar="TEXT", help="Only jobs with TEXT in their reason or detail.")
@click.option("-n", "--limit", type=click.IntRange(1), help="At most this many jobs.")
@click.option("--dry-run", is_flag=True, help="Count only; change nothing.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    stage: str | None,
    states: tuple[str, ...],
    like: str | None,
    limit: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    if like is not None and not like:
        raise UsageError("--like needs some text")
    store = store_of(ctx)
    with store.write() as connection:
        again = requeue(connection, stage, states, like, limit, dry_run)
    if as_json:
        print_json({"dry_run": dry_run, "jobs": dict(again)})
        return
    if not again:
        click.echo("nothing to retry")
        return
    print_table(["stage", "jobs"], [(name, again[name]) for name in STAGE_NAMES if name in again])
    say(ctx, "nothing was changed" if dry_run else "next: annoy run")
