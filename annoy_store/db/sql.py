"""The expressions and statements that differ between SQLite and PostgreSQL.

Decisions
- Dialects are named here, in columns.py and engine.py alone. Expressions that differ are compiled
  per dialect, so that frequent statements can be built once, at import.
- A store on SQLite imports nothing of PostgreSQL, whose dialect takes a fifth of SQLAlchemy's time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

import orjson
from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Double,
    Integer,
    LargeBinary,
    Select,
    SmallInteger,
    Table,
    Text,
    bindparam,
    func,
    select,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from annoy_store.db.tables import commit_horizons

# Expressions ---------------------------------------------------------------------------------


class ListParameter(TypeDecorator[list[Any]]):
    """Any number of values as one parameter: a JSON text on SQLite, an array on PostgreSQL.

    Args:
        item: the SQL type of the values.
    """

    impl = Text
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return JSON text for SQLite, an array for PostgreSQL."""
        of_dialect = Text() if dialect.name == "sqlite" else ARRAY(self.item)
        return dialect.type_descriptor(of_dialect)

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Return the value that the driver is given."""
        return orjson.dumps(value).decode() if dialect.name == "sqlite" else value


class _InValues(FunctionElement[Any]):
    """A column and values. It has no Boolean type, for SQLAlchemy would render `(..) = 1`."""

    inherit_cache = True


@compiles(_InValues, "sqlite")
def _sqlite_among(element: _InValues, compiler: Any, **options: Any) -> str:
    column, values = (compiler.process(part, **options) for part in element.clauses)
    is_list = isinstance(list(element.clauses)[1], BindParameter)
    return f"{column} IN " + (f"(SELECT value FROM json_each({values}))" if is_list else values)


@compiles(_InValues, "postgresql")
def _postgresql_among(element: _InValues, compiler: Any, **options: Any) -> str:
    column, values = (compiler.process(part, **options) for part in element.clauses)
    is_list = isinstance(list(element.clauses)[1], BindParameter)
    return f"{column} = ANY " + (f"({values})" if is_list else f"(ARRAY {values})")


def in_values(
    _: Connection, column: ColumnElement[Any], values: Iterable[Any]
) -> ColumnElement[bool]:
    """Return `column IN values`, with any number of values as one parameter.

    Args:
        _: The connection, which fixes nothing: the dialect decides when the statement is compiled.
        column: The column to compare; its type is that of the values.
        values: Any number of values, none included.
    """
    return _InValues(column, bindparam(None, list(values), type_=ListParameter(column.type)))


def in_parameter(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Return `column IN :name`, where the parameter is a list of any length.

    Args:
        column: The column to compare.
        name: Name of the parameter, which is a list.
    """
    return _InValues(column, bindparam(name, type_=ListParameter(column.type)))


def in_subquery(column: ColumnElement[Any], chosen: Select[Any]) -> ColumnElement[bool]:
    """Return `column IN (SELECT ..)`, where the subquery runs exactly once, and first.

    PostgreSQL may run a plain subquery again for every joined row, and lock more rows than its
    LIMIT; an array is built once, and its members are looked up.

    Args:
        column: the column.
        chosen: the subquery of one column, with LIMIT or locks.
    """
    return _InValues(column, chosen.scalar_subquery())


class _Unindexed(FunctionElement[Any]):
    inherit_cache = True


@compiles(_Unindexed)
def _unindexed(element: _Unindexed, compiler: Any, **options: Any) -> str:
    (column,) = element.clauses
    spelled = compiler.process(column, **options)
    return f"({spelled} || '')" if isinstance(column.type, Text) else f"+{spelled}"


def unindexed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the column as an expression that no index is chosen for."""
    hidden = _Unindexed(column)
    hidden.type = column.type
    return hidden


class _Clock(FunctionElement[float]):
    inherit_cache = True
    type = Double()


@compiles(_Clock, "sqlite")
def _sqlite_clock(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(_Clock, "postgresql")
def _postgresql_clock(*_: Any, **__: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS float8)"


def clock() -> ColumnElement[float]:
    """Return the expression of the database's clock, which machines share: seconds since 1970."""
    return _Clock()


