"""Show verdicts that changed between two checker versions.

V1 and V2 are variants of `verify` (annoy sql "SELECT id, description FROM variants WHERE stage =
'verify'"); by default the active variant is compared with the newest other one. Only answers with a
verdict of both are compared: `annoy reverify` adds the verdicts of a new version.

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

from annoy_store.errors import UsageError
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
    help="Show at most this many answers.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context, before: int | None, after: int | None, limit: int, as_json: bool
) -> None:
    with store_of(ctx).read() as connection:
        compared = [
            (
                older,
                newer,
                count_compared(connection, older.id, newer.id),
                verdict_changes(connection, older.id, newer.id),
            )
            for older, newer in choose_variants(checker_variants(connection), before, after)
        ]
    if as_json:
        print_json(
            {
                "before": asdict(compared[0][0]),
                "after": asdict(compared[0][1]),
                "tasks": {
                    newer.task: {"before": asdict(older), "after": asdict(newer), "compared": both}
                    for older, newer, both, _ in compared
                },
                "compared": sum(both for _, _, both, _ in compared),
                "flips": [asdict(flip) for *_, found in compared for flip in found],
            }
        )
        return
    for older, newer, both, found in compared:
        show(ctx, older, newer, both, found, limit)


def show(
    ctx: click.Context,
    older: CheckerVariant,
    newer: CheckerVariant,
    both: int,
    found: list[VerdictChange],
    limit: int,
) -> None:
    """Print what changed between two variants, why, and some of the answers.

    Args:
        ctx: Context of the command.
        older: The earlier variant of verify.
        newer: The later variant.
        both: Number of answers that both have judged.
        found: The changed verdicts.
        limit: Answers to print at most.
    """
    say(ctx, f"{newer.task}: variant {older.id} -> {newer.id}: {_why(older, newer)}")
    if not found:
        click.echo(f"{both:,} answers judged by both, no verdict changed")
        return
    click.echo(f"{len(found):,} of {both:,} verdicts changed")
    print_table(("before", "after", "answers"), summarise_changes(found))
    if limit:
        click.echo()
        columns = ("answer", "kind", "before", "after", "feedback before", "feedback after")
        print_table(columns, [_line(change) for change in found[:limit]])
    if len(found) > limit:
        say(ctx, f"{len(found) - limit:,} more: --limit, or --json for all")
    if any(change.before == "correct" for change in found):
        say(ctx, "annoy run revises answers that are no longer correct and have turns left")


def _why(older: CheckerVariant, newer: CheckerVariant) -> str:
    changes = variant_differences(older, newer).items()
    return ", ".join(f"{key} {one} -> {two}" for key, (one, two) in changes) or "the same settings"


def _line(change: VerdictChange) -> tuple[str, ...]:
    return (
        f"response:{change.response_id}",
        change.kind,
        change.before,
        change.after,
        _brief(change.feedback_before),
        _brief(change.feedback_after),
    )


def _brief(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


def show_latest(ctx: click.Context, connection: Connection, limit: int = 10) -> None:
    """Print which verdicts the newest variant changed, if there are two to compare.

    Args:
        ctx: Context of the command.
        connection: A connection to the store.
        limit: Answers to print at most.
    """
    known = checker_variants(connection)
    try:
        pairs = choose_variants(known, None, None)
    except UsageError:
        say(ctx, "only one checker version so far: nothing to compare")
        return
    for older, newer in pairs:
        found = verdict_changes(connection, older.id, newer.id)
        show(ctx, older, newer, count_compared(connection, older.id, newer.id), found, limit)
