"""The counts of the dataset card, and the check that splits are apart."""

from __future__ import annotations

import duckdb
import pytest

from annoy_store.db.engine import Database
from annoy_store.errors import AnnoyError
from annoy_store.export.format_file import load_format
from annoy_store.export.statistics import compute_statistics

CANDIDATES = """
CREATE TABLE candidates AS
SELECT * FROM (VALUES ('train', ['mit'], 1, 1, 'a'), ('test', ['mit'], 2, 2, {cluster}),
                      ('train', NULL, 3, NULL, NULL))
    v(split, licences, sample_id, source_id, cluster)
"""


def test_statistics_count_the_candidates(sqlite_store: Database) -> None:
    with duckdb.connect() as duck, sqlite_store.read() as connection:
        duck.execute(CANDIDATES.format(cluster="'b'"))
        counts = compute_statistics(duck, connection, load_format("codeio_raw"))
    assert list(counts["rows"].items()) == [("train", 2), ("test", 1)]
    assert counts["licences"] == {"mit": 2, "unknown": 1}
    assert (counts["samples"], counts["sources"]) == (3, 2)
    assert counts["clusters"] == {"train": 1, "test": 1}
    assert counts["shared"] == {"cluster": 0, "sample_id": 0, "source_id": 0}


def test_statistics_refuse_splits_that_share_a_cluster(sqlite_store: Database) -> None:
    with duckdb.connect() as duck, sqlite_store.read() as connection:
        duck.execute(CANDIDATES.format(cluster="'a'"))
        with pytest.raises(AnnoyError, match=r"splits leak: \{'cluster': 1, .*nothing was written"):
            compute_statistics(duck, connection, load_format("codeio_raw"))
