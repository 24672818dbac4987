"""Merge another store into this one."""

from __future__ import annotations

import click

from annoy_store.db.migrate import open_store
from annoy_store.maintenance.merge import merge
from annoy_store.stages import PIPELINE

from ._progress import progress
from ._shared import json_option, print_json, print_table, say, store_of


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

    Takedowns of either store hold afterwards; a rule that was lifted in one of them has to be
    lifted in the other one, too. What OTHER has purged is purged here.

    \b
    Examples:
      annoy merge sqlite:///colleague.db
      annoy --store postgresql://user@host/annoy merge sqlite:///laptop.db
    """
    ours, theirs = store_of(ctx), open_store(other)
    ctx.call_on_close(theirs.close)
    with progress(ctx) as show:
        done = merge(ours, theirs, PIPELINE, show)
    if as_json:
        found = {"rules": done.rules, "purged": +done.purged, "paid_twice": done.paid_twice}
        print_json({"new": +done.new, "known": +done.known, **found})
        return
    names = sorted(done.new.keys() | done.known.keys())
    print_table(("table", "new", "known"), [(n, done.new[n], done.known[n]) for n in names])
    if done.rules:
        say(ctx, f"{done.rules:,} takedown rules came with it; see: annoy takedown --list")
    if done.purged:
        say(ctx, f"purged by them here: {done.purged.total():,} rows")
    if done.paid_twice:
        say(ctx, f"{done.paid_twice:,} answers were paid for in two stores; each is kept once")
    say(ctx, "next: annoy run")
