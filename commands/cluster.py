"""Find near-duplicate code, so that splits do not leak.

Raw files are compared with raw files and functions with functions; a function belongs with the
files that it came from. Only what is new is signed; `annoy export --split` does this by itself.

\b
Examples:
  annoy cluster
  annoy sql 'SELECT * FROM v_clusters WHERE sources > 1 ORDER BY sources DESC LIMIT 10'
"""

from __future__ import annotations

from dataclasses import asdict

import click

from ._shared import json_option, print_json, print_table, progress, store_of


@click.command(help=__doc__)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    from annoy_store.clustering import cluster

    with progress(ctx) as show:
        found = cluster(store_of(ctx), show)
    if as_json:
        print_json(asdict(found))
    else:
        print_table(list(asdict(found)), [list(asdict(found).values())])
