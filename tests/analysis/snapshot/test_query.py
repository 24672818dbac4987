"""The snapshot answers like the store, keeps up with it, and can do nothing but answer."""

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
from annoy_store.analysis.snapshot.query import ask, folder_of, opened, query
from annoy_store.analysis.snapshot.refresh import refresh
from annoy_store.analysis.snapshot.schema import LEFT_OUT, TABLES
from annoy_store.analysis.sql import run_query
from annoy_store.db.engine import Database
from annoy_store.db.migrate import open_store
from annoy_store.db.tables import attempts, jobs, policies, prices, takedowns, variants
from annoy_store.db.views import VIEWS
from annoy_store.errors import UsageError
from annoy_store.hashing import digest
from annoy_store.queue.counters import add_to_counters
from tests.support import chains, factories


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def asked(store: Database, sql: str, **values: Any) -> list[tuple[Any, ...]]:
    with query(store, sql, values) as found:
        return list(found.rows)


def rows(found: Any, names: list[str]) -> list[str]:
    """Rows in one order, of the columns named, numbers to 9 digits."""
    places = [found.columns.index(name) for name in names]
    plain = (tuple(row[i] for i in places) for row in found.rows)
    return sorted(
        str([f"{v:.9g}" if isinstance(v, int | float) else v for v in row]) for row in plain
    )


def history(store: Database) -> None:
    """Chains of all sorts, with tries, prices, jobs that ended badly, and two variants."""
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
    """Every view says the same in the snapshot as in the store; how many rows each has."""
    sizes = {}
    with opened(store) as duck:
        for view in VIEWS:
            with run_query(store, f"SELECT * FROM {view.name}") as live:
                names = [name for name in live.columns if name not in LEFT_OUT]
                expected = rows(live, names)
            with ask(duck, f"SELECT * FROM {view.name}") as found:
                assert rows(found, names) == expected, view.name
            sizes[view.name] = len(expected)
    return sizes


def test_every_view_says_what_the_store_says(store: Database) -> None:
    history(store)
    sizes = assert_views_agree(store)
    assert {name for name, n in sizes.items() if n == 0} <= {"v_missing_modules", "v_clusters"}


