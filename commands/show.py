"""Show one row with its whole lineage, from origin to export.

A summary comes first: origin, outcome, cost of its calls, exports that contain it. Then come its
ancestors in full and in order, with the outcome of each stage and the differences between turns;
its descendants are a tree. ID is a number, or the beginning of a digest. A chain has the number of
its first answer; `pair` stands for io_pair. FILE:LINE is a line of an exported file. `random` picks
a row: of a kind, with a verdict or mismatch, or rejected for a reason; without FILTER, any verdict.
On a terminal the text is shown in a pager (PAGER) and in colours (unless NO_COLOR is set).

\b
Examples:
  annoy show source:1
  annoy show chain:42
  annoy show out/codeio/train.jsonl:17
  annoy show sample:9f2c41 --json
  annoy show random wrong
  annoy show random syntax_error
"""

from __future__ import annotations

from random import Random

import click

from annoy_store.analysis.lineage import lineage
from annoy_store.analysis.lineage_edges import KINDS
from annoy_store.analysis.lineage_text import as_dict, sections
from annoy_store.analysis.random_row import random_row

from ._names import row_name
from ._page import page
from ._shared import json_option, print_json, store_of


@click.command(help=__doc__, epilog=f"Kinds: {', '.join(KINDS)}.")
@click.argument("name", metavar="KIND:ID|FILE:LINE|random")
@click.argument("wanted", metavar="[FILTER]", required=False)
@click.option("--most", default=20, show_default=True, help="Descendants shown per relation.")
@json_option
@click.pass_context
def command(ctx: click.Context, name: str, wanted: str | None, most: int, as_json: bool) -> None:
    if wanted is not None and name != "random":
        raise click.UsageError(
            f"{wanted!r} can only be used with random: annoy show random {wanted}", ctx
        )
    with store_of(ctx).read() as connection:
        if name == "random":
            name = random_row(connection, wanted, Random())
        found = lineage(connection, row_name(connection, name), most)
    if as_json:
        print_json(as_dict(found))
        return
    page(sections(found))
