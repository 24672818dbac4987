"""Merge another store into this one."""

from __future__ import annotations

import click

from annoy_store.db.migrate import open_store
from annoy_store.maintenance.merge import merge
from annoy_store.stages import PIPELINE

from ._shared import json_option, print_json, print_table, progress, say, store_of


@click.command()
@click.argument("other", metavar="OTHER")
@json_option
@click.pass_context
def command(ctx: click.Context, other: str, as_json: bool) -> None:
    """Merge another store into this one.

    OTHER is a store URL. Rows are matched by content: existing rows are kept, and references to
    them are mapped, so lineage is preserved and merging again adds nothing. A second answer to the
    same question is kept as another sample. Jobs that ended in OTHER are not repeated here.
    Policies, splits and exports stay those of this store, and OTHER is not changed.

    \b
    Examples:
      annoy merge sqlite:///colleague.db
      annoy --store postgresql://user@host/annoy merge sqlite:///laptop.db
    """
    ours, theirs = store_of(ctx), open_store(other)
    ctx.call_on_close(theirs.close)
    with progress(ctx) as show:
        done = merge(ours, theirs, PIPELINE, lambda table, n: show(f"{table}: {n:,} new"))
    if as_json:
        print_json({"new": +done.new, "known": +done.known})
        return
    names = sorted(done.new.keys() | done.known.keys())
    print_table(("table", "new", "known"), [(n, done.new[n], done.known[n]) for n in names])
    say(ctx, "next: annoy run")
