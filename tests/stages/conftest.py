"""Running one stage on rows that a test wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from annoy_store.config import Policy
from annoy_store.db.engine import Store
from annoy_store.db.insert import write
from annoy_store.interfaces import New, Outcome, Sandbox, Tools
from annoy_store.queue import jobs
from annoy_store.queue.enqueue import plan_all
from annoy_store.queue.variants import draw_up
from annoy_store.sandbox import open_sandbox
from annoy_store.stages import PIPELINE, STAGES

RunStage = Callable[..., list[Outcome]]


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    opened = open_sandbox(slots=1)
    yield opened
    opened.close()


@pytest.fixture
def run_stage(sqlite_store: Store, sandbox: Sandbox) -> RunStage:
    """Write rows, plan, then do all pending jobs of a stage and settle them."""

    def run(name: str, rows: Sequence[New] = (), **changes: Any) -> list[Outcome]:
        stage = STAGES[name]
        with sqlite_store.write() as connection:
            write(connection, rows)
            if changes:
                from annoy_store.records.policy import set_policy

                set_policy(connection, {k: str(v) for k, v in changes.items()})
            agenda = draw_up(connection, PIPELINE)
            plan_all(connection, agenda)
            worker = _enlist(connection)
            outcomes = []
            for case in agenda.cases[name]:
                claims = jobs.claim(connection, worker, name, case.variant_id, 1000)
                read = jobs.load(connection, agenda, stage, claims)
                tools = _tools(agenda.policy, case.variant_id, sandbox)
                ended = [
                    jobs.Ended(c, stage.work(read[c.subject_id], tools))  # type: ignore[arg-type]
                    for c in claims
                    if c.subject_id in read
                ]
                jobs.settle(connection, worker, ended, agenda)
                outcomes += [e.outcome for e in ended]
        return outcomes

    return run


def _enlist(connection: Any) -> int:
    from annoy_store.queue.workers import enlist

    return enlist(connection, ["test"], 30.0)


def _tools(policy: Policy, variant_id: int, sandbox: Sandbox) -> Tools:
    def nobody(kind: str, pinned: int) -> Any:
        raise AssertionError("this stage asks nobody")

    return Tools(policy, variant_id, lambda: sandbox, nobody, 1)
