"""List the published exports.

Newest first. An incremental export names the export that it adds to; together they are one data
set.

\b
Examples:
  annoy exports
  annoy exports --json
"""

from __future__ import annotations

from typing import Any

import click

from ._shared import json_option, print_json, print_table, say, store_of

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
    print_table(COLUMNS, [_row(export) for export in found])


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
