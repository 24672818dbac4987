"""The subjects of formats that are about functions alone."""

from __future__ import annotations

import duckdb
from sqlalchemy import update

from annoy_store.db.engine import Database
from annoy_store.db.tables import io_pairs, pair_checks
from annoy_store.export.samples import load_samples
from tests.support import chains


def test_samples_are_closed_when_they_have_a_stable_pair(store: Database) -> None:
    chains.fill(store, ["ant", "bee"])
    with store.write() as connection:
        own = io_pairs.select().with_only_columns(io_pairs.c.id).where(io_pairs.c.sample_id == 1)
        unstable = update(pair_checks).where(pair_checks.c.io_pair_id.in_(own))
        connection.execute(unstable.values(status="unstable"))
    with duckdb.connect() as duck, store.read() as connection:
        assert load_samples(duck, connection) == 2
        query = "SELECT subject_id, closed, removed FROM subjects ORDER BY 1"
        assert duck.execute(query).fetchall() == [(1, False, None), (2, True, None)]
