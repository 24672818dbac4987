"""What is read of a subject on demand."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import insert

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import takedowns
from annoy_store.export.export import export
from annoy_store.export.filters import Selection
from annoy_store.export.request import ExportRequest
from tests.support import chains, factories


def test_attributes_take_a_licence_only_from_origins_not_taken_down(
    store: Database, tmp_path: Path
) -> None:
    """A file found twice, once under a licence that was taken down since."""
    with store.write() as connection:
        rows = chains.sampled("ant", licence="gpl-3.0")
        source = rows[0].values["source_id"]
        rows.append(factories.origin(source, "other/repo", licence="mit"))
        rows += chains.chain(connection, chains.pairs_of(rows)[0], [("yes", "correct")])
        insert_rows(connection, rows)

    def rows_under(licence: str) -> int:
        chosen = Selection(licences=(licence,))
        request = ExportRequest("codeio", tmp_path / "out", chosen, dry_run=True)
        return export(store, request).n_rows

    assert (rows_under("mit"), rows_under("gpl-3.0")) == (1, 1)
    with store.write() as connection:
        rule = {"kind": "licence", "value": "MIT", "why": "", "created_at": factories.NOW}
        rule |= {"digest": "mit"}
        connection.execute(insert(takedowns).values(**rule))
    assert (rows_under("mit"), rows_under("gpl-3.0")) == (0, 1)
