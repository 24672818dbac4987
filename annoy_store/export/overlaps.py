"""Whether the records of an export were compared with benchmarks, where overlaps are left out."""

from __future__ import annotations

import shlex
from typing import Any

import duckdb
from sqlalchemy import Connection, Row, Select, or_, select

from annoy_store.db.duckdb_session import load_table
from annoy_store.db.tables import benchmark_comparisons, io_pairs, sample_origins, samples
from annoy_store.errors import UsageError

_COMMAND = "annoy decontaminate"


def require_comparison(duck: duckdb.DuckDBPyConnection, connection: Connection) -> None:
    """Check that a benchmark was compared, and every one with all records.

    Args:
        duck: DuckDB with the view `candidates` that the filters left.
        connection: The snapshot of the store.

    Raises:
        UsageError: If there was no comparison, or some sample, its source or one of its pairs is
            newer than one.
    """
    compared = connection.execute(select(benchmark_comparisons)).all()
    if not compared:
        raise UsageError(
            "--exclude-overlaps: no benchmark was compared with this store yet, so no overlap is "
            f"known; first: {_COMMAND} FILE.."
        )
    newer = {one.benchmark: _count_newer(duck, connection, one) for one in compared}
    missing = {name: n for name, n in sorted(newer.items()) if n}
    if missing:
        counts = ", ".join(f"{n:,} with {name}" for name, n in missing.items())
        files = shlex.join(missing)
        raise UsageError(
            "--exclude-overlaps: samples that came after the comparison were not compared "
            f"({counts}); first: {_COMMAND} {files}"
        )


def _count_newer(duck: duckdb.DuckDBPyConnection, connection: Connection, one: Row[Any]) -> int:
    """Count the samples of candidates that a comparison did not see as they are now."""
    load_table(duck, "newer", connection, _newer_samples(one))
    query = "SELECT count(DISTINCT sample_id) FROM candidates WHERE sample_id IN (FROM newer)"
    found = duck.execute(query).fetchall()[0][0]
    duck.execute("DROP TABLE newer")
    return int(found)


def _newer_samples(one: Row[Any]) -> Select[Any]:
    """The samples that are newer than a comparison, or of which a source or a pair is."""
    by_source = select(sample_origins.c.sample_id).where(sample_origins.c.source_id > one.source_id)
    by_pair = select(io_pairs.c.sample_id).where(io_pairs.c.id > one.io_pair_id)
    newer = samples.c.id > one.sample_id
    return select(samples.c.id).where(
        or_(newer, samples.c.id.in_(by_source), samples.c.id.in_(by_pair))
    )
