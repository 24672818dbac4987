"""Functions are linked to their raw files in the transaction that writes these."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from annoy_store.db.engine import Database
from annoy_store.db.hidden import hidden_ids
from annoy_store.db.tables import sample_origins
from annoy_store.ingest.codeio.importer import import_files
from annoy_store.ingest.sources import IngestOptions, ingest
from annoy_store.ingest.takedowns import take_down
from annoy_store.records.digests import source_digest
from tests.support import factories
from tests.support.codeio_rows import RAW, function, lines

pytestmark = pytest.mark.slow_on("postgres")


def sources_of_functions(store: Database) -> list[int | None]:
    with store.read() as connection:
        chosen = select(sample_origins.c.source_id).order_by(sample_origins.c.id)
        return list(connection.scalars(chosen))


@pytest.mark.parametrize("named", ["blob_id", "source_digest"])
def test_function_links_are_made_with_the_source(
    store: Database, tmp_path: Path, named: str
) -> None:
    name = "b1" if named == "blob_id" else source_digest("python", RAW)
    lines(tmp_path / "functions.jsonl", [function(meta={named: name}), function("x = 1\n")])
    import_files(store, [tmp_path / "functions.jsonl"])
    assert sources_of_functions(store) == [None, None]
    with store.write() as connection:
        factories.write_all(connection, [factories.origin(factories.source("2"), "bad")])
        take_down(connection, "repo", "bad", "asked")
    lines(tmp_path / "raw.jsonl", [{"content": RAW, "repo": "bad", "blob_id": "b1"}])
    ingest(store, [tmp_path / "raw.jsonl"], IngestOptions())  # nothing follows, as after a kill
    assert sources_of_functions(store) == [None, None, 2]
    with store.read() as connection:
        assert len(hidden_ids(connection)["sample"]) == 1
