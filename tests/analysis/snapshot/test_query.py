"""The snapshot gives the results of the store, follows its changes, and only reads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlalchemy import delete, insert, text, update

from annoy_store.analysis.snapshot import parts
from annoy_store.analysis.snapshot.parts import load
from annoy_store.analysis.snapshot.query import execute, open_snapshot, query, snapshot_folder
from annoy_store.analysis.snapshot.refresh import refresh
from annoy_store.analysis.snapshot.schema import OMITTED_COLUMNS, SNAPSHOT_TABLES
from annoy_store.analysis.sql import run_query
from annoy_store.db.engine import Database
from annoy_store.db.migrate import open_store
from annoy_store.db.tables import attempts, jobs, policies, prices, takedowns, variants
from annoy_store.db.views import VIEWS
from annoy_store.errors import UsageError
from annoy_store.hashing import digest
from annoy_store.queue.counters import add_to_counters
from tests.support import chains, factories
from tests.support.marks import mark_some

pytestmark = pytest.mark.slow_on("postgres")


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def fetch(store: Database, sql: str, **values: Any) -> list[tuple[Any, ...]]:
    with query(store, sql, values) as found:
        return list(found.rows)


def rows(found: Any, names: list[str]) -> list[str]:
    """Return rows of some columns in one order, numbers to 9 digits."""
    places = [found.columns.index(name) for name in names]
    plain = (tuple(row[i] for i in places) for row in found.rows)
    return sorted(
        str([f"{v:.9g}" if isinstance(v, int | float) else v for v in row]) for row in plain
    )


def history(store: Database) -> None:
    """Add chains of all kinds, attempts, prices, failed jobs, and two variants."""
    chains.fill(store, ("ant", "bee", "cow"))
    with store.write() as connection:
        again = connection.execute(text("SELECT MIN(id) FROM responses")).scalar_one()
        factories.write_all(connection, [chains.verdict(connection, again, "wrong", "two")])
        calls = connection.execute(text("SELECT id, prompt_id FROM calls ORDER BY id")).all()
        for call, _ in calls:
            connection.execute(insert(attempts).values(_attempt(call, call % 3 == 0)))
        for model, start, price in (("tracer", "2025", 1.0), ("tracer", "2026-01-01T12", 2.0)):
            row = {"model": model, "from_time": start, "input": price, "cached": 0, "output": price}
            connection.execute(insert(prices).values(row))
        job(store, "complete", calls[0][0], "failed", "http_500", connection=connection)
        connection.execute(insert(policies).values(key="max_turns", value="3", since="x"))
        mark_some(connection)


def _attempt(call: int, late: bool) -> dict[str, Any]:
    return {
        "call_id": call,
        "teacher_id": 1,
        "worker_id": 1,
        "latency_ms": 1.5,
        "status": "ok",
        "started_at": f"2026-01-0{1 + late}T00:00:00Z",
        "prompt_tokens": 10 * call,
        "completion_tokens": None if call % 5 == 0 else 7,
        "model": "tracer",
    }


def job(
    store: Database,
    stage: str,
    subject: int,
    state: str = "done",
    reason: str | None = None,
    connection: Any = None,
) -> None:
    row = {"stage": stage, "subject_id": subject, "variant_id": variant(connection, stage)}
    connection.execute(insert(jobs).values(row | {"state": state, "reason": reason}))
    add_to_counters(connection, 0, {(stage, state): 1})


def variant(connection: Any, stage: str) -> int:
    named = digest("variant", stage)
    row = {"stage": stage, "digest": named, "description": "{}", "active": 1}
    known = text("SELECT id FROM variants WHERE digest = :d")
    if connection.scalar(known, {"d": named}) is None:
        connection.execute(insert(variants).values(row))
    return int(connection.scalar(known, {"d": named}))


# The same answers ----------------------------------------------------------------------------


def assert_views_agree(store: Database) -> dict[str, int]:
    """Compare every view with that of the store; return the number of rows of each."""
    sizes = {}
    with open_snapshot(store) as duck:
        for view in VIEWS:
            with run_query(store, f"SELECT * FROM {view.name}") as live:
                names = [name for name in live.columns if name not in OMITTED_COLUMNS]
                expected = rows(live, names)
            with execute(duck, f"SELECT * FROM {view.name}") as found:
                assert rows(found, names) == expected, view.name
            sizes[view.name] = len(expected)
    return sizes


def test_snapshot_views_equal_those_of_the_store(store: Database) -> None:
    history(store)
    sizes = assert_views_agree(store)
    assert {name for name, n in sizes.items() if n == 0} <= {"v_missing_modules", "v_clusters"}


def test_snapshot_views_agree_for_shared_prompts_and_siblings(store: Database) -> None:
    history(store)
    chains.add_siblings(store)
    chains.share_prompts(store)
    sizes = assert_views_agree(store)
    assert sizes["v_answers"] > sizes["v_chains"] > 9


@pytest.mark.parametrize("several", ["", "complete", "generate", "verify"])
def test_snapshot_views_agree_for_any_number_of_variants(
    sqlite_store: Database, several: str
) -> None:
    chains.fill(sqlite_store)
    with sqlite_store.write() as connection:
        row = {"stage": several, "digest": "x", "description": "another", "active": 1}
        if several:
            connection.execute(insert(variants).values(row))
        if several == "verify":
            connection.execute(variants.update().values(active=variants.c.digest == "x"))
    assert_views_agree(sqlite_store)


def test_snapshot_runs_the_examples_of_views(sqlite_store: Database) -> None:
    history(sqlite_store)
    with open_snapshot(sqlite_store) as duck:
        for view in VIEWS:
            with execute(duck, view.example) as found:
                assert found.columns


def test_snapshot_has_every_row_of_every_table(store: Database) -> None:
    history(store)
    with open_snapshot(store) as duck:
        for table in SNAPSHOT_TABLES:
            count_all = f'SELECT COUNT(*) FROM "{table.name}"'
            with run_query(store, count_all) as live, execute(duck, count_all) as found:
                assert list(found.rows) == list(live.rows), table.name


def test_snapshot_has_lengths_in_place_of_texts(sqlite_store: Database) -> None:
    history(sqlite_store)
    [pair] = fetch(
        sqlite_store, "SELECT MIN(refcode_chars), MAX(output_chars) FROM samples, io_pairs"
    )
    with run_query(
        sqlite_store, "SELECT MIN(LENGTH(refcode)), MAX(LENGTH(output)) FROM samples, io_pairs"
    ) as live:
        assert list(live.rows) == [pair]


# Keeping up ----------------------------------------------------------------------------------


def test_refresh_reads_only_new_rows(sqlite_store: Database) -> None:
    chains.fill(sqlite_store, ("ant",))
    folder = snapshot_folder(sqlite_store)
    before = refresh(sqlite_store, folder)
    chains.fill(sqlite_store, ("bee",))
    after = refresh(sqlite_store, folder)
    assert after.tables["responses"].parts[:1] == before.tables["responses"].parts
    assert after.tables["responses"].parts[1].lo == before.tables["responses"].max_id + 1
    assert refresh(sqlite_store, folder).files == after.files


def test_refresh_follows_a_growing_store(store: Database) -> None:
    for name in ("ant", "bee", "cow"):
        chains.fill(store, (name,))
        [(kept,)] = fetch(store, "SELECT COUNT(*) FROM responses")
        with run_query(store, "SELECT COUNT(*) FROM responses") as live:
            assert list(live.rows) == [(kept,)]


@pytest.mark.slow
def test_refresh_leaves_rows_of_open_transactions_for_later(postgres_store: Database) -> None:
    """A row that is committed after rows with higher ids is not lost."""
    chains.fill(postgres_store, ("ant",))
    fetch(postgres_store, "SELECT 1")
    with postgres_store.write_engine.connect() as slow:
        slow.begin()
        factories.write_all(slow, [factories.source("slow")])
        with postgres_store.write() as quick:
            factories.write_all(quick, [factories.source("quick")])
        [(before,)] = fetch(postgres_store, "SELECT COUNT(*) FROM sources")
        slow.commit()
    assert fetch(postgres_store, "SELECT COUNT(*) FROM sources") == [(before + 1,)]


def test_refresh_follows_the_states_of_jobs(store: Database) -> None:
    chains.fill(store, ("ant",))
    with store.write() as connection:
        for subject in range(1, 9):
            job(store, "parse", subject, "done", connection=connection)
        job(store, "parse", 9, "pending", connection=connection)
        job(store, "parse", 10, "done", connection=connection)
    states = "SELECT subject_id, state, reason FROM jobs WHERE stage = 'parse' ORDER BY 1"
    assert [row[1] for row in fetch(store, states)] == ["done"] * 8 + ["pending", "done"]
    for subject, before, after in ((9, "pending", "done"), (3, "done", "rejected")):
        with store.write() as connection:
            mine = (jobs.c.stage == "parse") & (jobs.c.subject_id == subject)
            connection.execute(update(jobs).where(mine).values(state=after, reason="because"))
            add_to_counters(connection, 0, {("parse", before): -1, ("parse", after): 1})
        assert fetch(store, states)[subject - 1] == (subject, after, "because")
    assert len(fetch(store, states)) == 10


def test_refresh_merges_small_parts(
    sqlite_store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "MAX_SMALL_PARTS", 3)
    folder = snapshot_folder(sqlite_store)
    for n in range(6):
        with sqlite_store.write() as connection:
            factories.write_all(connection, [factories.source(f"print({n})")])
        refresh(sqlite_store, folder)
    state = load(folder)
    assert 1 < len(state.tables["sources"].parts) <= 3
    assert fetch(sqlite_store, "SELECT COUNT(*), COUNT(DISTINCT id) FROM sources") == [(n + 1,) * 2]
    there = {str(path.relative_to(folder)) for path in folder.glob("*/*")}
    assert there == state.files


def test_refresh_notices_another_store_in_its_place(sqlite_store: Database) -> None:
    """A store restored from a backup or created again has the same ids with other rows."""
    with sqlite_store.write() as connection:
        factories.write_all(connection, [factories.source("old"), factories.source("older")])
    fetch(sqlite_store, "SELECT 1")
    with sqlite_store.write() as connection:
        connection.execute(text("DELETE FROM sources"))
        factories.write_all(
            connection, [factories.source("new"), factories.source("newer"), factories.source("3")]
        )
    wanted = sorted(digest("source", "python", t) for t in ("new", "newer", "3"))
    assert sorted(d for (d,) in fetch(sqlite_store, "SELECT digest FROM sources")) == wanted


def test_refresh_reads_everything_again_after_a_purge(sqlite_store: Database) -> None:
    with sqlite_store.write() as connection:
        factories.write_all(
            connection, [factories.sample(), factories.source("1"), factories.source("2")]
        )
    assert fetch(sqlite_store, "SELECT refcode_chars > 0 FROM samples") == [(True,)]
    with sqlite_store.write() as connection:
        connection.execute(text("UPDATE samples SET refcode = ''"))
        row = {"kind": "source", "value": "x", "why": "x", "created_at": "x", "purged_at": "now"}
        row |= {"digest": "x"}
        connection.execute(insert(takedowns).values(row))
    assert fetch(sqlite_store, "SELECT refcode_chars FROM samples") == [(0,)]


@pytest.mark.slow
def test_refresh_replaces_a_broken_manifest(sqlite_store: Database) -> None:
    chains.fill(sqlite_store, ("ant",))
    expected = fetch(sqlite_store, "SELECT COUNT(*) FROM responses")
    for words in ("", "{", '{"tables": {"jobs": 3}}', '{"what": 1, "tables": {}}'):
        (snapshot_folder(sqlite_store) / "manifest.json").write_text(words)
        assert fetch(sqlite_store, "SELECT COUNT(*) FROM responses") == expected


def test_refresh_reads_a_lost_part_again(sqlite_store: Database) -> None:
    chains.fill(sqlite_store, ("ant",))
    expected = fetch(sqlite_store, "SELECT COUNT(*) FROM responses")
    for path in snapshot_folder(sqlite_store).glob("responses/*.parquet"):
        path.unlink()
    assert fetch(sqlite_store, "SELECT COUNT(*) FROM responses") == expected


@pytest.mark.slow
def test_query_serves_many_readers_while_the_store_grows(sqlite_store: Database) -> None:
    chains.fill(sqlite_store, ("ant",))
    seen: list[int] = []
    troubles: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(4):
                [(n, m)] = fetch(sqlite_store, "SELECT COUNT(*), COUNT(status) FROM v_answers")
                assert n == m
                seen.append(n)
        except BaseException as error:
            troubles.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for looker in readers:
        looker.start()
    for name in ("bee", "cow", "dog"):
        chains.fill(sqlite_store, (name,))
    for looker in readers:
        looker.join()
    assert not troubles
    assert len(seen) == 12
    assert all(n % 5 == 0 and n >= 5 for n in seen)


def test_snapshot_folder_of_a_server_is_in_the_cache(
    postgres_store: Database, tmp_path: Path
) -> None:
    assert snapshot_folder(postgres_store).is_relative_to(tmp_path / "cache")
    assert fetch(postgres_store, "SELECT COUNT(*) FROM sources") == [(0,)]


# Nothing but answers -------------------------------------------------------------------------

HOSTILE = [
    "DELETE FROM jobs",
    "INSERT INTO sources SELECT * FROM sources",
    "UPDATE kept_turns SET state = 'done'",
    "DROP VIEW sources",
    "CREATE TABLE x AS SELECT 1",
    "COPY sources TO '/tmp/annoy-never.csv'",
    "COPY (SELECT 1) TO '{part}' (FORMAT parquet)",
    "EXPORT DATABASE '/tmp/annoy-never'",
    "ATTACH '/tmp/annoy-never.db' AS x",
    "ATTACH '{store}' AS x (TYPE sqlite)",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "RESET enable_external_access",
    "PRAGMA enable_external_access = true",
    "CALL pragma_version()",
    "EXPLAIN ANALYZE DELETE FROM jobs",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_blob('{store}')",
    "SELECT * FROM read_parquet('{folder}/*/*.parquet')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM read_json('https://example.com/x.json')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT 1; DELETE FROM jobs",
    "SELECT * FROM query('DELETE FROM jobs')",
    "WITH x AS (DELETE FROM jobs RETURNING *) SELECT * FROM x",
    "PREPARE x AS DELETE FROM jobs",
    "SELECT getenv('HOME')",
    "FROM '/etc/passwd'",
    "FROM read_text('/proc/self/environ')",
    "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
    "SELECT * FROM query_table('/etc/passwd')",
    """SELECT * FROM json_execute_serialized_sql(
        json_serialize_sql('SELECT * FROM read_text(''/etc/passwd'')'))""",
    "SELECT * FROM parquet_metadata('/etc/passwd')",
    "SELECT * FROM parquet_bloom_probe('/etc/passwd', 'a', 1)",
    "SELECT * FROM read_duckdb('/tmp/annoy-never.db', table_name = 't')",
    "SELECT * FROM read_parquet('{folder}/../store.db')",
    "SELECT * FROM read_parquet('file://{folder}/manifest.json')",
    "SELECT * FROM 's3://annoy/never.parquet'",
    "SELECT * FROM sqlite_scan('{store}', 'sources')",
    "SELECT * FROM enable_logging(storage = 'file', storage_config = {{'path': '/tmp/annoy-never'}})",
    "SELECT * FROM enable_profiling()",
    "SELECT * FROM add_grammar_extension('x')",
    "SELECT * FROM create_external_resource('x')",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM which_secret('s3://a', 's3')",
    "SELECT * FROM arrow_scan(1, 2, 3)",
    "SELECT * FROM pandas_scan(1)",
    "SELECT * FROM python_map_function((FROM sources))",
    "CREATE SECRET (TYPE s3)",
    "CREATE MACRO f(x) AS x",
    "SET VARIABLE x = 1",
    "COPY FROM DATABASE memory TO x",
    "IMPORT DATABASE '/tmp/annoy-never'",
    "SELECT * FROM secret_rows",
    "CHECKPOINT",
    "USE memory",
    "",
    " ; ",
    "-- nothing",
]


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """The open snapshot of a store without writers."""
    path = tmp_path_factory.mktemp("quiet") / "store.db"
    store = open_store(f"sqlite:///{path}", create=True)
    chains.fill(store, ("ant",))
    with open_snapshot(store) as duck:
        yield duck
    store.close()


def fault(duck: duckdb.DuckDBPyConnection, sql: str, seconds: float = 600.0) -> str:
    with pytest.raises(UsageError) as caught, execute(duck, sql, {}, seconds) as found:
        list(found.rows)
    return str(caught.value)


@pytest.mark.parametrize("sql", HOSTILE)
def test_execute_allows_only_reading(quiet: duckdb.DuckDBPyConnection, sql: str) -> None:
    secret_rows = [("a Python variable",)]
    [(files,)] = quiet.execute("SELECT current_setting('allowed_paths')").fetchall()
    part = Path(files[0])
    folder = part.parent.parent
    content = part.read_bytes()
    store = folder.with_name("store.db")
    assert fault(quiet, sql.format(part=part, store=store, folder=folder))
    assert part.read_bytes() == content
    assert store.stat().st_size > 0
    assert not list(Path("/tmp").glob("annoy-never*"))
    assert quiet.execute("SELECT COUNT(*) > 0 FROM responses").fetchall() == [(True,)]
    assert secret_rows


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT content FROM sources",
        "SELECT r.text FROM responses r",
        'SELECT "text" FROM responses',
        "SELECT * FROM samples WHERE refcode LIKE '%x%'",
        "SELECT feedback FROM v_current_verdicts",
        "SELECT input FROM v_current_pairs",
        "SELECT * FROM signatures",
        "SELECT digest FROM prompts",
    ],
)
def test_execute_names_columns_that_only_the_store_has(
    quiet: duckdb.DuckDBPyConnection, sql: str
) -> None:
    assert "--live" in fault(quiet, sql)


def test_execute_explains_mistakes(quiet: duckdb.DuckDBPyConnection) -> None:
    assert "annoy sql" in fault(quiet, "SELECT * FROM nothing")
    assert "annoy sql" in fault(quiet, "SELECT colour FROM sources")
    assert "-p name=value" in fault(quiet, "SELECT $limit")
    assert "SQL" in fault(quiet, "SELEC 1")


def test_execute_stops_at_its_time_limit(quiet: duckdb.DuckDBPyConnection) -> None:
    endless = "SELECT SUM(a.range * b.range) FROM range(10000000) a, range(10000000) b"
    assert "took longer than 0.2 s" in fault(quiet, endless, 0.2)


def test_execute_binds_named_values(quiet: duckdb.DuckDBPyConnection) -> None:
    sql = "SELECT :one, ':one', '::one', $$ :one $$, :two::VARCHAR -- :one"
    with execute(quiet, sql, {"one": 1, "two": 2.5, "three": "unused"}) as found:
        assert list(found.rows) == [(1, ":one", "::one", " :one ", "2.5")]
    with execute(quiet, "SELECT :x", {"x": "'; DROP VIEW jobs --"}) as found:
        assert list(found.rows) == [("'; DROP VIEW jobs --",)]


def test_query_reports_a_folder_that_cannot_be_written(
    sqlite_store: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setattr(
        "annoy_store.analysis.snapshot.query.snapshot_folder", lambda _: blocked / "snapshot"
    )
    with pytest.raises(UsageError, match="--live"):
        fetch(sqlite_store, "SELECT 1")


def test_refresh_drops_deleted_rows_of_mutable_tables(sqlite_store: Database) -> None:
    with sqlite_store.write() as connection:
        connection.execute(insert(policies).values(key="tolerance", value="0.1", since="x"))
    assert len(fetch(sqlite_store, "SELECT * FROM policies")) == 1
    with sqlite_store.write() as connection:
        connection.execute(delete(policies))
    assert fetch(sqlite_store, "SELECT * FROM policies") == []