def is_sqlite(connection: Connection) -> bool:
    """Return whether the store is a SQLite file."""
    return connection.dialect.name == "sqlite"


def clock_is_local(connection: Connection) -> bool:
    """Return whether `clock()` is the clock of this process, and not one that all share."""
    return is_sqlite(connection)


def now(connection: Connection) -> float:
    """Return seconds since 1970, by the database's clock where machines share it."""
    return time.time() if is_sqlite(connection) else float(connection.scalar(select(clock())) or 0)


# Statements ----------------------------------------------------------------------------------


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert rows, except those whose natural key exists.

    Args:
        connection: a write transaction.
        table: the table.
        rows: rows with the same columns.

    Returns:
        How many rows are new.
    """
    names = tuple(rows[0]) if rows else ()
    values = [tuple(map(row.__getitem__, names)) for row in rows]
    return insert_new_tuples(connection, table, names, values)


def insert_new_tuples(
    connection: Connection, table: Table, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> int:
    """Insert rows as `insert_new` does, given as the values of `names`, in that order."""
    if not rows:
        return 0
    if is_sqlite(connection):
        plain = _plain_insert(table.name, names)
        return connection.exec_driver_sql(plain, list(rows), execution_options=_COUNTED).rowcount
    columns = zip(names, zip(*rows, strict=True), strict=True)
    arrays = {name: _as_array(table.c[name], list(values)) for name, values in columns}
    statement = _array_insert(table, names)
    return connection.exec_driver_sql(statement, arrays, execution_options=_COUNTED).rowcount


_COUNTED = {"preserve_rowcount": True}


@lru_cache(maxsize=64)
def _plain_insert(table: str, names: tuple[str, ...]) -> str:
    """For SQLite, whose values need no translation: Core's own takes twice as long per row."""
    columns, marks = ", ".join(f'"{n}"' for n in names), ", ".join("?" * len(names))
    return f'INSERT INTO "{table}" ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING'


@lru_cache(maxsize=64)
def _array_insert(table: Table, names: tuple[str, ...]) -> str:
    """For PostgreSQL, one binary array per column (`b`): as fast as COPY, and one statement."""
    columns = ", ".join(f'"{n}"' for n in names)
    arrays = ", ".join(f"CAST(%({n})b AS {_array(table.c[n])})" for n in names)
    return (
        f'INSERT INTO "{table.name}" ({columns}) SELECT * FROM unnest({arrays})'
        " ON CONFLICT DO NOTHING"
    )


def _as_array(column: Column[Any], values: list[Any]) -> list[Any]:
    """The elements of a binary array are all of one type."""
    if isinstance(column.type, Double):
        return [None if value is None else float(value) for value in values]
    return values


def _insert(dialect: str, table: Table) -> Any:
    return import_module(f"sqlalchemy.dialects.{dialect}").insert(table)


_ARRAYS: dict[type[Any], str] = {
    BigInteger: "bigint",
    SmallInteger: "smallint",
    Integer: "integer",
    Double: "float8",
    LargeBinary: "bytea",
}


def _array(column: Column[Any]) -> str:
    return _ARRAYS.get(type(column.type), "text") + "[]"


@lru_cache(maxsize=256)
def _insert_from(dialect: str, table: Table, chosen: Select[Any]) -> Any:
    names = [column.name for column in chosen.selected_columns]
    statement = _insert(dialect, table).from_select(names, chosen).on_conflict_do_nothing()
    return statement.execution_options(preserve_rowcount=True)


def insert_from(
    connection: Connection,
    table: Table,
    chosen: Select[Any],
    parameters: Mapping[str, Any] | None = None,
) -> int:
    """Run INSERT .. SELECT, except for rows whose key exists.

    Args:
        connection: a write transaction.
        table: the table.
        chosen: the SELECT. The statement is cached, so it should be built once, with parameters.
        parameters: the values of its parameters.

    Returns:
        How many rows are new.
    """
    statement = _insert_from(connection.dialect.name, table, chosen)
    return int(connection.execute(statement, parameters).rowcount)


