"""Inserts the rows that a stage made: table by table, parents first, each row once.

A row that exists (by its natural key) is left alone, and the rows that refer to it get its id. So
work that is done twice is written once. What takedown rules hide is hidden here (hidden.py), in the
transaction that writes it. Every text is cleaned here (hashing.py), because a text
that a database rejects would fail all rows of its transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, insert, select

from annoy_store.db.hidden import keep_hidden
from annoy_store.db.sql import in_values, insert_new, reserve_ids
from annoy_store.db.tables import NATURAL_KEYS, metadata
from annoy_store.hashing import clean_text
from annoy_store.interfaces import NewRow

Key = tuple[Any, ...]
TABLE_ORDER = tuple(metadata.sorted_tables)  # parents first


def insert_rows(connection: Connection, rows: Iterable[NewRow]) -> dict[str, list[int]]:
    """Insert rows and the rows that they refer to.

    Args:
        connection: a write transaction.
        rows: the rows; those that exist are left alone.

    Returns:
        By table name, the ids of all these rows, new or not.
    """
    by_table: dict[Table, list[NewRow]] = defaultdict(list)
    ids: dict[int, int] = {}
    for row in _with_references(rows):
        by_table[row.table].append(row)
    touched = {}
    for table in TABLE_ORDER if by_table else ():
        if news := by_table.get(table):
            values = [_resolve(new, ids) for new in news]
            written = insert_into_table(connection, table, values)
            ids.update((id(new), key) for new, key in zip(news, written, strict=True))
            touched[table.name] = written
    keep_hidden(connection, touched)
    return touched


def _with_references(rows: Iterable[NewRow]) -> list[NewRow]:
    """All rows to insert, every object once, references included."""
    seen: dict[int, NewRow] = {}
    waiting = list(rows)
    while waiting:
        row = waiting.pop()
        if id(row) not in seen:
            seen[id(row)] = row
            waiting.extend(value for value in row.values.values() if isinstance(value, NewRow))
    return list(seen.values())[::-1]


def _resolve(row: NewRow, ids: Mapping[int, int]) -> dict[str, Any]:
    return {
        k: ids[id(v)] if isinstance(v, NewRow) else clean_text(v) if type(v) is str else v
        for k, v in row.values.items()
    }


def insert_into_table(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]
) -> list[int]:
    """Insert rows of one table whose references are ids.

    Args:
        connection: a write transaction.
        table: the table.
        rows: rows with the same columns; those that exist are left alone.

    Returns:
        Their ids, in their order; 0 for each row of a table without ids.
    """
    names = NATURAL_KEYS.get(table.name)
    if names is None:
        return _append(connection, table, rows)
    keys = [tuple(row[name] for name in names) for row in rows]
    unique = dict(zip(keys, rows, strict=True))
    insert_new(connection, table, [unique[key] for key in sorted(unique)])
    if "id" not in table.c:
        return [0] * len(rows)
    known = _ids(connection, table, names, list(unique))
    return [known[key] for key in keys]


def _append(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    ids = reserve_ids(connection, table, len(rows))
    connection.execute(
        insert(table), [{**row, "id": key} for row, key in zip(rows, ids, strict=True)]
    )
    return ids


def _ids(
    connection: Connection, table: Table, names: tuple[str, ...], keys: Sequence[Key]
) -> dict[Key, int]:
    """The ids of rows by natural key; the first column of each key is selective enough."""
    columns = [table.c[name] for name in names]
    firsts = {key[0] for key in keys}
    found = connection.execute(
        select(table.c.id, *columns).where(in_values(connection, columns[0], sorted(firsts)))
    )
    return {tuple(row[1:]): row[0] for row in found}
