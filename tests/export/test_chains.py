"""Chains: which are closed, and whose verdicts count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import (
    export_rows,
    jobs,
    variants,
    verdicts,
)
from annoy_store.errors import UsageError
from annoy_store.export.export import export
from annoy_store.export.filters import Selection
from annoy_store.export.request import ExportReport, ExportRequest
from tests.support import chains

pytestmark = pytest.mark.slow_on("postgres")

NAMES = ("ant", "bee", "cow")


@pytest.fixture
def filled(sqlite_store: Database) -> Database:
    """Of each animal: right at once (3 lines), repaired and wrong twice (40 lines)."""
    chains.fill(sqlite_store, NAMES)
    return sqlite_store


def count(store: Database, form: str = "codeio", **selection: Any) -> ExportReport:
    request = ExportRequest(form, Path("nowhere"), Selection(**selection), dry_run=True)
    return export(store, request)


def test_chains_are_closed_by_a_step_that_ended_badly(
    sqlite_store: Database, tmp_path: Path
) -> None:
    with sqlite_store.write() as connection:
        rows = chains.sampled("ant")
        tried = chains.chain(connection, chains.pairs_of(rows)[0], [("bad", "wrong")])
        insert_rows(connection, [*rows, *tried])
        variant = chains.verify_variant(connection)
    assert export(sqlite_store, ExportRequest("codeio", tmp_path / "1")).removed == {"open": 1}
    with sqlite_store.write() as connection:
        verdict = connection.scalar(select(verdicts.c.id))
        row = {"stage": "revise", "subject_id": verdict, "variant_id": variant}
        connection.execute(insert(jobs).values(**row, state="rejected", reason="too_long"))
    assert export(sqlite_store, ExportRequest("codeio", tmp_path / "2")).n_rows == 1


def test_chains_are_closed_as_the_view_says(store: Database, tmp_path: Path) -> None:
    chains.fill(store)
    with store.write() as connection:
        rows = chains.sampled("dog")
        pair, other = chains.pairs_of(rows)
        rows += chains.chain(connection, pair, [("open", "wrong")])
        rows += chains.chain(connection, other, [("open", "wrong"), ("not judged", None)])
        insert_rows(connection, rows)
    report = export(store, ExportRequest("codeio", tmp_path / "out"))
    with store.read() as connection:
        closed = connection.exec_driver_sql(
            "SELECT chain_id FROM v_chains WHERE closed = 1 ORDER BY 1"
        ).all()
        written = connection.execute(
            select(export_rows.c.chain_id).order_by(export_rows.c.chain_id)
        )
        assert [row[0] for row in closed] == list(written.scalars())
    assert report.removed == {"open": 2}


def test_chains_count_the_verdicts_of_an_older_checker_if_chosen(filled: Database) -> None:
    """The new one calls the first of the right answers wrong; what it judged not stays as it was."""
    before = count(filled, only="correct").n_rows
    with filled.write() as connection:
        old = chains.verify_variant(connection)
        right = select(verdicts.c.response_id).where(verdicts.c.status == "correct")
        answer = connection.scalars(right.order_by(verdicts.c.id).limit(1)).one()
        connection.execute(update(variants).values(active=0))
        insert_rows(connection, [chains.verdict(connection, answer, "wrong", "two")])
        new = chains.verify_variant(connection, "two")
    assert count(filled, only="correct").n_rows == before - 1
    assert count(filled, only="correct", judged_by=new).n_rows == before - 1
    assert count(filled, only="correct", judged_by=old).n_rows == before
    with pytest.raises(UsageError, match=f"no variant 99 of verify; there are: {old}, {new}"):
        count(filled, judged_by=99)
    with pytest.raises(UsageError, match="leave out --judged-by"):
        count(filled, "codeio_raw", judged_by=old)
