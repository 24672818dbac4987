"""Show the most frequent failures of each stage, and how to fix them.

Messages that differ only in numbers, names and paths count as one. Each row has an example to
read with `annoy show`. Counted are rejected and failed jobs, failed attempts of calls, incorrect
answers (by kind of mismatch), and unstable pairs.

\b
Examples:
  annoy failures
  annoy failures --stage generate --limit 30
  annoy failures --watch
  annoy failures --json | jq '.[] | select(.n > 100)'
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby

import click

from annoy_store.analysis.failures import Failure, failures, largest_per_stage
from annoy_store.analysis.snapshot.query import open_runner
from annoy_store.db.duckdb_session import prevent_pandas_import
from annoy_store.db.states import STAGE_NAMES

from ._screen import cell, show, text, toned, watch, width
from ._shared import json_option, json_text, store_of
from ._text import on_terminal

TONES = {"failed": "bad", "try": "bad"}  # others: the fault of the row
MIN_MESSAGE_WIDTH = 30  # with less room, a message stands under its row


@click.command(help=__doc__)
@click.option("--stage", type=click.Choice(STAGE_NAMES), help="Only this stage.")
@click.option(
    "-n", "--limit", type=click.IntRange(1), default=8, show_default=True, help="Rows per stage."
)
@click.option("--live", is_flag=True, help="Query the store itself, not its snapshot.")
@click.option("--watch", "watching", is_flag=True, help="Refresh until Ctrl-C.")
@click.option("--every", default=10.0, show_default=True, help="Seconds between refreshes.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    stage: str | None,
    limit: int,
    live: bool,
    watching: bool,
    every: float,
    as_json: bool,
) -> None:
    prevent_pandas_import()
    store = store_of(ctx)

    def draw() -> Iterator[str]:
        with open_runner(store, live=live) as ask:
            found = failures(ask, stage)
        shown = largest_per_stage(found, limit)
        if as_json:
            yield json_text([asdict(failure) for failure in shown], indent=on_terminal())
        elif shown:
            yield from _lines(shown)
            yield from _more(shown, len(found) - len(shown))
        else:
            yield "no failures"

    if watching:
        watch(draw, every, in_place=on_terminal() and not as_json)
    show(draw())


def _more(shown: Sequence[Failure], n_more: int) -> Iterator[str]:
    if n_more:
        yield from text(f"{n_more:,} more kinds of failures: `annoy failures --limit 1000`")
    yield from text(f"read an example: `annoy show {shown[0].example}`")


def _lines(shown: Sequence[Failure]) -> Iterator[str]:
    """Yield failures by stage, those with the same advice together, with the advice under them."""
    rows = {f: [f"{f.n:,}", *map(cell, (f.what, f.reason, f.example))] for f in shown}
    widths = [max(len(row[i]) for row in rows.values()) for i in range(4)]
    for stage, of_stage in groupby(shown, key=lambda f: f.stage):
        yield toned(stage, "strong")
        by_advice: dict[str, list[Failure]] = {}
        for failure in of_stage:
            by_advice.setdefault(failure.hint, []).append(failure)
        for advice, alike in by_advice.items():
            for failure in alike:
                yield from _row(failure, rows[failure], widths)
            if advice:
                yield from text(advice, indent=widths[0] + 7, first=f"{'':{widths[0] + 4}}->")
        yield ""


def _row(failure: Failure, parts: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    n, *words = (
        part.rjust(size) if i == 0 else part.ljust(size)
        for i, (part, size) in enumerate(zip(parts, widths, strict=True))
    )
    tone = "muted" if _is_over(failure) else TONES.get(failure.what, "warning")
    row = f"  {n}  {toned('  '.join(words), tone)}"
    indent = sum(widths) + 2 * len(widths)
    if not failure.signature:
        yield row.rstrip()
    elif not on_terminal() or width() - indent >= MIN_MESSAGE_WIDTH:
        lines = text(_message(failure), indent=indent + 2, tone="muted")
        yield f"{row}  {next(lines).lstrip()}"
        yield from lines
    else:
        yield row.rstrip()
        yield from text(_message(failure), indent=widths[0] + 4, tone="muted")


def _message(failure: Failure) -> str:
    return failure.signature.replace("`", "'")


def _is_over(failure: Failure) -> bool:
    """Whether a failure needs nothing, because a later attempt was answered."""
    return failure.hint.endswith("nothing to do")
