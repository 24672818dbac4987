"""Queries in a process with limits: the same rows, and no step that goes on for ever."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from annoy_store.analysis.bounded_query import run_bounded
from annoy_store.analysis.snapshot import query as snapshot
from annoy_store.analysis.snapshot.query import NotInSnapshot
from annoy_store.analysis.sql import run_query
from annoy_store.db.engine import Database
from annoy_store.errors import UsageError
from tests.support import populated_store

MIXED = (
    "SELECT 1 AS a, 'x' AS b, NULL AS c UNION ALL SELECT 2.5, 3, 1e308 * 10 "
    "UNION ALL SELECT -9223372036854775808, x'00ff', NULL"
)
NESTED = "SELECT [1, 2] AS l, 170141183460469231731687303715884105727::hugeint AS h, true AS t"


@pytest.fixture
def filled(store: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Database:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    populated_store.fill(store)
    return store


def bounded(store: Database, query: str, **options: object) -> list[tuple[object, ...]]:
    with run_bounded(store, query, **options) as found:  # type: ignore[arg-type]
        return [found.columns, *found.rows]


def test_run_bounded_returns_what_the_store_returns(filled: Database) -> None:
    for query in ("SELECT * FROM samples ORDER BY id", "SELECT * FROM verdicts ORDER BY id"):
        with run_query(filled, query) as found:
            direct = [found.columns, *found.rows]
        assert bounded(filled, query, live=True) == direct
        assert len(direct) > 1


@pytest.mark.slow_on("postgres")
def test_run_bounded_returns_what_the_snapshot_returns(filled: Database) -> None:
    for query in ("SELECT * FROM v_chains ORDER BY chain_id, prompt_1_id", NESTED):
        with snapshot.query(filled, query) as found:
            direct = [found.columns, *found.rows]
        assert bounded(filled, query) == direct


def test_run_bounded_keeps_the_type_of_every_value(sqlite_store: Database) -> None:
    rows = bounded(sqlite_store, MIXED, live=True)[1:]
    assert [type(v) for v in rows[0]] == [int, str, type(None)]
    assert rows[1] == (2.5, 3, float("inf"))
    assert rows[2] == (-(2**63), "00ff", None)


def test_run_bounded_streams_many_rows(sqlite_store: Database) -> None:
    query = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    with run_bounded(sqlite_store, query, live=True) as found:
        firsts = [next(found.rows)[0] for _ in range(2500)]
    assert firsts == list(range(1, 2501))


def test_run_bounded_raises_the_errors_of_a_query(sqlite_store: Database) -> None:
    with pytest.raises(NotInSnapshot, match="refcode is not in the snapshot"):
        bounded(sqlite_store, "SELECT refcode FROM samples")
    for live in (False, True):
        with pytest.raises(UsageError, match="list tables and columns with: annoy sql"):
            bounded(sqlite_store, "SELECT x FROM nowhere", live=live)
    with pytest.raises(UsageError, match="only reading"):
        bounded(sqlite_store, "DELETE FROM samples", live=True)


LONG_STEPS = {
    "sqlite": ("SELECT instr(hex(zeroblob(400000000)), 'x1')", True),
    "sqlite_like": ("SELECT hex(zeroblob(30000)) LIKE '%' || hex(zeroblob(20000)) || '_1%'", True),
    "duckdb_text": ("SELECT length(reverse(repeat('ab', 400000000)))", False),
    "duckdb_list": ("SELECT len(list_sort(range(0, 300000000)))", False),
    "duckdb_match": (
        "SELECT regexp_matches(repeat('a', 100000000) || 'b', '(a+)+(a+)+(a+)+c')",
        False,
    ),
}


@pytest.mark.parametrize("name", LONG_STEPS)
def test_run_bounded_ends_a_long_step(sqlite_store: Database, name: str) -> None:
    query, live = LONG_STEPS[name]
    if name == "sqlite_like":
        query = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) {query} FROM n"
    before = psutil.Process().children()
    with pytest.raises(UsageError, match=r"longer than 0.3 s|too much memory"):
        bounded(sqlite_store, query, live=live, seconds=0.3)
    assert psutil.Process().children() == before


@pytest.mark.parametrize(
    ("query", "live"),
    [
        ("SELECT length(repeat('x', 2000000000)) + length(repeat('y', 2000000000))", False),
        ("SELECT length(hex(zeroblob(900000000)))", True),
    ],
)
def test_run_bounded_limits_memory(sqlite_store: Database, query: str, live: bool) -> None:
    with pytest.raises(UsageError, match=r"memory|too big"):
        bounded(sqlite_store, query, live=live, memory_bytes=600 << 20)


def test_run_bounded_leaves_no_file_of_a_query_that_is_stopped(
    sqlite_store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(UsageError, match="longer than"):
        bounded(sqlite_store, "SELECT sum(a.i) FROM range(10000000000) a(i)", seconds=0.3)
    assert [path for path in tmp_path.iterdir() if path.name.startswith("annoy-")] == []


def test_run_bounded_works_below_a_limit_of_the_shell(sqlite_store: Database) -> None:
    code = (
        "import resource, sys; from annoy_store.db.engine import connect\n"
        "from annoy_store.analysis.bounded_query import run_bounded\n"
        "resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (60, 60))\n"
        "with run_bounded(connect(sys.argv[1]), 'SELECT 42') as found: print(list(found.rows))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(sqlite_store)], capture_output=True, text=True
    )
    assert done.stdout == "[(42,)]\n", done.stderr


def test_run_bounded_ends_with_its_parent(sqlite_store: Database) -> None:
    code = (
        "import sys; from annoy_store.db.engine import connect\n"
        "from annoy_store.analysis.bounded_query import run_bounded\n"
        "slow = 'SELECT sum(i) FROM range(100000000000) t(i)'\n"
        "print('go', flush=True)\n"
        "with run_bounded(connect(sys.argv[1]), slow) as found: list(found.rows)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(sqlite_store)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    parent.stdout.readline()
    while not (children := psutil.Process(parent.pid).children()):
        time.sleep(0.02)
    while children[0].memory_info().rss < 80 << 20:  # it has begun to import
        time.sleep(0.02)
    parent.kill()
    parent.communicate()
    assert psutil.wait_procs(children, timeout=10)[1] == []
