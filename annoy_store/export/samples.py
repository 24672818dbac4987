"""What samples there are, and their stable pairs: for formats that are about functions alone."""

from __future__ import annotations

import duckdb
from sqlalchemy import Connection, func, select

from annoy_store.db.duckdb_session import load_table
from annoy_store.db.tables import sample_origins, samples
from annoy_store.records.queries import current_pairs

_N_TURNS = 2  # a sample has none; the columns of `records` are those of chains of two


def load_samples(duck: duckdb.DuckDBPyConnection, connection: Connection) -> int:
    """Make the table `subjects` in DuckDB, a row per sample; closed when it has a stable pair.

    `has_unstable` marks one that has other pairs too.

    Imported samples come first, by their line in the file, then all others by their digest.

    Args:
        duck: DuckDB without such a table.
        connection: The snapshot of the store.

    Returns:
        The number of turns that the columns of `records` are made for.
    """
    pairs = current_pairs.c
    load_table(duck, "samples", connection, select(samples.c.id, samples.c.digest))
    checked = select(pairs.sample_id, pairs.input_digest, pairs.status)
    load_table(duck, "pairs", connection, checked)
    line, sample_id = sample_origins.c.line, sample_origins.c.sample_id
    first = select(sample_id, func.min(line).label("line")).where(line.is_not(None))
    load_table(duck, "lines", connection, first.group_by(sample_id))
    duck.execute("""
    CREATE TABLE subjects AS
    WITH held AS (SELECT sample_id, bool_or(status <> 'stable') AS has_unstable,
                         string_agg(input_digest, ',' ORDER BY input_digest)
                             FILTER (status = 'stable') AS inputs
                  FROM pairs GROUP BY sample_id)
    SELECT s.id AS subject_id, s.id AS sample_id, h.inputs IS NOT NULL AS closed,
           coalesce(h.has_unstable, false) AS has_unstable, NULL::VARCHAR AS removed,
           (coalesce(l.line, 4294967295)::UHUGEINT << 64) + (md5_number(s.digest) >> 64) AS place,
           left(sha256(concat_ws('/', 'sample', s.digest, h.inputs)), 32) AS state
    FROM samples s LEFT JOIN held h ON h.sample_id = s.id LEFT JOIN lines l ON l.sample_id = s.id
    """)
    duck.execute("DROP TABLE pairs; DROP TABLE samples; DROP TABLE lines")
    return _N_TURNS
