"""Read-only queries run on both databases; everything else is rejected."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from annoy_store.analysis.sql import describe, run_query
from annoy_store.db.engine import Database
from annoy_store.db.tables import metadata, sources
from annoy_store.db.views import VIEWS
from annoy_store.errors import UsageError
from tests.support import factories as make

pytestmark = pytest.mark.slow_on("postgres")


@pytest.fixture
def filled(store: Database) -> Database:
    with store.write() as connection:
        make.write_all(connection, [make.source(f"x = {i} # 100%") for i in range(5)])
    return store


def ask(store: Database, query: str, **values: Any) -> list[tuple[Any, ...]]:
    with run_query(store, query, values) as found:
        return [tuple(row) for row in found.rows]


def rows(store: Database) -> int:
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(sources)) or 0


def test_run_query_returns_columns_and_rows(filled: Database) -> None:
    with run_query(
        filled, "SELECT n_chars AS n, content FROM sources ORDER BY content LIMIT 2;"
    ) as found:
        assert found.columns == ("n", "content")
        assert list(found.rows) == [(12, "x = 0 # 100%"), (12, "x = 1 # 100%")]


def test_run_query_binds_named_values(filled: Database) -> None:
    query = "SELECT content FROM sources WHERE content > :low AND content LIKE :like ORDER BY 1"
    assert ask(filled, query, low="x = 3", like="%#%") == [("x = 3 # 100%",), ("x = 4 # 100%",)]


def test_run_query_ignores_colons_in_strings(filled: Database) -> None:
    query = "SELECT ' :a 50% ' || n_chars FROM sources WHERE id = :i"
    assert ask(filled, query, i=1) == [(" :a 50% 12",)]


def test_run_query_returns_numbers_as_numbers(filled: Database) -> None:
    ((total, mean),) = ask(filled, "SELECT SUM(n_chars), AVG(n_chars) FROM sources")
    assert (total, type(total), float(mean)) == (60, int, 12.0)


def test_run_query_streams_rows(filled: Database) -> None:
    query = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT i FROM n"
    with run_query(filled, query) as found:
        assert next(found.rows)[0] == 1


WRITES = [
    "DELETE FROM sources",
    "UPDATE sources SET content = 'x'",
    "INSERT INTO policies VALUES ('a', 'b', 'c')",
    "DROP TABLE sources",
    "CREATE TABLE t (x integer)",
    "CREATE TEMP TABLE t (x integer)",
    "SELECT 1; DELETE FROM sources",
    "SELECT 1; SELECT 2",
    "WITH gone AS (DELETE FROM sources RETURNING id) SELECT * FROM gone",
    "BEGIN",
    "COMMIT",
    "COMMIT; DELETE FROM sources",
    "VACUUM",
    "ATTACH 'other.db' AS other",
    "VACUUM INTO 'other.db'",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA writable_schema = ON",
    "PRAGMA query_only = OFF",
    "SELECT load_extension('x')",
    "SELECT writefile('other.db', 'x')",
    "COPY sources TO '/tmp/annoy-copied'",
    "COPY (SELECT 1) TO PROGRAM 'touch other.db'",
    "COPY sources FROM PROGRAM 'touch other.db'",
    "SELECT * INTO other FROM sources",
    "SELECT nextval('sources_id_seq')",
    "SELECT pg_terminate_backend(1)",
    "SELECT lo_import('/etc/passwd')",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT set_config('role', 'none', false)",
    "SELECT query_to_xml('DELETE FROM sources', true, true, '')",
    "SELECT * FROM sources FOR UPDATE",
    "SELECT * FROM ts_stat('SELECT to_tsvector(pg_sl' || 'eep(1)::text)')",
    "SELECT * FROM ts_stat('SELECT to_tsvector(set_con' || 'fig(''role'', ''none'', true))')",
    "SELECT ts_rewrite('a'::tsquery, 'SELECT ''a''::tsquery, ''b''::tsquery')",
    "SELECT * FROM crosstab('SELECT 1, 2, 3') AS t (a int, b int)",
    "SELECT pg_catalog.\"pg_backup_start\"('x')",
    "SELECT pg_current_xact_id()",
    "SELECT setval('sources_id_seq', 1)",
    "SELECT lowrite(1, 'x')",
    "SELECT rolpassword FROM pg_authid",
    "SELECT passwd FROM pg_shadow",
    "SELECT dblink('host=example.com', 'SELECT 1')",
    "SELECT pg_notify('a', 'b')",
    "SELECT U&'\\0070g_sleep'",
    "SELECT 1 INTO other",
    "SELECT * FROM sources FOR SHARE",
    "SELECT readfile('/etc/passwd')",
    "SELECT fts3_tokenizer('x', x'00')",
    "SELECT * FROM sqlite_dbpage",
    "CREATE VIRTUAL TABLE t USING fts5(x)",
    "REPLACE INTO policies VALUES ('a', 'b', 'c')",
    "SAVEPOINT x",
    "DETACH main",
    "PRAGMA temp_store_directory = '/tmp'",
    "EXPLAIN DELETE FROM sources",
    "SET TRANSACTION READ WRITE",
    "RESET ROLE",
    "DO $$ BEGIN DELETE FROM sources; END $$",
    "CALL nothing()",
    "LOCK TABLE sources",
    "EXPLAIN ANALYZE DELETE FROM sources",
    "NOTIFY x",
    "",
    " ; ",
    "-- nothing",
    "nonsense",
]


def test_run_query_rejects_writing_statements(filled: Database, tmp_path: Path) -> None:
    before = _files(tmp_path)
    for query in WRITES:
        with pytest.raises(UsageError) as refused:
            ask(filled, query)
        assert "\n" not in str(refused.value)
        assert rows(filled) == 5, query
        assert _files(tmp_path) == before, query
    assert not Path("/tmp/annoy-copied").exists()


def _files(folder: Path) -> list[str]:
    """List a folder without the log that any reader of the store may create."""
    return sorted(path.name for path in folder.iterdir() if "-" not in path.name)


def test_run_query_on_a_server_has_no_superuser_rights(postgres_store: Database) -> None:
    ((user, superuser),) = ask(
        postgres_store, "SELECT current_user, current_setting('is_superuser')"
    )
    assert (user, superuser) == ("pg_read_all_data", "off")


def test_run_query_on_a_server_allows_reading_functions(postgres_store: Database) -> None:
    assert ask(postgres_store, "SELECT random() < 2, pg_table_size('sources') >= 0") == [
        (True, True)
    ]
    names = {c.name for t in metadata.sorted_tables for c in t.columns} | {v.name for v in VIEWS}
    for name in sorted(names | set(metadata.tables)):
        assert ask(postgres_store, f'SELECT 1 AS "{name}"') == [(1,)]
    for view in VIEWS:
        ask(postgres_store, view.example)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.sampled_from([*" ".join(WRITES[:16]).split(), ";", "SELECT"]), max_size=9))
def test_run_query_never_changes_a_file(sqlite_store: Database, words: list[str]) -> None:
    path = sqlite_store.path
    assert path is not None
    before = path.read_bytes()
    with contextlib.suppress(UsageError):
        ask(sqlite_store, " ".join(words))
    assert path.read_bytes() == before


MISTAKES = {
    "SELECT * FROM nowhere": "list tables and columns with: annoy sql",
    "SELECT nowhat FROM sources": "list tables and columns with: annoy sql",
    "SELECT * FROM sources WHERE id = :i": "",
    "SELEC 1": "SQL",
}


def test_run_query_reports_mistakes_in_one_line(store: Database) -> None:
    for query, words in MISTAKES.items():
        with pytest.raises(UsageError) as refused:
            ask(store, query)
        assert words in str(refused.value)
        assert "\n" not in str(refused.value)


def test_run_query_stops_at_its_time_limit(store: Database) -> None:
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"
    )
    with (
        pytest.raises(UsageError, match=r"took longer than 0\.2 s"),
        run_query(store, endless, {}, 0.2) as found,
    ):
        list(found.rows)


def test_run_query_works_in_a_read_only_folder(sqlite_store: Database, tmp_path: Path) -> None:
    """Run as another user, because root may write everywhere."""
    sqlite_store.close()
    path = tmp_path / "store.db"
    for beside in ("store.db-wal", "store.db-shm"):
        (tmp_path / beside).unlink(missing_ok=True)
    code = (
        "import os\nfrom annoy_store.db.engine import connect\n"
        "from annoy_store.analysis.sql import run_query\nimport sqlalchemy.dialects.sqlite\n"
        "os.setuid(65534)\n"
        f"with run_query(connect('sqlite:///{path}'), 'SELECT COUNT(*) FROM sources') as found:\n"
        "    print(list(found.rows))"
    )
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    for folder in (p for p in (tmp_path, *tmp_path.parents) if "pytest-" in str(p)):
        folder.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert (done.stdout.strip(), done.stderr) == ("[(0,)]", "")


def test_describe_lists_every_table_and_view(store: Database) -> None:
    listed = {d.name: d for d in describe(store)}
    assert listed.keys() == {v.name for v in VIEWS} | set(metadata.tables)
    assert all(d.meaning and d.columns for d in listed.values())
    assert listed["v_funnel"].columns == ("stage", "state", "jobs")


def test_views_have_examples_that_run(store: Database) -> None:
    for view in VIEWS:
        ask(store, view.example)


def test_run_query_sees_one_moment(sqlite_store: Database) -> None:
    with sqlite_store.write() as connection:
        make.write_all(connection, [make.source(f"x = {i}") for i in range(2000)])
    with run_query(sqlite_store, "SELECT id FROM sources ORDER BY id") as found:
        next(found.rows)
        with sqlite_store.write() as connection:
            connection.execute(text("UPDATE sources SET n_chars = 0"))
            make.write_all(connection, [make.source("late")])
        assert len(list(found.rows)) == 1999


@pytest.mark.parametrize(
    ("query", "near"),
    [("SELECT * FROM v_chain", "v_chains"), ("SELECT stauts FROM jobs", "status")],
)
def test_run_query_suggests_a_name_that_is_near(store: Database, query: str, near: str) -> None:
    near_by = rf"\(did you mean {near}\?\); list tables"
    with pytest.raises(UsageError, match=near_by), run_query(store, query) as found:
        list(found.rows)
