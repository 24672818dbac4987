"""Mark what the store shares with benchmarks.

Each FILE is JSON Lines, one task per line, with whatever columns it has: all its texts count, and
`input` and `output` (or `answer`) if they are there. A common run of 13 words marks a sample or a
raw file, a common answer a sample. Nothing is removed: `annoy export --exclude-overlaps` leaves
the marked ones out. A file is known by its name; bring it again after it has changed.

\b
Examples:
  annoy decontaminate leetcode_o.jsonl cruxeval.jsonl
  annoy sql 'SELECT benchmark, item, evidence FROM benchmark_overlaps LIMIT 10'
  annoy export codeio out/ --exclude-overlaps
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ._shared import json_option, print_json, print_table, progress, store_of


@click.command(help=__doc__)
@click.argument("files", metavar="FILE..", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
@click.pass_context
def command(ctx: click.Context, files: tuple[Path, ...], as_json: bool) -> None:
    from annoy_store.dedup.decontaminate import decontaminate

    with progress(ctx) as show:
        found = decontaminate(store_of(ctx), files, show)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    columns = ["benchmark", "items", "without text", "common runs", "common answers", "samples"]
    rows = [
        [
            one.benchmark,
            one.items,
            one.skipped,
            one.overlaps.get("13gram", 0),
            one.overlaps.get("answer", 0),
            one.samples,
        ]
        for one in found
    ]
    print_table(columns, rows)
