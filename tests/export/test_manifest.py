"""The manifest: what an export says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlalchemy import select

from annoy_store.db.engine import Database
from annoy_store.db.tables import exports
from annoy_store.export.export import export
from annoy_store.export.file_options import FileOptions
from annoy_store.export.filters import Selection
from annoy_store.export.request import ExportRequest
from tests.support import chains


def manifest_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "export.json").read_text()))


def test_manifest_names_the_options_that_are_not_defaults(
    sqlite_store: Database, tmp_path: Path
) -> None:
    chains.fill(sqlite_store, ["ant"])
    selection = Selection(only="all", lines=(1, None), turns=(1, 2))
    options = FileOptions(compression="gzip")
    request = ExportRequest("codeio", tmp_path / "out", selection, options, threads=2)
    report = export(sqlite_store, request)
    chosen = {"only": "all", "lines": [1, None], "turns": [1, 2], "compression": "gzip"}
    manifest = manifest_of(tmp_path / "out")
    assert manifest["options"] == chosen
    with sqlite_store.read() as connection:
        row = connection.execute(select(exports)).one()
    assert json.loads(row.filter) == chosen
    assert json.loads(row.files) == manifest["files"]
    assert (row.digest, row.id) == (manifest["digest"], report.export_id)


def test_manifest_digest_covers_the_parent(sqlite_store: Database, tmp_path: Path) -> None:
    chains.fill(sqlite_store, ["ant"])
    export(sqlite_store, ExportRequest("codeio", tmp_path / "1"))
    chains.fill(sqlite_store, ["bee"])
    new = Selection(where="repo = 'team/bee'")
    export(sqlite_store, ExportRequest("codeio", tmp_path / "2", new, since="last"))
    export(sqlite_store, ExportRequest("codeio", tmp_path / "3", new))
    second, third = manifest_of(tmp_path / "2"), manifest_of(tmp_path / "3")
    assert second["files"] == third["files"]
    assert (second["parent"] is None, third["parent"]) == (False, None)
    assert second["digest"] != third["digest"]
