"""Reads any table: what its columns refer to, its rows by page, and whether it can be written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Connection, Table, func, not_, select

from annoy_store.db.engine import Database
from annoy_store.db.tables import sample_origins, variants

PAGE_ROWS = 2_000


_UNDECLARED = {sample_origins.c.variant_id: variants}  # a reference without a foreign key


def referenced_table(column: Column[Any]) -> Table | None:
    """Return the table whose id a column holds, if it holds one."""
    for key in column.foreign_keys:
        return key.column.table
    return _UNDECLARED.get(column)


def row_pages(connection: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of a table ordered by their keys, `PAGE_ROWS` at a time, from one snapshot.

    Args:
        connection: A transaction that reads.
        table: The table; one without a primary key is ordered by all its columns.
    """
    names = table.c.keys()
    for page in tuple_pages(connection, table):
        yield [dict(zip(names, row, strict=True)) for row in page]


def tuple_pages(connection: Connection, table: Table) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of a table as `row_pages` does, as tuples in the order of its columns."""
    order = list(table.primary_key.columns) or list(table.c)
    streamed = connection.execution_options(stream_results=True)
    found = streamed.execute(
        select(table).order_by(*order), execution_options={"yield_per": PAGE_ROWS}
    )
    for page in found.partitions(PAGE_ROWS):
        yield [tuple(row) for row in page]


def can_insert(store: Database, table: Table) -> bool:
    """Return whether this process may add rows to a table of a store.

    A file may be read-only, a user of a server may lack the privilege, and a server may be a replica.
    """
    if store.is_sqlite:
        return not store.is_read_only
    may = func.has_table_privilege(table.name, "INSERT")
    with store.read() as connection:
        return bool(connection.scalar(select(may & not_(func.pg_is_in_recovery()))))
