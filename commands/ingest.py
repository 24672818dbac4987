"""Take raw code into the store: JSONL, JSON, CSV, Parquet, folders.

Files may be packed with gz, zst, bz2 or xz; `-` reads JSON lines from stdin; any other file
is one source by itself. What is in the store already is left alone, so ingesting twice adds
nothing. A SQLite store that is not there yet is made. Fields named licence or license, repo,
path and language are understood; other short fields are kept as metadata.

A row that breaks a rule is refused and counted: the exit code stays 0 as long as something
was taken. It is 1 when nothing could be, or when a file could not be read to its end (what
was read is kept).

With --as samples, functions with two literal examples or more (doctest, assert, unittest) are
taken as they are: the examples become pairs and leave the code, which is not run here.

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
from annoy_store.ingest.takedowns import refresh_hidden

from ._shared import json_option, print_json, progress, say, store_of, warn


@click.command(help=__doc__)
@click.argument("paths", nargs=-1, required=True, metavar="PATH..", type=click.Path(path_type=Path))
@click.option("--column", default="content", show_default=True, help="Field that holds the code.")
@click.option("--origin", help="Name of where it comes from; default: the file's or folder's name.")
@click.option("--licence", default="", help="Licence of rows that name none themselves.")
@click.option("--glob", "globs", multiple=True, help="Files of a folder to take (default: *.py).")
@click.option("--language", help="Language of all rows; default: their own, else by file name.")
@click.option("-n", "--limit", type=click.IntRange(1), help="Stop after so many rows.")
@click.option(
    "--as",
    "kind",
    type=click.Choice(["sources", "samples"]),
    default="sources",
    help="What they are: code to transform, or functions with tests (no model needed).",
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
    wish = IngestOptions(column, origin, licence, language, globs, limit)
    with progress(ctx) as show:
        if kind == "samples":
            tally = ingest_samples(store, paths, wish)
        else:
            tally = ingest(store, paths, wish, lambda tally: show(_sentence(tally)))
            link_ingested_sources(store)
    with store.write() as connection:
        refresh_hidden(connection)
    report = print_tally if as_json else _teller(ctx)
    report(tally)
    for error in tally.errors:
        warn(error)
    if tally.errors or not tally.accepted:
        ctx.exit(1)


def print_tally(tally: IngestReport) -> None:
    """Print the counts as one JSON object."""
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


def _teller(ctx: click.Context) -> Callable[[IngestReport], None]:
    def tell(tally: IngestReport) -> None:
        click.echo(_sentence(tally))
        for reason, n in tally.refused.most_common():
            warn(f"refused {n:,} as {reason}, e.g. {tally.examples[reason][0]}")
        if not tally.accepted and not tally.errors:
            warn("nothing was taken in")
        elif tally.new:
            say(ctx, "next: annoy run --teacher tracer   (or with a model: annoy run -m MODEL)")

    return tell


def _sentence(tally: IngestReport) -> str:
    refused = sum(tally.refused.values())
    return f"{tally.new:,} new, {tally.known:,} known, {refused:,} refused"
