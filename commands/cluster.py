"""Cluster near-duplicate code, so that near-duplicates are in one split.

Raw files are compared with raw files and functions with functions; a function is in the cluster of
the files that it was made from. Only new code is processed; `annoy export --split` does this by
itself. With --behaviour, functions are also run in the sandbox on each other's inputs: functions
with the same outputs are in one cluster, however they are written.

\b
Examples:
  annoy cluster
  annoy cluster --behaviour
  annoy sql 'SELECT * FROM v_clusters WHERE sources > 1 ORDER BY sources DESC'
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ._progress import progress
from ._shared import json_option, load_settings, print_json, print_table, store_of

if TYPE_CHECKING:
    from annoy_store.interfaces import ShowProgress


@click.command(help=__doc__)
@click.option("--behaviour", is_flag=True, help="Also compare the functions by running them.")
@json_option
@click.pass_context
def command(ctx: click.Context, behaviour: bool, as_json: bool) -> None:
    from annoy_store.dedup.clusters import cluster

    store = store_of(ctx)
    counts: dict[str, int] = {}
    with progress(ctx) as show:
        if behaviour:
            counts = _compare(ctx, store, show)
        counts = asdict(cluster(store, show, rebuild=behaviour)) | counts
    if as_json:
        print_json(counts)
    else:
        print_table(list(counts), [list(counts.values())])


def _compare(ctx: click.Context, store: Any, show: ShowProgress) -> dict[str, int]:
    from annoy_store.dedup.behaviour import find_twins
    from annoy_store.sandbox import open_sandbox

    settings = load_settings(ctx)
    sandbox = open_sandbox(
        slots=settings.slots, python=settings.python, unsafe=settings.unsafe_no_sandbox
    )
    try:
        done = find_twins(store, sandbox, show)
    finally:
        sandbox.close()
    return {"compared": done.samples, "twins": done.twins}
