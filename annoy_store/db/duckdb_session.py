"""DuckDB sessions that stay offline and small, and the transfer of rows between store and DuckDB.

Decisions
- DuckDB never opens the store's own file, and never fetches an extension: rows come through
  SQLAlchemy with an explicit Arrow schema, so SQLite and PostgreSQL give the same bytes.
- One thread by default: a stream gains nothing from more, and memory stays flat.
- pyarrow imports pandas at its first array if it is installed: half a second and 30 MB for nothing.
  Programs of ours prevent that; a library must not, since its user may want both.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from sqlalchemy import Connection, Double, LargeBinary, Select, Text
from sqlalchemy.types import TypeEngine

BATCH_ROWS = 4096


class _NoPandas:
    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pyarrow needs no pandas here", name=name)


def prevent_pandas_import() -> None:
    """Let pyarrow find no pandas, for the rest of this process; others still can import it."""
    sys.meta_path.insert(0, _NoPandas)
    try:
        pa.array([0])  # it looks once
    finally:
        sys.meta_path.remove(_NoPandas)


@contextmanager
def open_duckdb(
    spill: Path, *, threads: int = 1, memory: str = "250MB"
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB in memory, and close it at the end.

    Args:
        spill: the folder for what does not fit into memory.
        threads: how many threads it uses.
        memory: its memory limit, in DuckDB's notation.
    """
    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "threads": threads,
        "memory_limit": memory,
        "temp_directory": str(spill),
    }
    duck = duckdb.connect(config=settings)
    try:
        duck.execute("SET enable_progress_bar = false")
        yield duck
    finally:
        duck.close()


def load_table(
    duck: duckdb.DuckDBPyConnection,
    table: str,
    connection: Connection,
    *statements: Select[Any],
) -> None:
    """Create a table in DuckDB from rows of the store, in constant memory.

    Args:
        duck: the DuckDB session.
        table: the name of the new table.
        connection: a transaction of the store to read in.
        statements: SELECTs with the same columns.
    """
    schema = pa.schema([(c.name, _arrow(c.type)) for c in statements[0].selected_columns])
    batches = (batch for s in statements for batch in _stream(connection, s, schema))
    with registered_stream(duck, "incoming", schema, batches):
        duck.execute(f"CREATE TABLE {table} AS SELECT * FROM incoming")


def _stream(
    connection: Connection, statement: Select[Any], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    options = {"stream_results": True, "max_row_buffer": BATCH_ROWS}
    with connection.execute(statement, execution_options=options) as result:
        for rows in result.partitions(BATCH_ROWS):
            yield record_batch(rows, schema)


def arrow_table(duck: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    """Return the whole result of a query."""
    result: Any = duck.sql(query)
    return result.to_arrow_table()


def id_column(duck: duckdb.DuckDBPyConnection, query: str) -> list[int]:
    """Return the first column of a query as integers, nulls left out."""
    return [int(i) for i in arrow_table(duck, query).column(0).drop_null().to_pylist()]


def chunks(ids: Sequence[int], size: int = 5000) -> Iterator[Sequence[int]]:
    """Cut ids into chunks of `size`; no ids are one empty chunk, so that a table is still made."""
    for start in range(0, max(1, len(ids)), size):
        yield ids[start : start + size]


def record_batch(rows: Iterable[Any], schema: pa.Schema) -> pa.RecordBatch:
    """Return rows, tuples in the order of `schema`, as one Arrow batch."""
    columns = zip(*rows, strict=True)
    arrays = [pa.array(c, type=f.type) for c, f in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause the garbage collector while millions of tuples are made, none of them in a cycle."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def registered_stream(
    duck: duckdb.DuckDBPyConnection, name: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]
) -> Iterator[None]:
    """Let DuckDB read a stream once as a table.

    Args:
        duck: the DuckDB session.
        name: the name of the table.
        schema: the schema of the batches.
        batches: the stream.

    Raises:
        Exception: what reading the stream raised, instead of DuckDB's own error.
    """
    errors: list[BaseException] = []

    def watched() -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except BaseException as error:
            errors.append(error)
            raise

    duck.register(name, pa.RecordBatchReader.from_batches(schema, watched()))
    try:
        yield
    except duckdb.Error:
        if errors:
            raise errors[0] from None
        raise
    finally:
        duck.unregister(name)


def _arrow(kind: TypeEngine[Any]) -> pa.DataType:
    if isinstance(kind, Text):
        return pa.string()
    if isinstance(kind, Double):
        return pa.float64()
    return pa.binary() if isinstance(kind, LargeBinary) else pa.int64()