@pytest.mark.parametrize("several", ["", "complete", "generate", "verify"])
def test_every_view_agrees_however_many_variants_a_stage_has(
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


def test_examples_of_views_run(sqlite_store: Database) -> None:
    history(sqlite_store)
    with opened(sqlite_store) as duck:
        for view in VIEWS:
            with ask(duck, view.example) as found:
                assert found.columns


def test_every_table_is_there_row_by_row(store: Database) -> None:
    history(store)
    with opened(store) as duck:
        for table in TABLES:
            count_all = f'SELECT COUNT(*) FROM "{table.name}"'
            with run_query(store, count_all) as live, ask(duck, count_all) as found:
                assert list(found.rows) == list(live.rows), table.name


def test_lengths_stand_for_texts(sqlite_store: Database) -> None:
    history(sqlite_store)
    [pair] = asked(
        sqlite_store, "SELECT MIN(refcode_chars), MAX(output_chars) FROM samples, io_pairs"
    )
    with run_query(
        sqlite_store, "SELECT MIN(LENGTH(refcode)), MAX(LENGTH(output)) FROM samples, io_pairs"
    ) as live:
        assert list(live.rows) == [pair]


# Keeping up ----------------------------------------------------------------------------------


def test_what_is_new_is_read_and_nothing_else(sqlite_store: Database) -> None:
    chains.fill(sqlite_store, ("ant",))
    folder = folder_of(sqlite_store)
    before = refresh(sqlite_store, folder)
    chains.fill(sqlite_store, ("bee",))
    after = refresh(sqlite_store, folder)
    assert after.tables["responses"].parts[:1] == before.tables["responses"].parts
    assert after.tables["responses"].parts[1].lo == before.tables["responses"].upto + 1
    assert refresh(sqlite_store, folder).files == after.files


def test_a_snapshot_keeps_up_with_a_growing_store(store: Database) -> None:
    for name in ("ant", "bee", "cow"):
        chains.fill(store, (name,))
        [(kept,)] = asked(store, "SELECT COUNT(*) FROM responses")
        with run_query(store, "SELECT COUNT(*) FROM responses") as live:
            assert list(live.rows) == [(kept,)]


def test_rows_of_a_running_transaction_come_later(postgres_store: Database) -> None:
    """An id below others that is committed after them is not lost."""
    chains.fill(postgres_store, ("ant",))
    asked(postgres_store, "SELECT 1")
    with postgres_store.write_engine.connect() as slow:
        slow.begin()
        factories.write_all(slow, [factories.source("slow")])
        with postgres_store.write() as quick:
            factories.write_all(quick, [factories.source("quick")])
        [(before,)] = asked(postgres_store, "SELECT COUNT(*) FROM sources")
        slow.commit()
    assert asked(postgres_store, "SELECT COUNT(*) FROM sources") == [(before + 1,)]


def test_jobs_are_followed_through_their_states(store: Database) -> None:
    chains.fill(store, ("ant",))
    with store.write() as connection:
        for subject in range(1, 9):
            job(store, "parse", subject, "done", connection=connection)
        job(store, "parse", 9, "pending", connection=connection)
        job(store, "parse", 10, "done", connection=connection)
    states = "SELECT subject_id, state, reason FROM jobs WHERE stage = 'parse' ORDER BY 1"
    assert [row[1] for row in asked(store, states)] == ["done"] * 8 + ["pending", "done"]
    for subject, before, after in ((9, "pending", "done"), (3, "done", "rejected")):
        with store.write() as connection:
            mine = (jobs.c.stage == "parse") & (jobs.c.subject_id == subject)
            connection.execute(update(jobs).where(mine).values(state=after, reason="because"))
            add_to_counters(connection, 0, {("parse", before): -1, ("parse", after): 1})
        assert asked(store, states)[subject - 1] == (subject, after, "because")
    assert len(asked(store, states)) == 10


def test_small_parts_are_put_together(
    sqlite_store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "MOST_SMALL", 3)
    folder = folder_of(sqlite_store)
    for n in range(6):
        with sqlite_store.write() as connection:
            factories.write_all(connection, [factories.source(f"print({n})")])
        refresh(sqlite_store, folder)
    state = load(folder)
    assert 1 < len(state.tables["sources"].parts) <= 3
    assert asked(sqlite_store, "SELECT COUNT(*), COUNT(DISTINCT id) FROM sources") == [(n + 1,) * 2]
    there = {str(path.relative_to(folder)) for path in folder.glob("*/*")}
    assert there == state.files


def test_another_store_in_its_place_is_noticed(sqlite_store: Database) -> None:
    """Restored from a backup, or made anew: the ids are the same and the rows are not."""
    with sqlite_store.write() as connection:
        factories.write_all(connection, [factories.source("old"), factories.source("older")])
    asked(sqlite_store, "SELECT 1")
    with sqlite_store.write() as connection:
        connection.execute(text("DELETE FROM sources"))
        factories.write_all(
            connection, [factories.source("new"), factories.source("newer"), factories.source("3")]
        )
    wanted = sorted(digest("source", "python", t) for t in ("new", "newer", "3"))
    assert sorted(d for (d,) in asked(sqlite_store, "SELECT digest FROM sources")) == wanted


def test_a_purge_reads_all_again(sqlite_store: Database) -> None:
    with sqlite_store.write() as connection:
        factories.write_all(
            connection, [factories.sample(), factories.source("1"), factories.source("2")]
        )
    assert asked(sqlite_store, "SELECT refcode_chars > 0 FROM samples") == [(True,)]
    with sqlite_store.write() as connection:
        connection.execute(text("UPDATE samples SET refcode = ''"))
        row = {"kind": "source", "value": "x", "why": "x", "created_at": "x", "purged_at": "now"}
        connection.execute(insert(takedowns).values(row))
    assert asked(sqlite_store, "SELECT refcode_chars FROM samples") == [(0,)]


def test_a_broken_manifest_is_made_anew(sqlite_store: Database) -> None:
    chains.fill(sqlite_store, ("ant",))
    expected = asked(sqlite_store, "SELECT COUNT(*) FROM responses")
    for words in ("", "{", '{"tables": {"jobs": 3}}', '{"what": 1, "tables": {}}'):
        (folder_of(sqlite_store) / "manifest.json").write_text(words)
        assert asked(sqlite_store, "SELECT COUNT(*) FROM responses") == expected


def test_a_lost_part_is_read_again(sqlite_store: Database) -> None:
    chains.fill(sqlite_store, ("ant",))
    expected = asked(sqlite_store, "SELECT COUNT(*) FROM responses")
    for path in folder_of(sqlite_store).glob("responses/*.parquet"):
        path.unlink()
    assert asked(sqlite_store, "SELECT COUNT(*) FROM responses") == expected


def test_many_may_ask_while_the_store_grows(sqlite_store: Database) -> None:
    chains.fill(sqlite_store, ("ant",))
    seen: list[int] = []
    troubles: list[BaseException] = []

    def look() -> None:
        try:
            for _ in range(4):
                [(n, m)] = asked(sqlite_store, "SELECT COUNT(*), COUNT(status) FROM v_answers")
                assert n == m
                seen.append(n)
        except BaseException as error:
            troubles.append(error)

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    for name in ("bee", "cow", "dog"):
        chains.fill(sqlite_store, (name,))
    for looker in lookers:
        looker.join()
    assert not troubles
    assert len(seen) == 12
    assert all(n % 5 == 0 and n >= 5 for n in seen)


def test_a_server_has_its_snapshot_in_the_cache(postgres_store: Database, tmp_path: Path) -> None:
    assert folder_of(postgres_store).is_relative_to(tmp_path / "cache")
    assert asked(postgres_store, "SELECT COUNT(*) FROM sources") == [(0,)]


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
    """The open snapshot of a store that nobody writes to."""
    path = tmp_path_factory.mktemp("quiet") / "store.db"
    store = open_store(f"sqlite:///{path}", create=True)
    chains.fill(store, ("ant",))
    with opened(store) as duck:
        yield duck
    store.close()


def fault(duck: duckdb.DuckDBPyConnection, sql: str, seconds: float = 600.0) -> str:
    with pytest.raises(UsageError) as caught, ask(duck, sql, {}, seconds) as found:
        list(found.rows)
    return str(caught.value)


@pytest.mark.parametrize("sql", HOSTILE)
def test_only_reading_is_done(quiet: duckdb.DuckDBPyConnection, sql: str) -> None:
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
def test_what_only_the_store_has_is_said(quiet: duckdb.DuckDBPyConnection, sql: str) -> None:
    assert "--live" in fault(quiet, sql)


def test_mistakes_are_explained(quiet: duckdb.DuckDBPyConnection) -> None:
    assert "annoy sql" in fault(quiet, "SELECT * FROM nothing")
    assert "annoy sql" in fault(quiet, "SELECT colour FROM sources")
    assert "-p name=value" in fault(quiet, "SELECT $limit")
    assert "SQL" in fault(quiet, "SELEC 1")


def test_a_question_is_bounded_in_time(quiet: duckdb.DuckDBPyConnection) -> None:
    endless = "SELECT SUM(a.range * b.range) FROM range(10000000) a, range(10000000) b"
    assert "took longer than 0.2 s" in fault(quiet, endless, 0.2)


def test_values_stand_where_they_are_named(quiet: duckdb.DuckDBPyConnection) -> None:
    sql = "SELECT :one, ':one', '::one', $$ :one $$, :two::VARCHAR -- :one"
    with ask(quiet, sql, {"one": 1, "two": 2.5, "three": "unused"}) as found:
        assert list(found.rows) == [(1, ":one", "::one", " :one ", "2.5")]
    with ask(quiet, "SELECT :x", {"x": "'; DROP VIEW jobs --"}) as found:
        assert list(found.rows) == [("'; DROP VIEW jobs --",)]


def test_a_folder_that_cannot_be_written_is_said(
    sqlite_store: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setattr(
        "annoy_store.analysis.snapshot.query.folder_of", lambda _: blocked / "snapshot"
    )
    with pytest.raises(UsageError, match="--live"):
        asked(sqlite_store, "SELECT 1")


def test_deleted_rows_of_control_tables_go(sqlite_store: Database) -> None:
    with sqlite_store.write() as connection:
        connection.execute(insert(policies).values(key="tolerance", value="0.1", since="x"))
    assert len(asked(sqlite_store, "SELECT * FROM policies")) == 1
    with sqlite_store.write() as connection:
        connection.execute(delete(policies))
    assert asked(sqlite_store, "SELECT * FROM policies") == []
