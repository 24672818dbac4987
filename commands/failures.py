"""Show the most frequent failures of each stage, and how to fix them.

Messages that differ only in numbers, names and paths count as one. Each row has an example to
read with `annoy show`. Counted are rejected and failed jobs, failed attempts of calls, incorrect
answers (by kind of mismatch), and unstable pairs.

\b
Examples:
  annoy failures
  annoy failures --stage generate --limit 30
  annoy failures --json | jq '.[] | select(.n > 100)'
"""

from __future__ import annotations

from dataclasses import asdict

import click

from annoy_store.analysis.failures import Failure, failures, largest_per_stage
from annoy_store.analysis.snapshot.query import open_runner
from annoy_store.db.states import STAGE_NAMES

from ._shared import json_option, print_json, print_table, say, store_of


@click.command(help=__doc__)
@click.option("--stage", type=click.Choice(STAGE_NAMES), help="Only this stage.")
@click.option(
    "-n", "--limit", type=click.IntRange(1), default=8, show_default=True, help="Rows per stage."
)
@click.option("--live", is_flag=True, help="Query the store itself, not its snapshot.")
@json_option
@click.pass_context
def command(ctx: click.Context, stage: str | None, limit: int, live: bool, as_json: bool) -> None:
    with open_runner(store_of(ctx), live=live) as ask:
        found = failures(ask, stage)
    shown = largest_per_stage(found, limit)
    if as_json:
        print_json([asdict(failure) for failure in shown])
        return
    if not found:
        click.echo("no failures")
        return
    columns = ("stage", "what", "reason", "message", "n", "example")
    print_table(columns, [(f.stage, f.what, f.reason, f.signature, f.n, f.example) for f in shown])
    _advise(ctx, shown, len(found) - len(shown))


def _advise(ctx: click.Context, shown: list[Failure], more: int) -> None:
    """Print what to do, each advice once, most frequent failures first."""
    click.echo("\nwhat to do:")
    printed: set[str] = set()
    for failure in sorted(shown, key=lambda f: -f.n):
        if failure.hint and failure.hint not in printed:
            printed.add(failure.hint)
            click.echo(f"  {failure.stage} {failure.reason}: {failure.hint}")
    if more > 0:
        say(ctx, f"{more} more kinds of failures: --limit")
    if shown:
        say(ctx, f"read an example: annoy show {shown[0].example}")
