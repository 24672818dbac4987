"""An archived store: SQLite on storage that is mounted read-only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from annoy_store.db.engine import Database
from tests.support import populated_store

ROOT = Path(__file__).parents[2]


def annoy(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "annoy_store", "--store", str(folder / "store.db"), *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder.parent / "cache")},
        capture_output=True,
        text=True,
    )


def test_an_archived_store_answers(
    sqlite_store: Database, tmp_path: Path, read_only: Callable[[Path], None]
) -> None:
    populated_store.fill(sqlite_store)
    sqlite_store.close()
    folder = tmp_path / "archive"
    folder.mkdir()
    assert sqlite_store.path is not None
    os.rename(sqlite_store.path, folder / "store.db")
    read_only(folder)
    for command in (
        ("status",),
        ("sql", "SELECT COUNT(*) FROM samples"),
        ("sql", "--live", "SELECT COUNT(*) FROM samples"),
        ("show", "sample:1"),
        ("failures",),
        ("plan",),
        ("exports",),
    ):
        done = annoy(folder, *command)
        assert done.returncode == 0, (command, done.stderr)
        assert "annoy:" not in done.stderr
    done = annoy(folder, "export", "messages", str(tmp_path / "out"), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["rows"] > 0
    assert report["export"] is None
    assert any("not recorded" in warning for warning in report["warnings"])
    done = annoy(folder, "policy", "tolerance=0.5")
    assert done.returncode == 1
    assert "read-only: copy it" in done.stderr
