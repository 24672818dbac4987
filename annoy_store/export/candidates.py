"""The tables of a plan in DuckDB: `subjects`, and the view `candidates` of those not removed.

Decisions
- A filter marks in `subjects.removed` what it removes; the first one that does is the reason.
- What a filter needs beyond `subjects` is read only when it comes, and only for the subjects that
  are still there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import duckdb
from sqlalchemy import Connection

from annoy_store.db.duckdb_session import chunks, id_column, load_table
from annoy_store.db.sql import in_values
from annoy_store.errors import UsageError, did_you_mean
from annoy_store.export.attributes import ATTRIBUTES


@dataclass(frozen=True)
class RowFilter:
    """Looks at one subject at a time.

    Attributes:
        reason: Why the others were removed, as in the reports.
        condition: SQL over `candidates`; subjects for which it is true are kept.
        attributes: The attributes that it reads.
        prepare: Called before, for what the condition reads beyond `candidates`.
    """

    reason: str
    condition: str
    attributes: tuple[str, ...] = ()
    prepare: Callable[[duckdb.DuckDBPyConnection, Connection], None] | None = None


@dataclass(frozen=True)
class GroupFilter:
    """Compares subjects with each other.

    Attributes:
        statements: SQL that reads `candidates` and sets `subjects.removed` with the reason.
        attributes: The attributes that they read.
    """

    statements: tuple[str, ...]
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FilterCounts:
    """What filters did: how many subjects there were, and how many were removed, by reason."""

    n_subjects: int
    removed: Mapping[str, int]


def load_attributes(
    duck: duckdb.DuckDBPyConnection,
    connection: Connection,
    names: Iterable[str],
    loaded: frozenset[str] = frozenset(),
) -> frozenset[str]:
    """Read attributes of the subjects that are still there, and make the view `candidates`.

    Args:
        duck: DuckDB with the table `subjects`.
        connection: The snapshot of the store.
        names: The attributes that are wanted.
        loaded: Those that were read before.

    Returns:
        All that are there now.
    """
    missing = [name for name in names if name not in loaded]
    for name in missing:
        _read(duck, connection, name)
    loaded = loaded.union(missing)
    _create_view(duck, loaded)
    return loaded


def apply_filters(
    duck: duckdb.DuckDBPyConnection,
    connection: Connection,
    filters: Sequence[RowFilter | GroupFilter],
    loaded: frozenset[str],
) -> FilterCounts:
    """Mark in `subjects.removed` what each filter removes; the view `candidates` is what is left.

    Args:
        duck: DuckDB with the table `subjects`.
        connection: The snapshot of the store.
        filters: What is applied, in this order.
        loaded: The attributes that were read before.

    Raises:
        UsageError: If the user's own condition is not valid SQL.
    """
    for one in filters:
        loaded = load_attributes(duck, connection, one.attributes, loaded)
        if isinstance(one, GroupFilter):
            for statement in one.statements:
                duck.execute(statement)
        else:
            _apply_row_filter(duck, connection, one)
    counted = duck.execute("SELECT removed, count(*) FROM subjects GROUP BY 1 ORDER BY 1")
    counts = dict(counted.fetchall())
    removed = {reason: n for reason, n in counts.items() if reason is not None}
    return FilterCounts(sum(counts.values()), removed)


def _read(duck: duckdb.DuckDBPyConnection, connection: Connection, name: str) -> None:
    """Make the table `a_NAME` of an attribute."""
    about = ATTRIBUTES[name]
    if about.by is None:
        statements = [about.query]
    else:
        ids = f"SELECT DISTINCT {about.key} FROM subjects WHERE removed IS NULL"
        statements = [
            about.query.where(in_values(connection, about.by, some))
            for some in chunks(id_column(duck, ids))
        ]
    load_table(duck, "fetched", connection, *statements)
    duck.execute(f"CREATE TABLE a_{name} AS {about.aggregation}")
    duck.execute("DROP TABLE fetched")


def _create_view(duck: duckdb.DuckDBPyConnection, loaded: frozenset[str]) -> None:
    """Make the view `candidates`: the subjects still there, with the attributes that were read."""
    joins = " ".join(ATTRIBUTES[name].join for name in sorted(loaded))
    columns = ", ".join(["s.*", *(ATTRIBUTES[name].columns for name in sorted(loaded))])
    duck.execute(
        f"CREATE OR REPLACE VIEW candidates AS SELECT {columns} FROM subjects s {joins} "
        "WHERE s.removed IS NULL"
    )


def _apply_row_filter(
    duck: duckdb.DuckDBPyConnection, connection: Connection, one: RowFilter
) -> None:
    if one.prepare is not None:
        one.prepare(duck, connection)
    statement = (
        "UPDATE subjects SET removed = ? WHERE removed IS NULL AND subject_id NOT IN "
        f"(SELECT subject_id FROM candidates WHERE {one.condition})"
    )
    try:
        duck.execute(statement, [one.reason])
    except duckdb.Error as error:
        if one.reason != "where":
            raise
        raise UsageError(_explain(duck, error)) from error


def _explain(duck: duckdb.DuckDBPyConnection, error: duckdb.Error) -> str:
    _create_view(duck, frozenset())
    own = [row[0] for row in duck.execute("DESCRIBE candidates").fetchall()]
    named = [name for attribute in ATTRIBUTES.values() for name in attribute.names]
    words = str(error).splitlines()[0]
    missing = re.search(r'column "([^"]+)" not found', words)
    near = did_you_mean(missing[1], [*own, *named]) if missing else ""
    return f"--where: {words}{near}; the columns are: {', '.join([*own, *named])}"
