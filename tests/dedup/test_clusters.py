"""Clusters of near-duplicates: what is joined, and what is never joined."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import clusters, samples, signatures, sources
from annoy_store.dedup.clusters import cluster
from tests.support import chains
from tests.support import factories as rows
from tests.support.near_duplicates import CODE

pytestmark = pytest.mark.slow_on("postgres")


def named(store: Database) -> dict[str, str]:
    """The cluster of every source and sample, by its digest."""
    with store.read() as connection:
        found = {}
        for kind, table in (("source", sources), ("sample", samples)):
            joined = select(table.c.digest, clusters.c.cluster).join(
                clusters, (clusters.c.subject_id == table.c.id) & (clusters.c.kind == kind)
            )
            found |= {row.digest: row.cluster for row in connection.execute(joined)}
        return found


def test_cluster_puts_a_sample_with_its_source(store: Database) -> None:
    chains.fill(store, ["ant", "bee"])
    report = cluster(store)
    assert (report.subjects, report.signed, report.clusters, report.largest) == (4, 4, 2, 2)
    groups = named(store)
    assert all(name in groups for name in groups.values())  # a member's digest is the name


def test_cluster_joins_near_files_and_near_refcodes(store: Database) -> None:
    near = CODE.replace("# add everything up", "")
    with store.write() as connection:
        insert_rows(connection, [rows.source(CODE), rows.source(near), *chains.sampled("ant")])
        insert_rows(connection, [*chains.sampled("bee", code=CODE)])
    assert cluster(store).clusters == 2  # both files, bee's source and sample; ant's


def test_cluster_computes_only_missing_signatures(store: Database) -> None:
    chains.fill(store, ["ant"])
    first = cluster(store)
    before = named(store)
    assert cluster(store) == type(first)(2, 0, 1, 2, 0)
    chains.fill(store, ["bee"])
    assert cluster(store).signed == 2
    assert before.items() <= named(store).items()
    with store.read() as connection:
        assert len(connection.execute(select(signatures)).all()) == 4


def test_cluster_keeps_empty_texts_apart(store: Database) -> None:
    with store.write() as connection:
        insert_rows(connection, [rows.source(" "), rows.source("\n\n")])
    assert cluster(store).clusters == 2
