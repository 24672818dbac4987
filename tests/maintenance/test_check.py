"""Check: a consistent store has no findings, and each kind of damage is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, text, update

from annoy_store.db.engine import Database
from annoy_store.db.hidden import refresh_hidden
from annoy_store.db.insert import insert_rows
from annoy_store.db.migrate import open_store
from annoy_store.db.sql import insert_new
from annoy_store.db.tables import (
    attempts,
    calls,
    hidden_subjects,
    io_pairs,
    job_counters,
    jobs,
    origins,
    prompts,
    responses,
    samples,
    sources,
    variants,
)
from annoy_store.ingest.takedowns import take_down
from annoy_store.interfaces import Attempt, NewRow
from annoy_store.maintenance.check import check, recount
from annoy_store.maintenance.digests import fill_missing_digests
from annoy_store.maintenance.purge import blank_purged, purge
from annoy_store.records.responses import new_attempt, new_response
from annoy_store.stages import PIPELINE
from tests.support import chains, factories
from tests.support.factories import asked, io_pair, origin, response, sample, source
from tests.support.shown_steps import ShownSteps
from tests.support.small_pipeline import ToyWorker, add_sources, plan

pytestmark = pytest.mark.slow_on("postgres")


@pytest.fixture
def worked(store: Database) -> Database:
    """A store with rows in every table that has digests, and finished jobs."""
    add_sources(store, 3)
    ToyWorker(store).run()
    with store.write() as connection:
        insert_rows(connection, [origin(source("a"), repo="r"), io_pair(sample(), {"x": 1}, 2)])
    return store


def found(store: Database) -> list[tuple[str, str, int]]:
    return [(f.what, f.table, f.n) for f in check(store)]


def damage(store: Database, statement: Any) -> None:
    """Change rows as with a database shell."""
    with store.write_engine.connect() as connection:
        if store.is_sqlite:
            connection.connection.dbapi_connection.execute("PRAGMA foreign_keys = OFF")  # type: ignore[union-attr]
        else:
            connection.exec_driver_sql("SET session_replication_role = replica")
        connection.execute(statement)
        connection.commit()
        if store.is_sqlite:
            connection.connection.dbapi_connection.execute("PRAGMA foreign_keys = ON")  # type: ignore[union-attr]
        else:
            connection.exec_driver_sql("SET session_replication_role = DEFAULT")
            connection.commit()


def test_check_finds_nothing_in_a_consistent_store(worked: Database) -> None:
    assert check(worked) == []


def test_check_finds_nothing_in_an_empty_store(store: Database) -> None:
    assert check(store) == []


@pytest.mark.parametrize(
    ("table", "change"),
    [
        (sources, {"content": "something else"}),
        (origins, {"licence": "forged"}),
        (prompts, {"messages": "[]"}),
        (samples, {"refcode": "pass"}),
        (io_pairs, {"input": '{"x":2}'}),
    ],
)
def test_check_finds_changed_content(worked: Database, table: Any, change: Any) -> None:
    damage(worked, update(table).where(table.c.id == 1).values(change))
    assert found(worked) == [("content does not match its digest", table.name, 1)]
    assert check(worked, digests=False) == []


def test_check_finds_deleted_rows(worked: Database) -> None:
    damage(worked, delete(prompts).where(prompts.c.id == 1))
    assert set(found(worked)) == {
        ("prompt_id refers to no row of prompts", "calls", 1),
        ("prompt_id refers to no row of prompts", "turns", 1),
    }


def test_check_finds_wrong_counters_and_recount_repairs_them(worked: Database) -> None:
    damage(
        worked,
        update(job_counters).values(n=job_counters.c.n + 1).where(job_counters.c.state == "done"),
    )
    assert {what for what, _, _ in found(worked)} == {"wrong counter"}
    with worked.write() as connection:
        recount(connection)
    assert check(worked) == []


def test_check_finds_contradictory_jobs(store: Database) -> None:
    add_sources(store, 4)
    agenda = plan(store)
    variant = agenda.variant_ids("spread")[0]
    for subject, values in (
        (1, {"state": "claimed", "worker_id": 99}),
        (2, {"worker_id": 99}),
        (3, {"state": "deferred"}),
        (4, {"variant_id": 777}),
    ):
        damage(store, update(jobs).where(jobs.c.subject_id == subject).values(values))
    with store.write() as connection:
        recount(connection)
    assert variant != 777
    assert [what for what, _, _ in found(store)] == [
        "claimed by no active worker",
        "not claimed, but with a worker",
        "deferred without a due time",
        "of a missing variant",
    ]


def test_check_finds_a_done_job_without_result(store: Database) -> None:
    of = source("a")
    turn, call = asked(source_id=of)
    with store.write() as connection:
        insert_rows(connection, [of, turn, call, response(call, "words")])
        shared = {"stage": "x", "description": "{}", "active": 1}
        tasks = ["predict_output", "predict_input", ""]
        of_tasks = [shared | {"digest": task or "d", "task": task} for task in tasks]
        insert_new(connection, variants, of_tasks)
        ids = dict(connection.execute(select(variants.c.task, variants.c.id)).all())
        fresh = [
            {
                "stage": stage.name,
                "subject_id": subject,
                "variant_id": ids[stage.task],
                "state": "done",
            }
            for stage in PIPELINE
            for subject in (1, 2)
        ]
        insert_new(connection, jobs, fresh)
        recount(connection)
    findings = {f.what.split()[0]: (f.n, f.example) for f in check(store)}
    assert findings.pop("transform") == (1, "transform of subject 2")
    assert findings.pop("complete") == (1, "complete of subject 2")
    assert findings.pop("verify") == (4, "verify of subject 1")
    assert {n for n, _ in findings.values()} == {2}
    assert sorted(findings) == ["generate", "parse", "predict", "revise"]
    assert all(f.hint for f in check(store))


def test_check_finds_unknown_kinds_and_statuses(store: Database) -> None:
    with store.write() as connection:
        pair = io_pair(sample(), {"x": 1}, 2)
        rows = [pair]
        for kind in ("predict_output", "predict_trace"):
            turn, call = asked(f"{kind}?", kind, kind, io_pair_id=pair)
            answer = response(call, kind)
            status = "correct" if kind == "predict_output" else "odd"
            rows += [turn, chains.verdict(connection, answer, status)]
        insert_rows(connection, rows)
    assert found(store) == [("status 'odd' is no status of a verdict", "verdicts", 1)]
    findings = check(store, tasks=("predict_output", "predict_input"))
    assert [(f.what, f.table) for f in findings] == [
        ("status 'odd' is no status of a verdict", "verdicts"),
        ("kind 'predict_trace' is no known task", "turns"),
    ]
    assert len(check(store, tasks=("predict_output", "predict_trace"))) == 1


def test_check_finds_a_damaged_file(sqlite_store: Database, tmp_path: Path) -> None:
    with sqlite_store.write() as connection:
        insert_rows(connection, [source(f"x = {i}\n" * 200) for i in range(300)])
    with sqlite_store.write_engine.connect() as connection:
        connection.connection.dbapi_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
    path = sqlite_store.path
    assert path is not None
    sqlite_store.close()
    content = bytearray(path.read_bytes())
    for page in range(len(content) // 8192 - 12, len(content) // 8192 - 4):
        content[page * 8192 : page * 8192 + 64] = b"\xff" * 64
    path.write_bytes(content)
    store = open_store(f"sqlite:///{path}")
    findings = check(store, digests=False)
    store.close()
    assert findings[0].what == "damaged file"
    assert "backup" in findings[0].hint


def test_check_reads_one_snapshot(store: Database) -> None:
    """Rows inserted meanwhile are not reported as damage."""
    add_sources(store, 2)

    def meanwhile(what: str, done: int = 0, total: int | None = None) -> None:
        if what == "checking references":
            ToyWorker(store).run()

    assert check(store, meanwhile) == []
    with store.read() as connection:
        assert connection.scalar(text("SELECT count(*) FROM samples")) == 6


def test_check_works_out_anew_what_is_hidden(store: Database) -> None:
    with store.write() as connection:
        insert_rows(connection, [origin(source("a"), repo="bad"), origin(source("b"), repo="good")])
        take_down(connection, "repo", "bad", "asked")
    assert found(store) == []
    damage(store, update(hidden_subjects).values(subject_id=3 - hidden_subjects.c.subject_id))
    assert found(store) == [
        ("sources under a takedown that are not hidden", "hidden_subjects", 1),
        ("hidden sources that no takedown hides", "hidden_subjects", 1),
    ]
    assert {f.hint for f in check(store)} == {"annoy init"}
    with store.write() as connection:
        refresh_hidden(connection)
    assert found(store) == []


def test_check_finds_texts_that_a_purge_left(store: Database) -> None:
    with store.write() as connection:
        insert_rows(connection, [origin(source("a"), repo="bad")])
        take_down(connection, "repo", "bad", "asked")
    purge(store, 1)
    assert found(store) == []
    damage(store, update(sources).values(content="a"))
    assert found(store) == [("purged, but with text", "sources", 1)]
    with store.write() as connection:
        assert blank_purged(connection) == {"sources": 1}
    assert found(store) == []


def test_check_takes_an_equal_function_for_the_result_of_both_answers(store: Database) -> None:
    """Two answers to one question may hold the same function, which is one sample."""
    with store.write() as connection:
        of = source("a")
        turn, call = asked("a?", source_id=of)
        again = NewRow(calls, {**call.values, "sample_no": 1})
        one, two = response(call, "function"), response(again, "the function")
        made = factories.new_origin(sample(), of.values["digest"], response_id=one, source_id=of)
        touched = insert_rows(connection, [turn, one, two, made])
        for key in touched["responses"]:
            row = {"stage": "parse", "subject_id": key, "variant_id": 1, "state": "done"}
            connection.execute(insert(jobs).values(row))
        row = {"id": 1, "stage": "parse", "digest": "p", "description": "{}", "active": 1}
        connection.execute(insert(variants).values(row))
        recount(connection)
    assert found(store) == []


@pytest.mark.parametrize(
    ("table", "change"),
    [
        (responses, {"text": "another"}),
        (responses, {"reasoning": None}),
        (responses, {"finish_reason": "length"}),
        (attempts, {"completion_tokens": 1}),
        (attempts, {"latency_ms": 3.0}),
    ],
)
def test_check_finds_changed_answers(store: Database, table: Any, change: Any) -> None:
    with store.write() as connection:
        turn, call = asked("a?")
        answer = new_response(
            call, 0, "text", finish_reason="stop", created_at="now", reasoning="why"
        )
        insert_rows(connection, [turn, answer])
        tried = Attempt("ok", "now", 2.5, http_status=200, completion_tokens=7)
        insert_rows(connection, [new_attempt(tried, 1, 0, 0)])
    assert found(store) == []
    damage(store, update(table).values(change))
    assert found(store) == [("content does not match its digest", table.name, 1)]
    damage(store, update(table).values(digest=None))
    assert found(store) == [("rows without their digest", table.name, 1)]
    fill_missing_digests(store)
    assert found(store) == []


def test_check_shows_the_checks_and_then_the_rows(worked: Database) -> None:
    shown = ShownSteps()
    check(worked, shown)
    assert shown.steps[0] == ("checking the database file", 0, None)
    assert ("checking jobs", 2, 8) in shown.steps
    assert shown.shares[-1] == 1
    assert shown.steps[-1][2] > 10
