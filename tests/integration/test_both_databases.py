"""Commands that show figures show the same of equal content on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import update

from annoy_store.db.engine import Database
from annoy_store.db.tables import variants
from annoy_store.db.views import VIEWS
from annoy_store.export.format_file import bundled_formats
from commands import annoy
from tests.support import chains, populated_store
from tests.support.marks import mark_some

FIGURES = [
    ("status",),
    ("plan",),
    ("plan", "max_turns=3"),
    ("plan", "max_turns=4", "pairs_per_sample=5", "-m", "paid"),
    ("plan", "tolerance=0.5", "samples_per_prompt=3", "--rerun", "verify", "--rerun", "generate"),
    ("failures",),
    ("rerun", "generate", "--dry-run"),
    ("export", "codeio", "nowhere", "--dry-run", "--pass-rate", "0.1..0.9", "--lines", "8.."),
    (
        "sql",
        "--live",
        "SELECT SUM(n_chars) AS a, AVG(n_chars) AS b, MAX(n_chars) / 7 AS c FROM responses",
    ),
]
MORE = [
    ("policy",),
    ("rerun", "verify", "--where", "number = 2", "--dry-run"),
    ("reverify", "--dry-run"),
    ("verdict-changes",),
    ("exports",),
    ("show", "response:1"),
    ("note",),
    ("takedown", "--list"),
    *(("sql", "--live", f"SELECT * FROM {view.name}") for view in VIEWS),
    *(("export", form, "nowhere", "--dry-run") for form in bundled_formats()),
]
VARYING = {"store", "now", "at", "created_at", "size", "bytes", "url", "file", "teacher_id"}


@pytest.fixture
def both(
    sqlite_store: Database,
    postgres_store: Database,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> list[Database]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for store in (sqlite_store, postgres_store):
        populated_store.fill(store, 2)
        chains.add_siblings(store)
        with store.write() as connection:
            connection.execute(update(variants).values(description="{}"))
            mark_some(connection)
    return [sqlite_store, postgres_store]


def figures(store: Database, command: tuple[str, ...]) -> Any:
    """What a command shows as JSON, without what is no figure: names, times, ids of teachers."""
    url = store.url.render_as_string(hide_password=False)
    result = CliRunner().invoke(annoy, ["--store", url, *command, "--json"], prog_name="annoy")
    if result.exit_code:
        return result.exit_code, result.stderr
    shown = json.loads(result.stdout, object_hook=_plain, parse_float=_rounded)
    return sorted(shown, key=repr) if command[0] == "sql" else shown


def _plain(shown: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in shown.items() if key not in VARYING}


def _rounded(digits: str) -> str:
    """A sum of floats depends on their order in its last digits."""
    return f"{float(digits):.9g}"


def assert_equal_on_both(both: list[Database], commands: list[Any]) -> None:
    different = {}
    for command in commands:
        one, other = (figures(store, command) for store in both)
        if repr(one) != repr(other):
            different[" ".join(command)] = (one, other)
    assert not different


def test_figures_are_equal_on_both_databases(both: list[Database]) -> None:
    assert_equal_on_both(both, FIGURES)


@pytest.mark.slow
def test_all_that_commands_show_is_equal_on_both_databases(both: list[Database]) -> None:
    assert_equal_on_both(both, MORE)
