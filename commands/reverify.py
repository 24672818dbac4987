"""Verify old answers again with the current checker and policy, without calling a model.

A new checker, tolerance or limit applies to new answers only. This command enqueues old answers
again: new verdicts are kept beside the old ones, and those of the newest version count. `annoy run
verify` judges them, or --run does so at once and shows which verdicts changed.

--where is SQL over v_answers (kind, number, status, mismatch, teacher_id, ..).

\b
Examples:
  annoy policy tolerance=0.01 && annoy reverify --run
  annoy reverify --where "mismatch = 'rounding'" --run
  annoy reverify --stale --run
  annoy reverify --dry-run
"""

from __future__ import annotations

import click

from annoy_store.maintenance.rerun import (
    count_rerun,
    count_stale_answers,
    enqueue_rerun,
    enqueue_stale_answers,
    select_subjects,
)

from ._settings import SANDBOX, settings_options
from ._shared import json_option, load_settings, print_json, say, store_of
from .verdict_changes import show_latest

STAGE = "verify"


@click.command(help=__doc__)
@click.option("--where", metavar="SQL", help="Only answers for which this condition is true.")
@click.option("--stale", is_flag=True, help="Only answers judged from a pair that no longer holds.")
@click.option("-n", "--limit", type=click.IntRange(1), help="At most this many, oldest first.")
@click.option("--run", "now", is_flag=True, help="Judge them at once.")
@click.option("--dry-run", is_flag=True, help="Count only; change nothing.")
@settings_options(SANDBOX.only("slots", "python"))
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    where: str | None,
    stale: bool,
    limit: int | None,
    now: bool,
    dry_run: bool,
    slots: int | None,
    python: str | None,
    as_json: bool,
) -> None:
    settings, store = load_settings(ctx, slots=slots, python=python), store_of(ctx)
    if stale and (where or limit):
        raise click.UsageError("--stale selects the answers itself: leave out --where and --limit")
    chosen = select_subjects(store, STAGE, where)
    if stale:
        enqueued = count_stale_answers(store) if dry_run else enqueue_stale_answers(store)
    elif dry_run:
        n = count_rerun(store, STAGE, chosen)
        enqueued = n if limit is None else min(n, limit)
    else:
        enqueued = enqueue_rerun(store, STAGE, chosen, limit)
    if now and not dry_run:
        from annoy_store.worker.run import run

        run(store, settings, [STAGE])
    if as_json:
        print_json({"jobs": enqueued, "dry_run": dry_run, "judged": now and not dry_run})
        return
    click.echo(f"{enqueued:,} answers {'would be' if dry_run else 'are'} judged again")
    if now and not dry_run:
        with store.read() as connection:
            show_latest(ctx, connection)
    elif not enqueued:
        say(ctx, "the current version has judged all of them")
    else:
        say(
            ctx,
            "nothing was changed"
            if dry_run
            else "next: annoy run verify, then annoy verdict-changes",
        )
