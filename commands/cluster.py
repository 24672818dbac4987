"""Find near-duplicate code, so that splits do not leak.

Raw files are compared with raw files and functions with functions; a function belongs with the
files that it came from. Only what is new is signed; `annoy export --split` does this by itself.
With --behaviour functions are also run, in the sandbox, on each other's inputs: those that agree
belong together however they are written.

\b
Examples:
  annoy cluster
  annoy cluster --behaviour
  annoy sql 'SELECT * FROM v_clusters WHERE sources > 1 ORDER BY sources DESC LIMIT 10'
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from ._shared import json_option, load_settings, print_json, print_table, progress, store_of


@click.command(help=__doc__)
@click.option("--behaviour", is_flag=True, help="Also run the functions and compare.")
@json_option
@click.pass_context
def command(ctx: click.Context, behaviour: bool, as_json: bool) -> None:
    from annoy_store.dedup.clusters import cluster

    store = store_of(ctx)
    told: dict[str, int] = {}
    with progress(ctx) as show:
        if behaviour:
            told = _compare(ctx, store, show)
        told = asdict(cluster(store, show, rebuild=behaviour)) | told
    if as_json:
        print_json(told)
    else:
        print_table(list(told), [list(told.values())])


def _compare(ctx: click.Context, store: Any, show: Callable[[str], None]) -> dict[str, int]:
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
