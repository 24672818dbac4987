"""Take over what another store has."""

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
    """Take over what another store has.

    OTHER is a store URL. Rows are the same by content: what is here already stays, what refers to
    it is moved to ours, so lineage holds and merging again adds nothing. A second answer to the
    same question is kept as another sample. Jobs that ended there are not done again here.
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
    say(ctx, "plan what follows from it with: annoy run")
