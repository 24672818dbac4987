"""The export log: rows of every export, and the way back to their sources."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import func, select

from annoy_store.db.engine import Database
from annoy_store.db.tables import (
    export_rows,
    exports,
    io_pairs,
    retractions,
    turns,
)
from annoy_store.export.export import export
from annoy_store.export.request import ExportRequest
from tests.support import chains


def test_export_log_holds_every_row(store: Database, tmp_path: Path) -> None:
    chains.fill(store)
    report = export(store, ExportRequest("codeio", tmp_path / "out"))
    with store.read() as connection:
        entered = connection.execute(select(exports)).one()
        rows = connection.execute(select(export_rows).order_by(export_rows.c.position)).all()
    assert (entered.id, entered.n_rows) == (report.export_id, 9)
    assert entered.published_at is not None
    assert [row.position for row in rows] == list(range(9))
    assert len({row.chain_id for row in rows}) == 9
    assert all(re.fullmatch("[0-9a-f]{32}", row.digest) for row in rows)


def test_export_log_leads_from_a_row_to_its_source(store: Database, tmp_path: Path) -> None:
    chains.fill(store, ["ant"])
    export(store, ExportRequest("codeio", tmp_path / "1"))
    with store.read() as connection:
        paths = connection.exec_driver_sql(
            "SELECT DISTINCT l.repo, l.path, l.licence FROM export_rows e "
            "JOIN v_lineage l ON l.chain_id = e.chain_id"
        ).all()
        assert [tuple(row) for row in paths] == [("team/ant", "ant.py", "mit")]
        assert connection.scalar(select(func.count()).select_from(retractions)) == 0
        assert connection.scalar(select(func.count()).select_from(turns.join(io_pairs))) == 5
