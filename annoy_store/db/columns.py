"""The columns that tables are made of, and the metadata that they belong to.

Decision: what PostgreSQL alone needs to know of a table or an index stands in its `info`, and is
handed over when a store on PostgreSQL is opened: SQLAlchemy imports the dialect for it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Index, MetaData, Table, Text, text

POSTGRESQL_OPTIONS = "postgresql_options"  # the key in `info`

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def id_column() -> Column[int]:
    """Return the column `id`, the primary key."""
    return Column("id", BigInteger, primary_key=True)


def reference(
    target: str,
    name: str | None = None,
    *,
    nullable: bool = False,
    index: bool = True,
    **options: Any,
) -> Column[int]:
    """Return a reference to the id of another table.

    Args:
        target: the other table.
        name: the column; without it the singular of the table with `_id`.
        nullable: whether there may be no reference.
        index: whether it needs an index of its own; not where a unique key begins with it.
        options: further arguments of the column.
    """
    column = name or f"{target.rstrip('s')}_id"
    key = ForeignKey(f"{target}.id")
    return Column(column, BigInteger, key, nullable=nullable, index=index, **options)


def text_column(name: str, *, nullable: bool = False, **options: Any) -> Column[str]:
    """Return a text column."""
    return Column(name, Text, nullable=nullable, **options)


def number_column(name: str, *, nullable: bool = False, **options: Any) -> Column[int]:
    """Return a column of 64-bit integers."""
    return Column(name, BigInteger, nullable=nullable, **options)


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """Return an index of the rows that fulfil `where`, SQL with literals."""
    only = text(where)
    info = {POSTGRESQL_OPTIONS: {"postgresql_where": only}}
    return Index(name, *columns, unique=unique, sqlite_where=only, info=info)


def apply_postgresql_options() -> None:
    """Hand over to SQLAlchemy what PostgreSQL alone needs to know of tables and indexes."""
    for table in metadata.tables.values():
        items: list[Table | Index] = [table, *table.indexes]
        for item in items:
            item.dialect_kwargs.update(item.info.get(POSTGRESQL_OPTIONS, {}))


def digest_column() -> Column[str]:
    """Return the column `digest`, the unique content hash of a row."""
    return Column("digest", Text, nullable=False, unique=True)
