"""Mark a row with a flag, tags and notes; without KIND:ID list the marked rows.

A mark has its author and time, is merged and copied with the store, and is shown by annoy show and
annoy view. Exports select by it: --where "'bad question' NOT IN tags". --remove removes the marks
that are named, or all marks of the row. FILE:LINE is a line of an exported file: the mark is one of
its chain. A row that is taken down shows no marks; a purge erases their text.

\b
Examples:
  annoy note sample:1 --flag
  annoy note chain:2 --tag 'bad question' --note 'format is unclear'
  annoy note chain:2 --remove --tag 'bad question'
  annoy note sample:1 --remove
  annoy note
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from annoy_store.errors import UsageError

from ._names import row_name
from ._shared import json_option, print_json, print_table, say, store_of
from ._user import author_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from annoy_store.records.annotations import Annotation, Mark


@click.command(help=__doc__)
@click.argument("name", metavar="[KIND:ID|FILE:LINE]", required=False)
@click.option("--flag", is_flag=True, help="Flag the row.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Add a tag; may be repeated.")
@click.option("--note", "notes", multiple=True, metavar="TEXT", help="Add a note.")
@click.option("--remove", is_flag=True, help="Remove these marks, or all marks of the row.")
@author_option
@click.option("--most", type=click.IntRange(1), default=50, show_default=True, help="Rows to list.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    name: str | None,
    flag: bool,
    tags: tuple[str, ...],
    notes: tuple[str, ...],
    remove: bool,
    author: str,
    most: int,
    as_json: bool,
) -> None:
    from annoy_store.records.annotations import Mark

    marks = (
        [Mark("flag")] * flag + [Mark("tag", t) for t in tags] + [Mark("note", n) for n in notes]
    )
    if name is None:
        if marks or remove:
            raise UsageError("name the row to mark, e.g.: annoy note sample:1 --flag")
        _list(ctx, most, as_json)
        return
    key, held, changed = _apply(ctx, name, marks, author, remove=remove)
    if as_json:
        print_json(_as_dict(key, held) | {"changed": changed})
        return
    _print_marks(held)
    n = f"{changed} mark{'' if changed == 1 else 's'} {'removed' if remove else 'set'}, "
    say(ctx, f"{key[0]}:{key[1]}: {n if marks or remove else ''}{len(held)} in all")


def _apply(
    ctx: click.Context, name: str, marks: list[Mark], author: str, *, remove: bool
) -> tuple[tuple[str, int], list[Annotation], int]:
    """Set or remove marks of a row; return the marked row, its marks and how many changed."""
    from annoy_store.analysis.row_names import resolve_row
    from annoy_store.records.annotations import marked_key, marks_of, remove_mark, set_mark

    store = store_of(ctx)
    change = remove_mark if remove else set_mark
    with store.write() if marks or remove else store.read() as connection:
        key = marked_key(connection, *resolve_row(connection, row_name(connection, name)))
        if remove and not marks:
            marks = [one.mark for one in marks_of(connection, key[0], [key[1]]).get(key[1], [])]
        changed = sum(change(connection, *key, mark, author) for mark in marks)
        return key, marks_of(connection, key[0], [key[1]]).get(key[1], []), changed


def _as_dict(key: tuple[str, int], held: Sequence[Annotation]) -> dict[str, Any]:
    from annoy_store.records.annotations import as_dict

    return {"row": f"{key[0]}:{key[1]}", **as_dict(held)}


def _print_marks(held: Sequence[Annotation]) -> None:
    if held:
        rows = [[one.mark.kind, one.mark.value, one.author, one.created_at] for one in held]
        print_table(["mark", "value", "author", "time"], rows)


def _list(ctx: click.Context, most: int, as_json: bool) -> None:
    from annoy_store.records.annotations import marked_rows

    with store_of(ctx).read() as connection:
        found = marked_rows(connection, most)
    if as_json:
        print_json([_as_dict(key, held) for key, held in found])
        return
    rows = [
        [f"{kind}:{row_id}", one.mark.kind, one.mark.value, one.author, one.created_at]
        for (kind, row_id), held in found
        for one in held
    ]
    if rows:
        print_table(["row", "mark", "value", "author", "time"], rows)
    else:
        say(ctx, "no row is marked; mark one with: annoy note sample:1 --flag")
