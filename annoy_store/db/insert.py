"""Writes the rows that a stage made: by set, in the order of the tables, each once.

A row that is there already (by its natural key) is left alone, and its id serves the rows that
refer to it. So work that is done twice writes once. Every text is cleaned here (hashing.py), for
one that a database refuses would take all rows of its transaction with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, insert, select

from annoy_store.db.sql import among, insert_new, reserve_ids
from annoy_store.db.tables import NATURAL_KEYS, metadata
from annoy_store.hashing import clean
from annoy_store.interfaces import New

Key = tuple[Any, ...]
ORDER = tuple(metadata.sorted_tables)  # parents first


def write(connection: Connection, rows: Iterable[New]) -> dict[str, list[int]]:
    """Write `rows` and the rows they refer to; return per table the ids of all of them."""
    by_table: dict[Table, list[New]] = defaultdict(list)
    ids: dict[int, int] = {}
    for row in _with_references(rows):
        by_table[row.table].append(row)
    touched = {}
    for table in ORDER if by_table else ():
        if news := by_table.get(table):
            values = [_resolve(new, ids) for new in news]
            written = write_table(connection, table, values)
            ids.update((id(new), key) for new, key in zip(news, written, strict=True))
            touched[table.name] = written
    return touched


def _with_references(rows: Iterable[New]) -> list[New]:
    """All rows to be written, every object once, references included."""
    seen: dict[int, New] = {}
    waiting = list(rows)
    while waiting:
        row = waiting.pop()
        if id(row) not in seen:
            seen[id(row)] = row
            waiting.extend(value for value in row.values.values() if isinstance(value, New))
    return list(seen.values())[::-1]


def _resolve(row: New, ids: Mapping[int, int]) -> dict[str, Any]:
    return {
        k: ids[id(v)] if isinstance(v, New) else clean(v) if type(v) is str else v
        for k, v in row.values.items()
    }


def write_table(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]
) -> list[int]:
    """Write rows of one table whose references are ids; return their ids, in their order."""
    names = NATURAL_KEYS.get(table.name)
    if names is None:
        return _append(connection, table, rows)
    keys = [tuple(row[name] for name in names) for row in rows]
    unique = dict(zip(keys, rows, strict=True))
    insert_new(connection, table, [unique[key] for key in sorted(unique)])
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
    """The ids of rows by natural key; the first column of every key is selective."""
    columns = [table.c[name] for name in names]
    firsts = {key[0] for key in keys}
    found = connection.execute(
        select(table.c.id, *columns).where(among(connection, columns[0], sorted(firsts)))
    )
    return {tuple(row[1:]): row[0] for row in found}
