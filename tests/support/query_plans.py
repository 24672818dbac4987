"""Which way a database takes: the plans of the statements that were really run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event

from annoy_store.db.engine import Database


@contextmanager
def watched(store: Database, *beginnings: str) -> Iterator[list[tuple[str, Any]]]:
    """The statements with one of these beginnings that are run meanwhile, with parameters."""
    seen: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, sql: str, parameters: Any, ___: Any, many: bool) -> None:
        if sql.startswith(beginnings) and not many:
            seen.append((sql, parameters))

    event.listen(store.write_engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(store.write_engine, "before_cursor_execute", note)


def explained(connection: Connection, sql: str, parameters: Any) -> list[str]:
    """The steps of a plan, one line each."""
    word = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    found = connection.exec_driver_sql(f"{word} {sql}", parameters)
    return [str(row[-1]) for row in found]


def scans(plan: list[str], *tables: str) -> list[str]:
    """The steps that read the whole of one of these tables."""
    found = [step for step in plan if "Seq Scan on" in step or step.startswith("SCAN ")]
    return [step for step in found if set(step.replace("(", " ").split()) & set(tables)]
