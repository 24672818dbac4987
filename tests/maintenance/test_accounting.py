"""Sums agree after any history of calls and answers; inconsistencies are found."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, text, update

from annoy_store.config import Policy
from annoy_store.db.engine import Database
from annoy_store.db.migrate import open_store
from annoy_store.db.tables import attempts, calls, jobs, pair_checks, responses, verdicts
from annoy_store.interfaces import (
    Attempt,
    CallResult,
    Completion,
    NewRow,
    Outcome,
    Request,
    Stage,
    StageContext,
)
from annoy_store.maintenance.accounting import Imbalance, reconcile, token_totals
from annoy_store.queue import claims as job_claims
from annoy_store.queue import jobs as job_queue
from annoy_store.queue import workers
from annoy_store.queue.counters import funnel
from annoy_store.queue.enqueue import enqueue_all
from annoy_store.queue.jobs import Claim, JobResult
from annoy_store.queue.variants import StagePlan, load_plan
from annoy_store.records.prompts import plan_more_calls
from annoy_store.stages import PIPELINE, complete
from tests.support import factories as rows

pytestmark = pytest.mark.slow_on("postgres")

COUNTS = st.one_of(st.none(), st.integers(0, 10_000))
TRIES = st.lists(
    st.tuples(st.sampled_from(["retry", "limited", "failed"]), COUNTS, COUNTS), max_size=3
)
STAGES = tuple(stage.name for stage in PIPELINE)
ENDS = st.sampled_from(["answered", "answered", "rejected", "failed", "deferred", "released"])
STEPS = st.lists(
    st.tuples(st.sampled_from([*STAGES, "all", "all", "ingest", "more"]), ENDS, TRIES, COUNTS),
    min_size=1,
    max_size=15,
)
FUNCTION = """## Main Function
```python
def main_solution(x):
    return x + {}
```
## Input Output Description
Input: x. Output: int.
## Input Generator
```python
def input_generator():
    return {{"x": 1}}
```
## Problem Statement
What is the sum?
"""


class Driver:
    """Moves jobs of the real pipeline step by step; only the sandbox is not run."""

    def __init__(self, store: Database) -> None:
        self.store, self.n = store, 0
        with store.write() as connection:
            self.worker = workers.register_worker(connection, ["complete"], 600)
        self.ingest()

    def plan(self) -> StagePlan:
        with self.store.write() as connection:
            agenda = load_plan(connection, PIPELINE)
            enqueue_all(connection, agenda)
        return agenda

    def ingest(self) -> None:
        self.n += 1
        with self.store.write() as connection:
            rows.write_all(connection, [rows.source(f"print({self.n})")])

    def step(self, what: str, end: str, tried: list[Any], used: int | None) -> None:
        if what == "ingest":
            self.ingest()
        elif what == "more":
            with self.store.write() as connection:
                plan_more_calls(connection, ["transform"], 1 + self.n % 3, 0)
        else:
            for stage in STAGES if what == "all" else (what,):
                self.work(stage, end, tried, used)

    def work(self, stage: str, end: str, tried: list[Any], used: int | None) -> None:
        agenda = self.plan()
        for variant in agenda.variant_ids(stage):
            known = next(
                of
                for key, of in agenda.stages.items()
                if variant in [p.variant_id for p in agenda.partitions[key]]
            )
            with self.store.write() as connection:
                claims = job_claims.claim(connection, self.worker, stage, variant, 2)
                loaded = job_claims.load_rows(connection, agenda, known, claims)
            ended = [self.end(known, c, loaded.get(c.subject_id), end, tried, used) for c in claims]
            with self.store.write() as connection:
                if end == "released":
                    job_queue.release(connection, self.worker, claims)
                else:
                    job_queue.settle(connection, self.worker, ended, agenda)

    def end(
        self, stage: Stage, claim: Claim, row: Any, end: str, tried: list[Any], used: int | None
    ) -> JobResult:
        if row is None:
            return JobResult(claim, Outcome("rejected", (), "not_wanted"))
        if end == "deferred":
            return JobResult(claim, Outcome("deferred"), due_in=0.0)
        checks_input = stage.name == "verify" and stage.task == "predict_input"
        if stage.name == "generate" or checks_input:
            return JobResult(claim, _ran(stage.name, claim, end, used))
        if stage.name == "complete":
            teacher = Scripted(self.asked(end, tried, used, row["kind"], claim.subject_id))
            ended = asyncio.run(complete.run(row, _tools(self.worker, teacher)))
            return JobResult(claim, ended)
        tools = _tools(self.worker, variant=claim.variant_id)
        return JobResult(claim, stage.run(row, tools))  # type: ignore[arg-type]

    def asked(
        self, end: str, tried: list[Any], used: int | None, kind: str = "", call: int = 0
    ) -> CallResult:
        tries = [_attempt(status, given, made) for status, given, made in tried]
        if end == "answered":
            tries.append(_attempt("ok", used, used))
            text = FUNCTION.format(call) if kind == "transform" else f'{{"output": {used or 3}}}'
            return CallResult(
                "answered", tuple(tries), Completion(text if used != 0 else "nothing")
            )
        return CallResult(end, tuple(tries), reason="http_400")  # type: ignore[arg-type]


def _attempt(status: str, given: int | None, made: int | None) -> Attempt:
    return Attempt(status, "2026-01-01T00:00:00Z", 1.0, prompt_tokens=given, completion_tokens=made)


class Scripted:
    """A teacher with a scripted answer."""

    def __init__(self, asked: CallResult) -> None:
        self.asked = asked

    async def ask(self, request: Request) -> CallResult:
        return self.asked


def _ran(stage: str, claim: Claim, end: str, used: int | None) -> Outcome:
    """The rows that the sandbox would lead to: stable pairs, a verdict, or a reason."""
    if end in ("rejected", "failed"):
        return Outcome(end, (), "exception:ValueError")  # type: ignore[arg-type]
    if stage == "verify":
        values = dict.fromkeys(("mismatch", "execution_id", "predicted", "got"))
        values |= {"response_id": claim.subject_id, "checker": "predict_input", "feedback": "x"}
        values |= {"status": "correct" if (used or 0) % 2 else "wrong", "created_at": rows.NOW}
        return Outcome("done", (NewRow(verdicts, values | {"variant_id": claim.variant_id}),))
    pairs = [
        rows.io_pair(claim.subject_id, {"x": i}, i + (used or 0), i)  # type: ignore[arg-type]
        for i in range(2)
    ]
    checks = [
        NewRow(
            pair_checks,
            {
                "io_pair_id": pair,
                "variant_id": claim.variant_id,
                "status": "stable",
                "execution_id": None,
                "lines_executed": 3,
                "shown": "no",
            },
        )
        for pair in pairs
    ]
    return Outcome("done", (*pairs, *checks))


def _tools(worker: int, teacher: Any = None, variant: int = 1) -> Any:
    return StageContext(Policy(), variant, lambda: None, lambda kind, key: (0, teacher), worker)  # type: ignore[arg-type, return-value]


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("blank") / "store.db"
    open_store(f"sqlite:///{path}", create=True).close()
    return path


def test_history_driver_reaches_every_stage(blank: Path, tmp_path: Path) -> None:
    """Otherwise the property below might hold trivially."""
    shutil.copy(blank, tmp_path / "store.db")
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    driver = Driver(store)
    for used in (2, 2, 2, 2):
        driver.step("all", "answered", [("retry", 5, None)], used)
    with store.read() as connection:
        done = {stage: states.get("done", 0) for stage, states in funnel(connection).items()}
        assert min(done[stage] for stage in STAGES) > 0, done
        assert reconcile(connection) == []
    store.close()


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(STEPS)
def test_reconcile_finds_nothing_after_any_history(
    blank: Path, tmp_path: Path, steps: list[Any]
) -> None:
    path = tmp_path / "store.db"
    for old in tmp_path.glob("store.db*"):
        old.unlink()
    shutil.copy(blank, path)
    store = open_store(f"sqlite:///{path}")
    driver = Driver(store)
    for step in steps:
        driver.step(*step)
    driver.plan()
    with store.read() as connection:
        assert reconcile(connection) == []
        used = token_totals(connection)
        for name in used.tried:
            assert used.tried[name] == used.answered[name] + used.wasted[name]
        for stage, states in funnel(connection).items():
            total = select(text("COUNT(*)")).select_from(jobs).where(jobs.c.stage == stage)
            assert sum(states.values()) == connection.scalar(total)
    store.close()


# What is broken ------------------------------------------------------------------------------


def worked(store: Database) -> None:
    driver = Driver(store)
    for n in range(3):
        driver.step("ingest", "", [], None)
        driver.step("transform", "answered", [], None)
        driver.step("complete", "answered", [("retry", 5, None)], n)
    driver.plan()


def only(found: list[Imbalance]) -> Imbalance:
    assert len(found) == 1, found
    return found[0]


def test_reconcile_finds_nothing_in_a_whole_store(store: Database) -> None:
    worked(store)
    with store.read() as connection:
        assert reconcile(connection) == []
        assert token_totals(connection).wasted["prompt_tokens"] > 0


def test_reconcile_finds_a_missing_job(store: Database) -> None:
    worked(store)
    with store.write() as connection:
        connection.execute(delete(jobs).where(jobs.c.stage == "parse", jobs.c.subject_id == 1))
        found = only(reconcile(connection))
    assert (found.n, found.hint) == (1, "annoy rerun parse")


def test_reconcile_finds_an_answer_paid_twice(store: Database) -> None:
    worked(store)
    with store.write() as connection:
        row = connection.execute(
            select(attempts).where(attempts.c.status == "ok").limit(1)
        ).mappings()
        again = {k: v for k, v in row.one().items() if k != "id"}
        connection.execute(insert(attempts).values(again))
        assert "more than one successful attempt" in only(reconcile(connection)).what


def test_reconcile_finds_a_lost_answer(store: Database) -> None:
    worked(store)
    with store.write() as connection:
        connection.execute(delete(jobs).where(jobs.c.stage == "parse"))
        last = connection.scalar(select(responses.c.id).order_by(responses.c.id.desc()).limit(1))
        connection.execute(delete(responses).where(responses.c.id == last))
        whats = [found.what for found in reconcile(connection)]
    assert "calls with a successful attempt but no response" in whats


def test_reconcile_finds_an_answer_without_its_attempt(store: Database) -> None:
    worked(store)
    with store.write() as connection:
        some = connection.scalar(select(calls.c.id).limit(1))
        connection.execute(
            update(attempts).where(attempts.c.call_id == some).values(status="retry")
        )
        assert "without a successful attempt" in only(reconcile(connection)).what


def test_reconcile_finds_an_export_that_lost_rows(store: Database) -> None:
    worked(store)
    with store.write() as connection:
        connection.execute(
            text(
                "INSERT INTO exports (id, digest, format, filter, n_rows, n_retractions, folder, "
                "files, seen, created_at) VALUES (1, 'd', 'codeio', '{}', 3, 0, 'x', '[]', '{}', 'x')"
            )
        )
        found = only(reconcile(connection))
    assert found.example == "export 1: 0 of 3"
