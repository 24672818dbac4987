"""PNG files of figures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from annoy_store.db.engine import Database
from annoy_store.errors import UsageError
from annoy_store.report import collect, write_png_files
from tests.support import populated_store

pytestmark = pytest.mark.slow_on("postgres")

AT = "2026-01-01 00:00 UTC"


def test_write_png_files_names_missing_packages(
    sqlite_store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    populated_store.fill(sqlite_store)
    drawn = collect(sqlite_store, AT, live=True).figures
    with pytest.raises(UsageError, match=r"pip install 'annoy-store\[report\]'"):
        write_png_files(tmp_path, drawn)
