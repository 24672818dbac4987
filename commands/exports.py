"""List the published exports.

Newest first. An incremental export names the export that it adds to; together they are one data
set. On a terminal the folder stands in a line of its own, and a long list in a pager.

\b
Examples:
  annoy exports
  annoy exports --json
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from ._page import page_of_lines
from ._shared import cell, json_option, on_terminal, print_json, print_table, say, store_of

if TYPE_CHECKING:
    from rich.text import Text

COLUMNS = (
    "id",
    "adds to",
    "format",
    "rows",
    "retracted",
    "split",
    "published",
    "folder",
    "digest",
)
N_SHORT = COLUMNS.index("folder")  # columns of a line on a terminal
NUMBERS = {"id", "adds to", "rows", "retracted"}
STYLES = {"id": "bold", "rows": "green", "retracted": "yellow"}


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
        page_of_lines(_lines([_row(export) for export in found]))
    else:
        print_table(COLUMNS, [_row(export) for export in found])


def _lines(rows: list[list[Any]]) -> Iterator[Text]:
    """Yield the table, with folder and digest under each row, where they are not cut."""
    from rich.text import Text

    cells = [[cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *cells, strict=True)][:N_SHORT]
    yield Text("  ".join(name.ljust(w) for name, w in zip(COLUMNS, widths, strict=False)), "dim")
    for row in cells:
        line = Text()
        for name, value, width in zip(COLUMNS, row, widths, strict=False):
            shown = value.rjust(width) if name in NUMBERS else value.ljust(width)
            line.append(f"{shown}  ", STYLES.get(name, "") if value != "0" else "")
        line.rstrip()
        yield line
        yield Text(f"  {row[COLUMNS.index('folder')]}  ").append(row[-1], "dim")


def _row(export: dict[str, Any]) -> list[Any]:
    names = (
        "id",
        "parent_id",
        "format",
        "n_rows",
        "n_retractions",
        "split",
        "published_at",
        "folder",
    )
    return [*(export[name] for name in names), export["digest"][:12]]
