"""The export that a new one adds to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from annoy_store.db.engine import Database
from annoy_store.errors import UsageError
from annoy_store.export.export import export
from annoy_store.export.request import ExportReport, ExportRequest
from tests.support import chains


def add(store: Database, folder: Path, form: str = "codeio", **options: Any) -> ExportReport:
    return export(store, ExportRequest(form, folder, since="last", **options))


def test_parents_must_exist_and_be_of_the_same_format(
    sqlite_store: Database, tmp_path: Path
) -> None:
    chains.fill(sqlite_store, ["ant"])
    with pytest.raises(UsageError, match="there is no export 'last' of codeio to add to"):
        add(sqlite_store, tmp_path / "1")
    first = export(sqlite_store, ExportRequest("messages", tmp_path / "2"))
    with pytest.raises(UsageError, match="is in format messages, not codeio"):
        export(sqlite_store, ExportRequest("codeio", tmp_path / "3", since=str(first.digest)[:8]))
