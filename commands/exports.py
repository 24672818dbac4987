"""List the published exports.

Newest first. An incremental export names the export that it adds to; together they are one data
set. On a terminal the folder stands in a line of its own, and a long list in a pager.

\b
Examples:
  annoy exports
  annoy exports --json
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from ._page import page_of_lines
from ._screen import Toned, counted, table, toned
from ._shared import json_option, print_json, print_table, say, store_of
from ._text import on_terminal, safe

COLUMNS = {
    "id": "id",
    "adds to": "parent_id",
    "format": "format",
    "rows": "n_rows",
    "retracted": "n_retractions",
    "split": "split",
    "published": "published_at",
    "folder": "folder",
}
SHORT = ("id", "adds to", "format", "rows", "retracted", "published")


@click.command(help=__doc__)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    from annoy_store.export.export_log import published_exports

    with store_of(ctx).read() as connection:
        found = published_exports(connection)
    if as_json:
        print_json(found)
        return
    if not found:
        say(ctx, "no exports yet: annoy export codeio out/")
        return
    if on_terminal():
        page_of_lines(_lines(found))
        return
    rows = [[*(e[name] for name in COLUMNS.values()), e["digest"][:12]] for e in found]
    print_table((*COLUMNS, "digest"), rows)


def _lines(found: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the table with the folder of each export below its row, where it is not cut."""
    head, *rows = table(SHORT, map(_short_row, found))
    yield head
    for row, export in zip(rows, found, strict=True):
        yield row
        yield f"  {safe(export['folder'], one_line=True)}"
        split = f"split {export['split']}, " if export["split"] else ""
        yield toned(f"  {safe(split, one_line=True)}digest {export['digest'][:12]}", "muted")


def _short_row(export: Mapping[str, Any]) -> list[Any]:
    toned_cells = {
        "id": Toned(export["id"], "strong"),
        "rows": counted(export["n_rows"], "good"),
        "retracted": counted(export["n_retractions"], "warning"),
    }
    return [toned_cells.get(name, export[COLUMNS[name]]) for name in SHORT]