@lru_cache(maxsize=64)
def _increment_statement(dialect: str, table: Table, name: str) -> Any:
    statement = _insert(dialect, table)
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={name: table.c[name] + statement.excluded[name]},
    )


def increment(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, or add their last column to that of the row with the same primary key.

    Args:
        connection: A write transaction.
        table: A table whose last column is a number.
        rows: Rows with equal keys: the primary key, then the number to add.
    """
    if rows:
        name = list(rows[0])[-1]
        connection.execute(_increment_statement(connection.dialect.name, table, name), list(rows))


def upsert(connection: Connection, table: Table, row: Mapping[str, Any]) -> None:
    """Insert a row, or update the other columns of the row with the same primary key.

    Args:
        connection: A write transaction.
        table: The table.
        row: All columns to write, the primary key included.
    """
    statement = _insert(connection.dialect.name, table)
    keys = list(table.primary_key.columns)
    changed = {n: statement.excluded[n] for n in row if n not in {k.name for k in keys}}
    upsert = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    connection.execute(upsert, dict(row))


def reserve_ids(connection: Connection, table: Table, n: int) -> list[int]:
    """Return `n` new ids for rows of a table; no other transaction gets them.

    Args:
        connection: A write transaction.
        table: A table with a column `id`.
        n: How many ids.
    """
    if is_sqlite(connection):
        last = connection.scalar(select(func.max(table.c.id))) or 0
        return list(range(last + 1, last + 1 + n))
    statement = text("SELECT nextval(pg_get_serial_sequence(:t, 'id')) FROM generate_series(1, :n)")
    return [int(i) for i in connection.scalars(statement, {"t": table.name, "n": n})]


def restart_ids(connection: Connection, tables: Iterable[Table]) -> None:
    """Set the id sequences behind the highest id, after rows were inserted with given ids.

    Args:
        connection: A write transaction.
        tables: The tables that were filled; those without a column `id` are left out.
    """
    for table in () if is_sqlite(connection) else tables:
        if "id" in table.c:
            highest = select(func.coalesce(func.max(table.c.id), 0) + 1)
            sequence = func.pg_get_serial_sequence(table.name, "id")
            connection.execute(select(func.setval(sequence, highest.scalar_subquery(), False)))


def open_writers(connection: Connection, table: Table) -> set[str]:
    """Return the other transactions that may have uncommitted rows of a table.

    SQLite has one writer, so there are none. On PostgreSQL an inserting transaction holds a lock on
    the table from before its first id is taken until its end, and names of transactions are not
    used again.

    Args:
        connection: A transaction that reads.
        table: The table.
    """
    if is_sqlite(connection):
        return set()
    statement = text(
        "SELECT virtualtransaction FROM pg_locks WHERE mode = 'RowExclusiveLock' "
        "AND relation = CAST(:t AS regclass) AND pid IS DISTINCT FROM pg_backend_pid() "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return set(connection.scalars(statement, {"t": table.name}))


def committed_upto(connection: Connection, column: Column[Any]) -> int:
    """Return an id up to which every row of the column's table is committed.

    SQLite has one writer, so this is the highest id. PostgreSQL assigns ids before the commit;
    there it is what enqueue.py last wrote to `commit_horizons`.

    Args:
        connection: A transaction that reads.
        column: The id column of the table.
    """
    if is_sqlite(connection):
        return int(connection.scalar(select(func.max(column))) or 0)
    known = select(commit_horizons.c.upto).where(commit_horizons.c.table_name == column.table.name)
    return int(connection.scalar(known) or 0)


def integrity_errors(connection: Connection) -> list[str]:
    """Return the errors that SQLite's integrity check finds, at most 20; PostgreSQL has none."""
    check = text("PRAGMA integrity_check(20)")
    found = connection.scalars(check) if is_sqlite(connection) else ()
    return [str(message) for message in found if message != "ok"]


def analyse(connection: Connection, *tables: Table) -> None:
    """Update the planner's statistics after a bulk load (PostgreSQL only)."""
    for table in () if is_sqlite(connection) else tables:
        connection.execute(text(f'ANALYZE "{table.name}"'))
