"""Which verdict on an answer counts, in DuckDB: as `v_current_verdicts` says, or as chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
from sqlalchemy import ColumnElement, Connection, select

from annoy_store.db.duckdb_session import load_table
from annoy_store.db.tables import variants, verdicts
from annoy_store.db.views import verdict_order
from annoy_store.errors import UsageError

# What a table needs of `verdicts` for `keep_current_verdicts`.
VERDICT_COLUMNS: tuple[ColumnElement[Any], ...] = (
    verdicts.c.id.label("verdict_id"),
    verdicts.c.status,
    verdicts.c.variant_id,
)


def keep_current_verdicts(
    duck: duckdb.DuckDBPyConnection,
    connection: Connection,
    judged_by: int | None,
    tables: Mapping[str, tuple[str, str]],
) -> None:
    """Make of each table `NAME` with a row per verdict a table `NAME_once` with a row per answer.

    Also makes the table `variants`.

    Args:
        duck: DuckDB with the tables; they have the `VERDICT_COLUMNS`.
        connection: The snapshot of the store.
        judged_by: Id of the variant of `verify` whose verdicts count before all others.
        tables: By name the columns that are an answer's key, and what comes first in an ORDER BY
            where one answer has several rows for another reason; empty if nothing.

    Raises:
        UsageError: If `judged_by` is not such a variant.
    """
    known = select(variants.c.id, variants.c.stage, variants.c.active, variants.c.task)
    load_table(duck, "variants", connection, known)
    if judged_by is not None:
        _put_first(duck, judged_by)
    for name, (key, first) in tables.items():
        _keep_one(duck, name, key, first)


def _put_first(duck: duckdb.DuckDBPyConnection, variant: int) -> None:
    """Let the verdicts of one variant count before all others of its task."""
    known = duck.execute("SELECT id FROM variants WHERE stage = 'verify' ORDER BY id").fetchall()
    if (variant,) not in known:
        ids = ", ".join(str(key) for (key,) in known) or "none"
        raise UsageError(f"there is no variant {variant} of verify; there are: {ids}")
    duck.execute(f"""
    UPDATE variants SET active = (id = {variant}) WHERE stage = 'verify'
    AND task = (SELECT v.task FROM variants v WHERE v.id = {variant})
    """)


def _keep_one(duck: duckdb.DuckDBPyConnection, name: str, key: str, first: str) -> None:
    """Keep one verdict of ours per answer; the window is needed only where keys repeat."""
    duck.execute(f"""
    CREATE VIEW {name}_judged AS
    SELECT a.* EXCLUDE (verdict_id, status, variant_id),
           CASE WHEN v.stage = 'verify' THEN a.verdict_id END AS verdict_id,
           CASE WHEN v.stage = 'verify' THEN a.status END AS status,
           v.stage = 'verify' AS ours, v.active, v.id AS variant_id
    FROM {name} a LEFT JOIN variants v ON v.id = a.variant_id
    """)
    order = ", ".join([*filter(None, [first]), "ours DESC", verdict_order("active", "variant_id")])
    count = f"SELECT count(*) > count(DISTINCT ({key})) FROM {name}_judged"
    repeats = duck.execute(count).fetchall()[0][0]
    window = f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {order}) = 1"
    one = window if repeats else ""
    duck.execute(f"CREATE TABLE {name}_once AS SELECT * FROM {name}_judged {one}")
    duck.execute(f"DROP VIEW {name}_judged; DROP TABLE {name}")
