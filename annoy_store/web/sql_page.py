"""The SQL page: read-only queries on the store or its snapshot, and their result as a file.

Decision: only what was typed into the page runs. Its form has a token, which another site that
links here does not know. The history of queries is kept by the browser, not by the store.
"""

from __future__ import annotations

import csv
import io
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from starlette.responses import Response

from annoy_store.analysis.bounded_query import run_bounded
from annoy_store.analysis.lineage_edges import TABLES
from annoy_store.analysis.sql import RelationInfo, describe
from annoy_store.db.engine import Database
from annoy_store.errors import UsageError

SQL_ROWS, SQL_SECONDS = 500, 20.0
FILE_ROWS = 100_000


class SqlPage:
    """Runs the queries of the page.

    Attributes:
        store: The store.
        form_token: What a form of this page has.
    """

    def __init__(self, store: Database) -> None:
        self.store = store
        self.form_token = secrets.token_urlsafe()
        self._described: list[RelationInfo] = []

    def values(self, given: Mapping[str, str]) -> dict[str, Any]:
        """Return the values of the template.

        Args:
            given: Parameters of the address: `q` the query, `of` the engine, `typed` the token.
        """
        query, was_typed = given.get("q", ""), self._is_typed(given)
        columns: tuple[str, ...] = ()
        rows: list[tuple[Any, ...]] = []
        error = ""
        if query.strip() and was_typed:
            try:
                columns, rows = self._run(given, SQL_ROWS + 1)
            except UsageError as fault:
                error = str(fault)
        return {
            "query": query,
            "engine": given.get("of", ""),
            "token": self.form_token,
            "ran": was_typed,
            "columns": columns,
            "rows": rows[:SQL_ROWS],
            "cut": len(rows) > SQL_ROWS,
            "error": error,
            "described": self.describe(),
            "file_rows": FILE_ROWS,
            "kinds": [_kind_of(name) for name in columns],
            "numeric": [_is_numeric(row[i] for row in rows) for i in range(len(columns))],
        }

    def download(self, given: Mapping[str, str]) -> Response:
        """Return the result of a query as a CSV or JSON file, at most `FILE_ROWS` rows.

        Raises:
            UsageError: The query was not typed into the page, or cannot be run.
        """
        if not self._is_typed(given):
            raise UsageError("press CSV or JSON on the SQL page to download a result")
        columns, rows = self._run(given, FILE_ROWS)
        is_json = given.get("as") == "json"
        text = _as_json(columns, rows) if is_json else _as_csv(columns, rows)
        name = "result.json" if is_json else "result.csv"
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(text, headers=headers, media_type=f"text/{name[-4:].strip('.')}")

    def describe(self) -> list[RelationInfo]:
        """Return the tables and views, read once; none if the store lacks one of them."""
        if not self._described:
            with suppress(UsageError):
                self._described = describe(self.store)
        return self._described

    def _is_typed(self, given: Mapping[str, str]) -> bool:
        return secrets.compare_digest(given.get("typed", "").encode(), self.form_token.encode())

    def _run(
        self, given: Mapping[str, str], most: int
    ) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        live = given.get("of") != "snapshot"
        query = given.get("q", "")
        with run_bounded(self.store, query, seconds=SQL_SECONDS, live=live) as found:
            return found.columns, list(islice(found.rows, most))


def _as_csv(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


def _as_json(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    named = [dict(zip(columns, row, strict=True)) for row in rows]
    return json.dumps(named, default=str, ensure_ascii=False, indent=1)


def _is_numeric(values: Iterable[Any]) -> bool:
    filled = [v for v in values if v is not None]
    return bool(filled) and all(isinstance(v, int | float) for v in filled)


def _kind_of(column: str) -> str | None:
    """Return the kind of row that a column of ids refers to (`last_response_id`, `turn_2_id`)."""
    name = re.sub(r"(_\d+)?_id$", "", column)
    if name == column:
        return None
    return next((k for k in (*TABLES, "chain") if name.endswith(k)), None)
