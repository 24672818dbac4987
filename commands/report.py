"""Write a report: all figures on one HTML page, or as images.

Jobs by stage, rejection reasons, tasks, models side by side, what became of answers from turn to
turn, error types, difficulty, cost and yield over time, licences, prompts, near-duplicates, slow
samples and missing modules. Each figure has its data, the SQL of it and examples. FILE.html is
self-contained: it loads nothing, fits a phone, and is light or dark as the browser is. The data
comes from the columnar snapshot, which is refreshed first; --live queries the store itself, which
takes longer.

\b
Examples:
  annoy report report.html
  annoy report --png figures/ --theme dark
  annoy report report.html --png figures/ --live
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from annoy_store.db.duckdb_session import prevent_pandas_import
from annoy_store.errors import UsageError
from annoy_store.report import collect, report, write_png_files

from ._progress import progress
from ._shared import json_option, print_json, say, store_of


@click.command(help=__doc__)
@click.argument(
    "file", metavar="[FILE.html]", required=False, type=click.Path(path_type=Path, dir_okay=False)
)
@click.option(
    "--png",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write every figure into DIR as a picture (needs the extra `report`).",
)
@click.option(
    "--theme",
    type=click.Choice(["light", "dark"]),
    default="light",
    show_default=True,
    help="Colours of the pictures; the page follows the browser.",
)
@click.option("--live", is_flag=True, help="Query the store itself, not its snapshot.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    file: Path | None,
    folder: Path | None,
    theme: str,
    live: bool,
    as_json: bool,
) -> None:
    if file is None and folder is None:
        raise click.UsageError("name the output: annoy report FILE.html, or --png DIR", ctx)
    prevent_pandas_import()
    store = store_of(ctx)
    with progress(ctx) as show:
        gathered = collect(store, _now(), live=live, on_figure=lambda key: show(f"drawing {key}"))
        pictures = write_png_files(folder, gathered.figures, theme) if folder else []
        if file:
            _write(file, report(store, gathered))
    if as_json:
        figures = {
            d.key: [dict(zip(d.columns, map(_plain, r), strict=True)) for r in d.rows]
            for d in gathered.figures
        }
        written = [str(f) for f in ([file] if file else []) + pictures]
        print_json(
            {
                "store": gathered.store,
                "at": gathered.created_at,
                "figures": figures,
                "sql": {d.key: d.sql for d in gathered.figures},
                "files": written,
            }
        )
        return
    if file:
        click.echo(file)
    for picture in pictures:
        click.echo(picture)
    say(
        ctx,
        f"{sum(bool(d.svg) for d in gathered.figures)} of {len(gathered.figures)} figures have data",
    )


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _plain(cell: object) -> object:
    return cell if isinstance(cell, int | float | None) else str(cell)


def _write(file: Path, text: str) -> None:
    """Write a file completely or not at all."""
    part = file.with_name(f".{file.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(f"cannot write {file}: {error.strerror}") from error
