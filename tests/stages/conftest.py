"""Running one stage on rows that a test wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from annoy_store import ledger
from annoy_store.contracts import New, Outcome, Sandbox, Tools
from annoy_store.engines import Store
from annoy_store.planning import plan_all
from annoy_store.policies import draw_up
from annoy_store.sandbox import open_sandbox
from annoy_store.settings import Policy
from annoy_store.stages import PIPELINE, STAGES
from annoy_store.writing import write

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
                from annoy_store.policy_rows import set_policy

                set_policy(connection, {k: str(v) for k, v in changes.items()})
            agenda = draw_up(connection, PIPELINE)
            plan_all(connection, agenda)
            worker = _enlist(connection)
            outcomes = []
            for case in agenda.cases[name]:
                claims = ledger.claim(connection, worker, name, case.variant_id, 1000)
                read = ledger.load(connection, agenda, stage, claims)
                tools = _tools(agenda.policy, case.variant_id, sandbox)
                ended = [
                    ledger.Ended(c, stage.work(read[c.subject_id], tools))  # type: ignore[arg-type]
                    for c in claims
                    if c.subject_id in read
                ]
                ledger.settle(connection, worker, ended, agenda)
                outcomes += [e.outcome for e in ended]
        return outcomes

    return run


def _enlist(connection: Any) -> int:
    from annoy_store.workforce import enlist

    return enlist(connection, ["test"], 30.0)


def _tools(policy: Policy, variant_id: int, sandbox: Sandbox) -> Tools:
    def nobody(kind: str, pinned: int) -> Any:
        raise AssertionError("this stage asks nobody")

    return Tools(policy, variant_id, lambda: sandbox, nobody, 1)
