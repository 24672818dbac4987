"""Runs one stage on rows that a test wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from annoy_store.config import Policy
from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.interfaces import NewRow, Outcome, Sandbox, StageContext
from annoy_store.queue import claims as job_claims
from annoy_store.queue import jobs
from annoy_store.queue.enqueue import enqueue_all
from annoy_store.queue.variants import load_plan
from annoy_store.sandbox import open_sandbox
from annoy_store.stages import PIPELINE, stages_named
from annoy_store.tasks.policy import set_policy

RunStage = Callable[..., list[Outcome]]


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    opened = open_sandbox(slots=1)
    yield opened
    opened.close()


@pytest.fixture
def run_stage(sqlite_store: Database, run_stage_in: RunStage) -> RunStage:
    """Do what `run_stage_in` does, in a SQLite store."""
    return partial(run_stage_in, sqlite_store)


@pytest.fixture
def run_stage_in(sandbox: Sandbox) -> RunStage:
    """Write rows, enqueue, then run all pending jobs of a stage and settle them."""

    def run(
        store: Database, name: str, rows: Sequence[NewRow] = (), **changes: Any
    ) -> list[Outcome]:
        with store.write() as connection:
            insert_rows(connection, rows)
            if changes:
                set_policy(connection, {k: str(v) for k, v in changes.items()})
            agenda = load_plan(connection, PIPELINE)
            enqueue_all(connection, agenda)
            worker = _enlist(connection)
            outcomes = []
            for stage in stages_named(name):
                for case in agenda.partitions[stage.key]:
                    claims = job_claims.claim(connection, worker, name, case.variant_id, 1000)
                    read = job_claims.load_rows(connection, agenda, stage, claims)
                    tools = _tools(agenda.policy, case.variant_id, sandbox)
                    ended = [
                        jobs.JobResult(c, stage.run(read[c.subject_id], tools))  # type: ignore[arg-type]
                        for c in claims
                        if c.subject_id in read
                    ]
                    jobs.settle(connection, worker, ended, agenda)
                    outcomes += [e.outcome for e in ended]
        return outcomes

    return run


def _enlist(connection: Any) -> int:
    from annoy_store.queue.workers import register_worker

    return register_worker(connection, ["test"], 30.0)


def _tools(policy: Policy, variant_id: int, sandbox: Sandbox) -> StageContext:
    def no_teacher(kind: str, pinned: int) -> Any:
        raise AssertionError("this stage calls no teacher")

    return StageContext(policy, variant_id, lambda: sandbox, no_teacher, 1)
