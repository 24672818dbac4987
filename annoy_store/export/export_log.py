"""The export log: what was published, as which export, and what was retracted.

Decisions
- The digest of an export covers its format, its files and its parent: publishing the same bytes
  again is the same export, and adds nothing to the log.
- Rows are inserted by pieces while `published_at` is still null, so that no writer waits long; the
  last step, together with the rename of the folder, sets it. If its commit fails, the folder is
  renamed back; if the process was killed in between, the next export records it. A row of an
  export that was never published counts for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import DBAPIError

from annoy_store.db.engine import Database
from annoy_store.db.hidden import lock_rules
from annoy_store.db.sql import insert_new
from annoy_store.db.tables import export_rows, exports, retractions
from annoy_store.db.timestamps import utc_now
from annoy_store.errors import UsageError
from annoy_store.export.attributes import TAKEN_DOWN_SAMPLES
from annoy_store.export.manifest import ExportRow
from annoy_store.export.plan import ExportPlan

_PIECE_ROWS = 50_000
_BATCH_ROWS = 20_000
_LoggedRow = tuple[int | None, int | None, str | None, str]  # chain, sample, split, state


@dataclass(frozen=True)
class LoggedExport:
    """What became of an export in the log.

    Attributes:
        export_id: Its row in `exports`.
        already_published: The same bytes had been published before, as this export.
    """

    export_id: int
    already_published: bool


def record_export(
    store: Database,
    plan: ExportPlan,
    row: ExportRow,
    publish: Callable[[], None],
    withdraw: Callable[[], None],
) -> LoggedExport:
    """Publish an export and record it in the log, both or neither.

    Args:
        store: The store.
        plan: What is exported; its records become the rows of the export.
        row: The row of `exports`.
        publish: Renames the folder to its final name.
        withdraw: Takes that back.

    Raises:
        UsageError: If samples were taken down after the snapshot of the plan.
    """
    with store.write() as connection:
        known = _published_before(connection, row.digest)
        if known is not None:
            _refuse_hidden(connection, plan)
            publish()
            return LoggedExport(known, already_published=True)
        export_id = _begin(connection, row)
    position = 0
    for piece in _pieces(_rows(plan)):
        with store.write() as connection:
            _insert_rows(connection, export_id, position, piece)
        position += len(piece)
    retracted = [
        {"export_id": export_id, "export_row_id": one.row_id, "reason": one.reason}
        for one in plan.retractions
    ]
    with store.write() as connection:
        insert_new(connection, retractions, retracted)
    _publish(store, plan, export_id, publish, withdraw)
    return LoggedExport(export_id, already_published=False)


def _publish(
    store: Database,
    plan: ExportPlan,
    export_id: int,
    publish: Callable[[], None],
    withdraw: Callable[[], None],
) -> None:
    """Rename the folder and mark the export as published, in one transaction."""
    is_renamed = False
    try:
        with store.write() as connection:
            _refuse_hidden(connection, plan)
            _mark_published(connection, export_id)
            publish()
            is_renamed = True
    except BaseException:
        if is_renamed and not _was_committed(store, export_id):
            withdraw()
        raise


def _mark_published(connection: Connection, export_id: int) -> None:
    mine = exports.c.id == export_id
    connection.execute(update(exports).where(mine).values(published_at=utc_now()))


def _was_committed(store: Database, export_id: int) -> bool:
    """Whether a commit whose answer was an error has happened; if nobody knows, it has not."""
    mine = exports.c.id == export_id, exports.c.published_at.is_not(None)
    with suppress(DBAPIError), store.read() as connection:
        return connection.scalar(select(exports.c.id).where(*mine)) is not None
    return False


def _refuse_hidden(connection: Connection, plan: ExportPlan) -> None:
    """Refuse to publish what was taken down while the export ran; no rule is added meanwhile."""
    lock_rules(connection, shared=True)
    if frozenset(connection.scalars(TAKEN_DOWN_SAMPLES)) - plan.taken_down:
        raise UsageError("something was taken down during the export; run it again")


def _published_before(connection: Connection, digest: str) -> int | None:
    """The id of the published export with this digest, if there is one."""
    same = exports.c.digest == digest, exports.c.published_at.is_not(None)
    return connection.scalar(select(exports.c.id).where(*same))


def adopt_folders(store: Database) -> None:
    """Record as published what a process renamed just before it was killed.

    Such an export has all its rows in the log, and its folder stands under the final name.
    """
    pending = select(exports).where(exports.c.published_at.is_(None))
    with store.read() as connection:
        left = [dict(row) for row in connection.execute(pending).mappings()]
    for row in left:
        if _digest_in(Path(row["folder"])) == row["digest"]:
            with store.write() as connection:
                _mark_published(connection, row["id"])


def _digest_in(folder: Path) -> str | None:
    """The digest of the export in a folder, if there is one."""
    try:
        found = orjson.loads((folder / "export.json").read_bytes())
    except (OSError, ValueError):
        return None
    return str(found.get("digest")) if isinstance(found, dict) else None


def _begin(connection: Connection, row: ExportRow) -> int:
    """Insert the export; one of the same digest that was never published begins anew."""
    values = asdict(row) | {"created_at": utc_now()}
    same = select(exports.c.id).where(exports.c.digest == row.digest)
    found = connection.scalar(same)
    if found is None:
        connection.execute(insert(exports).values(**values))
        return int(connection.scalar(same) or 0)
    connection.execute(delete(retractions).where(retractions.c.export_id == found))
    connection.execute(delete(export_rows).where(export_rows.c.export_id == found))
    connection.execute(update(exports).where(exports.c.id == found).values(**values))
    return int(found)


def _rows(plan: ExportPlan) -> Iterator[_LoggedRow]:
    """The rows of the log: chain, sample, split, state."""
    records = plan.records.select(["subject_id", "split", "state"])
    for batch in records.to_batches(max_chunksize=_BATCH_ROWS):
        ids, splits, states = (batch.column(i).to_pylist() for i in range(3))
        for i, name, state in zip(ids, splits, states, strict=True):
            chain, sample = (None, i) if plan.form.record == "sample" else (i, None)
            yield chain, sample, name, state


def _pieces(rows: Iterable[_LoggedRow]) -> Iterator[list[_LoggedRow]]:
    piece: list[_LoggedRow] = []
    for row in rows:
        piece.append(row)
        if len(piece) == _PIECE_ROWS:
            yield piece
            piece = []
    if piece:
        yield piece


_COLUMNS = ("export_id", "position", "chain_id", "sample_id", "split", "digest")


def _insert_rows(
    connection: Connection, export_id: int, first: int, piece: Sequence[_LoggedRow]
) -> None:
    """Insert rows; as plain tuples where the driver takes them, which is twice as fast."""
    rows = [(export_id, first + i, *row) for i, row in enumerate(piece)]
    statement = insert(export_rows).compile(dialect=connection.dialect, column_keys=_COLUMNS)
    if getattr(statement, "positiontup", None) == list(_COLUMNS):
        connection.exec_driver_sql(str(statement), rows)
    else:
        insert_new(connection, export_rows, [dict(zip(_COLUMNS, r, strict=True)) for r in rows])


# Reading it ----------------------------------------------------------------------------------


def published_exports(connection: Connection) -> list[dict[str, Any]]:
    """Return every published export as a row of `exports`, newest first, its JSON read."""
    chosen = select(exports).where(exports.c.published_at.is_not(None))
    rows = connection.execute(chosen.order_by(exports.c.id.desc())).mappings()
    return [
        {**row, "files": orjson.loads(row["files"]), "filter": orjson.loads(row["filter"])}
        for row in rows
    ]


def row_of_file_line(connection: Connection, file: Path, line: str) -> int:
    """Return the id of the export row in a line of an exported file.

    Args:
        connection: A read transaction.
        file: A data file in the folder of an export.
        line: The number of the line, from 1.

    Raises:
        UsageError: If the file is not of an export of this store, or has no such line.
    """
    try:
        manifest = orjson.loads((file.resolve().parent / "export.json").read_bytes())
        entry = next(f for f in manifest["files"] if f["name"] == file.name)
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        raise UsageError(f"{file} is not a file of an export: no export.json names it") from None
    if not line.isdecimal() or not 1 <= int(line[:18]) <= entry["rows"]:
        raise UsageError(f"{file} has the lines 1 to {entry['rows']:,}, and none {line}")
    found = connection.scalar(
        select(export_rows.c.id)
        .join(exports, exports.c.id == export_rows.c.export_id)
        .where(exports.c.digest == manifest["digest"])
        .where(export_rows.c.position == entry["first"] + int(line) - 1)
    )
    if found is None:
        raise UsageError(f"{file} was not exported from this store; see: annoy exports")
    return int(found)
