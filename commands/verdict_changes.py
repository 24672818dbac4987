"""List the answers that two versions of the judging tell differently.

V1 and V2 are variants of `verify` (annoy sql "SELECT id, description FROM variants WHERE stage =
'verify'"); without them the active one is compared with the newest other. Only answers that both
have judged are compared: annoy reverify makes the verdicts of a new version.

\b
Examples:
  annoy verdict-changes
  annoy verdict-changes 8 31 --limit 5
  annoy verdict-changes --json | jq '.flips[] | select(.before == "correct")'
"""

from __future__ import annotations

from dataclasses import asdict

import click
from sqlalchemy import Connection

from annoy_store.maintenance.rerun import (
    CheckerVariant,
    VerdictChange,
    checker_variants,
    choose_variants,
    count_compared,
    summarise_changes,
    variant_differences,
    verdict_changes,
)

from ._shared import json_option, print_json, print_table, say, store_of


@click.command(help=__doc__)
@click.argument("before", type=int, required=False, metavar="[V1]")
@click.argument("after", type=int, required=False, metavar="[V2]")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="Show at most so many.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context, before: int | None, after: int | None, limit: int, as_json: bool
) -> None:
    with store_of(ctx).read() as connection:
        older, newer = choose_variants(checker_variants(connection), before, after)
        found = verdict_changes(connection, older.id, newer.id)
        both = count_compared(connection, older.id, newer.id)
    if as_json:
        print_json(
            {
                "before": asdict(older),
                "after": asdict(newer),
                "compared": both,
                "flips": [asdict(flip) for flip in found],
            }
        )
        return
    show(ctx, older, newer, both, found, limit)


def show(
    ctx: click.Context,
    older: CheckerVariant,
    newer: CheckerVariant,
    both: int,
    found: list[VerdictChange],
    limit: int,
) -> None:
    """Print what changed between two variants, why, and some of the answers."""
    say(ctx, f"variant {older.id} -> {newer.id}: {_why(older, newer)}")
    if not found:
        click.echo(f"{both:,} answers judged by both, and none differently")
        return
    click.echo(f"{len(found):,} of {both:,} answers judged by both differ")
    print_table(("before", "after", "answers"), summarise_changes(found))
    if limit:
        click.echo()
        columns = ("answer", "kind", "before", "after", "said before", "says now")
        print_table(columns, [_line(flip) for flip in found[:limit]])
    if len(found) > limit:
        say(ctx, f"{len(found) - limit:,} more: --limit, or --json for all")
    if any(flip.before == "correct" for flip in found):
        say(ctx, "answers that are no longer correct and have turns left are revised by annoy run")


def _why(older: CheckerVariant, newer: CheckerVariant) -> str:
    changes = variant_differences(older, newer).items()
    return ", ".join(f"{key} {one} -> {two}" for key, (one, two) in changes) or "the same settings"


def _line(flip: VerdictChange) -> tuple[str, ...]:
    return (
        f"response:{flip.response_id}",
        flip.kind,
        flip.before,
        flip.after,
        _brief(flip.feedback_before),
        _brief(flip.feedback_after),
    )


def _brief(words: str) -> str:
    return words if len(words) <= 60 else words[:59] + "…"


def show_latest(ctx: click.Context, connection: Connection, limit: int = 10) -> None:
    """Print what the newest judging changed, if there are two to compare."""
    known = checker_variants(connection)
    if len(known) < 2:
        say(ctx, "only one version has judged so far, so nothing can differ")
        return
    older, newer = choose_variants(known, None, None)
    found = verdict_changes(connection, older.id, newer.id)
    show(ctx, older, newer, count_compared(connection, older.id, newer.id), found, limit)
