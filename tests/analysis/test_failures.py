"""Failures are counted once per cause, with an example and a hint."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert, select

from annoy_store.analysis.failures import SUBJECT_KINDS, failures, largest_per_stage
from annoy_store.analysis.lineage import lineage
from annoy_store.analysis.snapshot.query import open_runner
from annoy_store.db.engine import Database
from annoy_store.db.states import STAGE_NAMES
from annoy_store.db.tables import attempts, executions, jobs, responses
from annoy_store.interfaces import NewRow
from tests.support import chains, factories

pytestmark = pytest.mark.slow_on("postgres")


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def add_failures(store: Database) -> None:
    """Fill a store with failures of several stages."""
    chains.fill(store, ("ant", "bee"))
    with store.write() as connection:
        for subject, (stage, state, reason, detail) in enumerate(
            [
                ("generate", "rejected", "exception:KeyError", "'item_1'"),
                ("generate", "rejected", "exception:KeyError", "'item_2'"),
                ("generate", "rejected", "missing_module:bs4", "No module named 'bs4'"),
                ("parse", "rejected", "section_missing:function", None),
                ("complete", "failed", "http_500", "Error code: 500 - request req_1a2b3c"),
                ("complete", "done", None, None),
            ],
            1,
        ):
            row = {"stage": stage, "subject_id": subject, "variant_id": 1, "state": state}
            connection.execute(insert(jobs).values(row | {"reason": reason, "detail": detail}))
        for number in (1, 2):
            tried = {
                "call_id": number,
                "teacher_id": 1,
                "worker_id": 1,
                "latency_ms": 1.0,
                "started_at": "x",
                "status": "retry",
                "error_class": "http_500",
                "error_message": f"Error code: 500 - request {number}",
            }
            connection.execute(insert(attempts).values(tried))
        factories.write_all(connection, [_wrong(connection)])


def _wrong(connection: Any) -> NewRow:
    """Return a verdict on an answer whose program raised an exception."""
    answer = connection.scalar(select(responses.c.id).order_by(responses.c.id.desc()).limit(1))
    ran = {
        "sample_id": None,
        "response_id": answer,
        "purpose": "verify",
        "outcome": "exception",
        "error_type": "ZeroDivisionError",
        "missing_module": None,
        "phase": "call",
        "cpu_ms": 1.0,
        "wall_ms": 1.0,
        "isolation": "strong",
        "runner_version": "1",
        "interpreter": "x",
        "draws": None,
        "error_message": "division by zero",
    }
    judged = chains.verdict(connection, answer, "exception", "two")
    return NewRow(judged.table, {**judged.values, "execution_id": NewRow(executions, ran)})


@pytest.mark.parametrize("live", [True, False])
def test_failures_are_counted_once_per_cause(store: Database, live: bool) -> None:
    add_failures(store)
    with open_runner(store, live=live) as ask:
        found = failures(ask)
    counted = {(f.stage, f.what, f.reason, f.signature): f.n for f in found}
    assert counted["generate", "rejected", "exception:KeyError", "<text>"] == 2
    assert counted["complete", "try", "http_500", "Error code: <n> - request <n>"] == 2
    assert (
        counted["complete", "failed", "http_500", "Error code: <n> - request req_<n>a<n>b<n>c"] == 1
    )
    (tried,) = (f for f in found if f.what == "try")
    assert tried.hint == "a later try was answered; nothing to do"
    raised = "verify", "predict_input", "exception:ZeroDivisionError", "division by zero"
    assert counted[raised] == 1
    wrong = sum(
        n for (stage, _, reason, _), n in counted.items() if stage == "verify" and reason == "wrong"
    )
    with store.read() as connection:
        expected = connection.exec_driver_sql(
            "SELECT COUNT(*) FROM v_answers WHERE status = 'wrong'"
        ).scalar()
    assert wrong == expected
    assert [f.stage for f in found] == sorted((f.stage for f in found), key=STAGE_NAMES.index)


def test_failures_have_examples_with_a_lineage(sqlite_store: Database) -> None:
    add_failures(sqlite_store)
    with open_runner(sqlite_store) as ask, sqlite_store.read() as connection:
        for failure in failures(ask):
            if failure.example not in ("sample:3", "response:4", "call:5"):
                assert lineage(connection, failure.example).subject.id


def test_failures_of_one_stage_and_the_largest_of_each(sqlite_store: Database) -> None:
    add_failures(sqlite_store)
    with open_runner(sqlite_store) as ask:
        assert {f.stage for f in failures(ask, "generate")} == {"generate"}
        assert {f.stage for f in failures(ask, "transform")} == set()
        shown = largest_per_stage(failures(ask), 1)
    assert len(shown) == len({f.stage for f in shown}) == 4
    assert next(f for f in shown if f.stage == "generate").n == 2


def test_subject_kinds_cover_every_stage() -> None:
    assert set(SUBJECT_KINDS) == set(STAGE_NAMES)


@pytest.mark.parametrize("live", [True, False])
def test_failures_of_attempts_depend_on_what_became_of_their_calls(
    store: Database, live: bool
) -> None:
    rows = [factories.asked(f"{n}?", about=str(n)) for n in range(3)]
    with store.write() as connection:
        factories.write_all(connection, [row for each in rows for row in each])
        factories.write_all(connection, [factories.response(rows[0][-1], "mended")])
        failed = {"stage": "complete", "subject_id": 2, "variant_id": 1, "state": "failed"}
        connection.execute(insert(jobs).values(failed))
        for call in (1, 2, 3):
            tried = {"call_id": call, "teacher_id": 0, "worker_id": 1, "latency_ms": 1.0}
            tried |= {"started_at": "x", "status": "retry", "error_class": "http_500"}
            connection.execute(insert(attempts).values(tried))
    with open_runner(store, live=live) as ask:
        hints = [f.hint for f in failures(ask, "complete") if f.what == "try"]
    assert sorted(hints) == [
        "a later try was answered; nothing to do",
        "the endpoint was unavailable or slow; `annoy retry complete`",
        "the endpoint was unavailable or slow; `annoy run`",
    ]
