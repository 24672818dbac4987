"""What samples there are, and the pairs that hold: for formats that are about functions alone."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
from sqlalchemy import BigInteger, Connection, Select, Text, column, func, select, table

from annoy_store.database import among
from annoy_store.duck import pour
from annoy_store.tables import sample_origins, samples

_current_pairs = table(
    "v_current_pairs", column("sample_id", BigInteger), column("position", BigInteger),
    column("input_digest", Text), column("status", Text), column("input", Text),
    column("output", Text),
)  # fmt: skip


def stable_pairs(connection: Connection, sample_ids: Sequence[int]) -> Select[int, str, str, str]:
    """Sample id, input, output and the input's digest of pairs that hold, by sample, in order."""
    pairs = _current_pairs.c
    return (
        select(pairs.sample_id, pairs.input, pairs.output, pairs.input_digest)
        .where(among(connection, pairs.sample_id, sample_ids), pairs.status == "stable")
        .order_by(pairs.sample_id, pairs.position, pairs.input_digest)
    )


def gather_samples(duck: duckdb.DuckDBPyConnection, connection: Connection) -> None:
    """Make the table `subjects` in DuckDB, a row per sample; closed when it has a stable pair.

    Imported samples come first, by their line in the file, then all others by their digest.
    """
    pairs = _current_pairs.c
    pour(duck, "samples", connection, select(samples.c.id, samples.c.digest))
    held = select(pairs.sample_id, pairs.input_digest).where(pairs.status == "stable")
    pour(duck, "pairs", connection, held)
    line, its = sample_origins.c.line, sample_origins.c.sample_id
    first = select(its, func.min(line).label("line")).where(line.is_not(None)).group_by(its)
    pour(duck, "lines", connection, first)
    duck.execute("""
    CREATE TABLE subjects AS
    WITH held AS (SELECT sample_id, string_agg(input_digest, ',' ORDER BY input_digest) AS inputs
                  FROM pairs GROUP BY sample_id)
    SELECT s.id AS subject_id, s.id AS sample_id, h.inputs IS NOT NULL AS closed,
           NULL::VARCHAR AS removed, (coalesce(l.line, 4294967295)::UHUGEINT << 64) + (md5_number(s.digest) >> 64) AS place,
           left(sha256(concat_ws('/', 'sample', s.digest, h.inputs)), 32) AS state
    FROM samples s LEFT JOIN held h ON h.sample_id = s.id LEFT JOIN lines l ON l.sample_id = s.id
    """)
    duck.execute("DROP TABLE pairs; DROP TABLE samples; DROP TABLE lines")
