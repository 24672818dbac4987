"""Ingest raw code: JSONL, JSON, CSV, Parquet, folders.

Files may be compressed with gz, zst, bz2 or xz; `-` reads JSON Lines from stdin. Arrow, Feather and
`save_to_disk` folders are data too; tar and zip archives are read like folders, notebooks by their
code cells; any other text file is one source by itself. Sources that the store already has are skipped, so ingesting twice adds
nothing. A missing SQLite store is created. Fields named licence or license, repo, path and language
are recognised; other short fields are kept as metadata.

A row that violates a rule is refused and counted: the exit code is 0 as long as some row was
accepted. It is 1 if none was, or if a file could not be read completely (what was read is kept).

With --as samples, functions with at least two literal examples (doctest, assert, unittest) become
samples directly: the examples become pairs and are removed from the code, which is not run here.

\b
Examples:
  annoy ingest rawcode.jsonl
  annoy ingest the-stack/*.parquet --column text --licence MIT
  annoy ingest ~/src/project --glob '*.py' --glob '*.pyx'
  annoy ingest ~/src/exercises --as samples
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from annoy_store.ingest.codeio.link_references import link_ingested_sources
from annoy_store.ingest.doctest.importer import ingest_samples
from annoy_store.ingest.sources import IngestOptions, IngestReport, ingest

from ._options import GroupedCommand, option_group
from ._progress import progress
from ._shared import json_option, print_json, say, store_of, warn

reads = option_group("Input")
about = option_group("Origin")
scope = option_group("Scope")


@click.command(help=__doc__, cls=GroupedCommand)
@click.argument("paths", nargs=-1, required=True, metavar="PATH..", type=click.Path(path_type=Path))
@reads("--column", default="content", show_default=True, help="Field that holds the code.")
@about("--origin", help="Name of the origin; default: the name of the file or folder.")
@about("--licence", default="", help="Licence of rows that have no licence field.")
@reads("--glob", "globs", multiple=True, help="Files of a folder to ingest; default: *.py.")
@reads("--language", help="Language of all rows; default: their field, else by file name.")
@scope("-n", "--limit", type=click.IntRange(1), help="Stop after this many rows.")
@reads(
    "--as",
    "kind",
    type=click.Choice(["sources", "samples"]),
    default="sources",
    help="Ingest code to transform, or functions with tests as samples (no model needed).",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    paths: tuple[Path, ...],
    column: str,
    origin: str | None,
    licence: str,
    globs: tuple[str, ...],
    language: str | None,
    limit: int | None,
    kind: str,
    as_json: bool,
) -> None:
    store = store_of(ctx, create=True)
    options = IngestOptions(column, origin, licence, language, globs, limit)
    with progress(ctx) as show:
        if kind == "samples":
            tally = ingest_samples(store, paths, options, show)
        else:
            tally = ingest(store, paths, options, show)
            link_ingested_sources(store)
    report = print_tally if as_json else _printer(ctx)
    report(tally)
    for error in tally.errors:
        warn(error)
    if tally.errors or not tally.accepted:
        ctx.exit(1)


def print_tally(tally: IngestReport) -> None:
    """Print the counts of an ingest as one JSON object."""
    print_json(
        {
            "new": tally.new,
            "known": tally.known,
            "new_origins": tally.new_origins,
            "refused": dict(tally.refused),
            "examples": tally.examples,
            "errors": tally.errors,
        }
    )


def _printer(ctx: click.Context) -> Callable[[IngestReport], None]:
    def show(tally: IngestReport) -> None:
        click.echo(str(tally))
        for reason, n in tally.refused.most_common():
            warn(f"refused {n:,} as {reason}, e.g. {tally.examples[reason][0]}")
        if not tally.accepted and not tally.errors:
            warn("nothing was ingested")
        elif tally.new:
            say(ctx, "next: annoy run --teacher tracer   (or with a model: annoy run -m MODEL)")

    return show
