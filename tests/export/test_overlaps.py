"""Overlaps are left out only of what was compared with a benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import insert, select

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import io_pairs, sample_origins, samples
from annoy_store.dedup.decontaminate import decontaminate
from annoy_store.errors import UsageError
from annoy_store.export.export import export
from annoy_store.export.filters import Selection
from annoy_store.export.request import ExportReport, ExportRequest
from tests.support import chains, factories

pytestmark = pytest.mark.slow_on("postgres")


def without_overlaps(store: Database, where: str | None = None) -> ExportReport:
    selection = Selection(exclude_overlaps=True, where=where)
    return export(store, ExportRequest("codeio", Path("nowhere"), selection, dry_run=True))


def compare(store: Database, tmp_path: Path, *names: str) -> None:
    for name in names:
        (tmp_path / name).write_text('{"text": "Nothing in common."}\n')
    decontaminate(store, [tmp_path / name for name in names])


def test_overlaps_are_unknown_without_a_comparison(store: Database, tmp_path: Path) -> None:
    chains.fill(store, ["ant"])
    with pytest.raises(UsageError, match=r"no benchmark was compared.*annoy decontaminate FILE"):
        without_overlaps(store)
    compare(store, tmp_path, "b.jsonl")
    assert without_overlaps(store).n_rows == 3


def test_overlaps_are_unknown_of_what_is_newer_than_a_comparison(
    store: Database, tmp_path: Path
) -> None:
    chains.fill(store, ["ant"])
    compare(store, tmp_path, "a b.jsonl", "c.jsonl")
    chains.fill(store, ["bee"])
    compare(store, tmp_path, "c.jsonl")
    with pytest.raises(UsageError, match=r"1 with a b.jsonl\); first: annoy decontaminate 'a b"):
        without_overlaps(store)
    compare(store, tmp_path, "a b.jsonl")
    assert without_overlaps(store).n_rows == 6


@pytest.mark.parametrize("what", ["pair", "source"])
def test_overlaps_are_unknown_of_an_old_sample_with_a_new_part(
    sqlite_store: Database, tmp_path: Path, what: str
) -> None:
    store = sqlite_store
    chains.fill(store, ["ant"])
    compare(store, tmp_path, "b.jsonl")
    with store.write() as connection:
        sample = connection.scalar(select(samples.c.id))
        if what == "pair":
            row = {"sample_id": sample, "position": 9, "input_digest": "new", "seed": 1}
            connection.execute(insert(io_pairs).values(**row, input="{}", output="1"))
        else:
            [source] = insert_rows(connection, [factories.source("new = 1\n")])["sources"]
            row = {"digest": "new", "sample_id": sample, "source_id": source}
            connection.execute(insert(sample_origins).values(**row))
    with pytest.raises(UsageError, match="not compared"):
        without_overlaps(store)


def test_overlaps_of_what_a_filter_leaves_out_need_not_be_known(
    sqlite_store: Database, tmp_path: Path
) -> None:
    """Sources that nothing was made of yet are no reason either."""
    chains.fill(sqlite_store, ["ant"])
    compare(sqlite_store, tmp_path, "b.jsonl")
    with sqlite_store.write() as connection:
        insert_rows(connection, [factories.source("later = 1\n")])
    assert without_overlaps(sqlite_store).n_rows == 3
