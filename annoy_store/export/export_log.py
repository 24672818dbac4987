"""The ledger of exports: what was published, in which line of increments, and what was taken back.

Decisions
- An export adds to its parent; the line of parents is one growing data set. A row of the line is
  published unless a later export of the line took it back.
- The digest of an export covers its format, its files and its parent: publishing the same bytes
  again is the same export, and enters nothing.
- Rows go in by pieces while `published_at` is still null, so that no writer waits long; the last
  step, together with the rename of the folder, sets it. A row of an export that was never
  published counts for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Select, delete, func, insert, not_, select, update

from annoy_store.db.engine import Database
from annoy_store.db.sql import in_values, insert_new
from annoy_store.db.tables import export_rows, exports, retractions
from annoy_store.db.timestamps import utc_now
from annoy_store.errors import UsageError

ROWS_AT_ONCE = 50_000
LoggedRow = tuple[int | None, int | None, str | None, str]  # chain, sample, split, state


@dataclass(frozen=True)
class ExportRow:
    """An export as it goes into the ledger, its rows apart."""

    digest: str
    parent_id: int | None
    format: str
    split: str | None
    filter: str
    n_rows: int
    n_retractions: int
    folder: str
    files: str
    seen: str

    def values(self) -> dict[str, Any]:
        names = self.__dataclass_fields__
        return {n: getattr(self, n) for n in names} | {"created_at": utc_now()}


def find_export(connection: Connection, word: str, form: str) -> int:
    """Return the id of the export that `word` means: `last` (of the format), an id or a digest.

    Raises UsageError when there is none.
    """
    published = select(exports.c.id, exports.c.format).where(exports.c.published_at.is_not(None))
    if word == "last":
        published = published.where(exports.c.format == form)
    elif word.isdigit() and len(word) < 19:
        published = published.where(exports.c.id == int(word))
    else:
        published = published.where(exports.c.digest.startswith(word, autoescape=True))
    found = connection.execute(published.order_by(exports.c.id.desc())).first()
    if found is None:
        raise UsageError(f"there is no export {word!r} of {form} to add to; see: annoy exports")
    if found.format != form:
        raise UsageError(f"export {word} is in format {found.format}, not {form}")
    return int(found.id)


def split_of_export(connection: Connection, export_id: int) -> tuple[str, str] | None:
    """Return the shares and the salt by which an export was split, if it was."""
    told = select(exports.c.split, exports.c.filter).where(exports.c.id == export_id)
    row = connection.execute(told).one()
    return None if row.split is None else (row.split, orjson.loads(row.filter)["salt"])


def export_and_ancestors(connection: Connection, export_id: int) -> list[int]:
    """Return an export and all that it adds to, newest first."""
    line: list[int] = []
    current: int | None = export_id
    while current is not None:
        line.append(current)
        parent = select(exports.c.parent_id).where(exports.c.id == current)
        current = connection.scalar(parent)
    return line


def published_rows(connection: Connection, line: Sequence[int]) -> Select[Any]:
    """The rows that a line of exports holds: published and not taken back."""
    taken = (
        select(retractions.c.export_row_id)
        .where(retractions.c.export_id.in_(line), retractions.c.export_row_id == export_rows.c.id)
        .exists()
    )
    return select(
        export_rows.c.id.label("row_id"),
        export_rows.c.chain_id,
        export_rows.c.sample_id,
        export_rows.c.split,
        export_rows.c.digest,
    ).where(export_rows.c.export_id.in_(line), not_(taken))


def export_digest(connection: Connection, export_id: int) -> str:
    """Return the digest of an export that is there."""
    return str(
        connection.execute(select(exports.c.digest).where(exports.c.id == export_id)).scalar_one()
    )


def locate_rows(
    connection: Connection, taken_back: Sequence[tuple[int, str]]
) -> list[dict[str, Any]]:
    """Say of export rows where they stand: export, split, file, line (from 1), and why they go."""
    reasons = dict(taken_back)
    chosen = (
        select(
            export_rows.c.id,
            export_rows.c.position,
            export_rows.c.split,
            export_rows.c.digest,
            exports.c.digest.label("export"),
            exports.c.files,
        )
        .join(exports, exports.c.id == export_rows.c.export_id)
        .where(in_values(connection, export_rows.c.id, reasons))
    )
    said = []
    files: dict[str, list[dict[str, Any]]] = {}
    for row in connection.execute(chosen):
        listed = files.setdefault(row.export, orjson.loads(row.files))
        at = next(f for f in listed if f["first"] <= row.position < f["first"] + f["rows"])
        said.append(
            {
                "export": row.export,
                "split": row.split,
                "file": at["name"],
                "line": row.position - at["first"] + 1,
                "digest": row.digest,
                "reason": reasons[row.id],
            }
        )
    return sorted(said, key=lambda one: (one["export"], one["file"], one["line"]))


def row_of_file_line(connection: Connection, file: Path, line: str) -> int:
    """Return the export row that a line (from 1) of an exported file holds.

    Raises UsageError when the file is not of an export of this store, or has no such line.
    """
    try:
        about = orjson.loads((file.resolve().parent / "export.json").read_bytes())
        entry = next(f for f in about["files"] if f["name"] == file.name)
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        raise UsageError(f"{file} is not a file of an export: no export.json names it") from None
    if not line.isdecimal() or not 1 <= int(line[:18]) <= entry["rows"]:
        raise UsageError(f"{file} has the lines 1 to {entry['rows']:,}, and none {line}")
    found = connection.scalar(
        select(export_rows.c.id)
        .join(exports, exports.c.id == export_rows.c.export_id)
        .where(exports.c.digest == about["digest"])
        .where(export_rows.c.position == entry["first"] + int(line) - 1)
    )
    if found is None:
        raise UsageError(f"{file} was not exported from this store; see: annoy exports")
    return int(found)


def count_published_rows(connection: Connection, line: Sequence[int]) -> int:
    """Return how many rows a line of exports holds that it did not take back."""
    total = func.coalesce(func.sum(exports.c.n_rows - exports.c.n_retractions), 0)
    return int(connection.scalar(select(total).where(exports.c.id.in_(line))) or 0)


def find_published(store: Database, digest: str) -> int | None:
    """Return the id of the published export with this digest, if there is one."""
    with store.read() as connection:
        found = connection.scalar(
            select(exports.c.id).where(
                exports.c.digest == digest, exports.c.published_at.is_not(None)
            )
        )
        return None if found is None else int(found)


def record_export(
    store: Database,
    edition: ExportRow,
    rows: Iterable[LoggedRow],
    taken_back: Sequence[tuple[int, str]],
    publish: Callable[[], None],
) -> int:
    """Enter an export with its rows (chain, sample, split, state), then publish; return its id."""
    export_id = _begin(store, edition)
    position = 0
    for piece in _pieces(rows):
        with store.write() as connection:
            _insert(connection, export_id, position, piece)
        position += len(piece)
    with store.write() as connection:
        taken = [{"export_id": export_id, "export_row_id": r, "reason": w} for r, w in taken_back]
        insert_new(connection, retractions, taken)
        done = update(exports).where(exports.c.id == export_id).values(published_at=utc_now())
        connection.execute(done)
        publish()
    return export_id


def _begin(store: Database, edition: ExportRow) -> int:
    """Enter the export itself; one of the same digest that was never published begins anew."""
    with store.write() as connection:
        same = select(exports.c.id).where(exports.c.digest == edition.digest)
        found = connection.scalar(same)
        if found is not None:
            connection.execute(delete(export_rows).where(export_rows.c.export_id == found))
            now = update(exports).where(exports.c.id == found)
            connection.execute(now.values(**edition.values()))
            return int(found)
        connection.execute(insert(exports).values(**edition.values()))
        return int(connection.scalar(same) or 0)


_COLUMNS = ("export_id", "position", "chain_id", "sample_id", "split", "digest")


def _insert(connection: Connection, export_id: int, first: int, piece: Sequence[LoggedRow]) -> None:
    """Insert rows; as plain tuples where the driver takes them, which is twice as fast."""
    rows = [(export_id, first + i, *row) for i, row in enumerate(piece)]
    statement = insert(export_rows).compile(dialect=connection.dialect, column_keys=_COLUMNS)
    if getattr(statement, "positiontup", None) == list(_COLUMNS):
        connection.exec_driver_sql(str(statement), rows)
    else:
        insert_new(connection, export_rows, [dict(zip(_COLUMNS, r, strict=True)) for r in rows])


def _pieces(rows: Iterable[Any]) -> Iterator[list[Any]]:
    piece: list[Any] = []
    for row in rows:
        piece.append(row)
        if len(piece) == ROWS_AT_ONCE:
            yield piece
            piece = []
    if piece:
        yield piece


def published_exports(connection: Connection) -> list[dict[str, Any]]:
    """Return every published export, newest first, its JSON read."""
    chosen = select(exports).where(exports.c.published_at.is_not(None))
    rows = connection.execute(chosen.order_by(exports.c.id.desc())).mappings()
    return [
        {**row, "files": orjson.loads(row["files"]), "filter": orjson.loads(row["filter"])}
        for row in rows
    ]
