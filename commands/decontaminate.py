"""Flag benchmark contamination.

Each FILE is JSON Lines, one task per line, with any columns: all texts are compared, and `input`
and `output` (or `answer`) if present. A sample or raw file is flagged for 13 consecutive words in
common, a sample also for an answer in common. Nothing is removed: `annoy export
--exclude-overlaps` leaves flagged rows out, and refuses rows that came after the last comparison
with one of these benchmarks. A benchmark is identified by its file name; run the
command again when its file has changed.

\b
Examples:
  annoy decontaminate leetcode_o.jsonl cruxeval.jsonl
  annoy sql 'SELECT benchmark, item, evidence FROM benchmark_overlaps'
  annoy export codeio out/ --exclude-overlaps
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ._progress import progress
from ._shared import json_option, print_json, print_table, store_of


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
