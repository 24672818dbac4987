"""What the store tells of a run: counts, rates, cost, and the time left."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

import annoy_store
from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.tables import calls, prompts, responses
from annoy_store.ingest.sources import IngestOptions, ingest
from annoy_store.tasks.policy import set_policy
from annoy_store.worker.outlook import Outlook, Reading, Readings, seconds_left
from annoy_store.worker.progress import Progress
from annoy_store.worker.run import run
from tests.integration.test_interrupted_calls import plan_calls
from tests.support.provider import Provider

DEMO = Path(annoy_store.__file__).parent / "demo"
PRICES = {"sim": {"input": 1.0, "cached": 0.1, "output": 2.0}}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider().serving() as running:
        yield running


def test_per_second_covers_the_last_seconds_only() -> None:
    readings = Readings()
    for at in range(2_000):
        readings.add(Reading(at, {"complete": {"done": min(at, 1_970)}}))
    assert readings.per_second(30, lambda r: r.n_ended("complete")) == pytest.approx(
        1 / 30, rel=0.1
    )
    assert readings.per_second(1e9, lambda r: r.n_ended("complete")) == pytest.approx(
        0.95, rel=0.01
    )


def test_seconds_left_follows_the_calls() -> None:
    assert seconds_left({"complete": 100, "verify": 900}, {}, {"complete": 2, "verify": 0.1}) == 50


def test_seconds_left_follows_a_stage_whose_jobs_pile_up() -> None:
    rates = {"complete": 2.0, "generate": 0.5}
    assert seconds_left({"complete": 100, "generate": 400}, {"generate": 60}, rates) == 800
    assert seconds_left({"generate": 400}, {}, {"generate": 0.5}) == 800


def test_seconds_left_is_unknown_before_the_first_answer() -> None:
    assert seconds_left({"complete": 100, "parse": 3}, {}, {"complete": 0.0, "parse": 1.0}) is None
    assert seconds_left({"complete": 0.2}, {}, {}) == 0


def test_watcher_counts_what_a_run_did_and_cost(store: Database, provider: Provider) -> None:
    plan_calls(store, 20)
    settings = RunSettings(base_url=provider.url, model="sim", prices=PRICES)
    run(store, settings, ["complete"], limit=5)
    done = run(store, settings, ["complete"])
    assert done.outlook is not None
    assert done.outlook.stages["complete"].ended == {"done": 15, "rejected": 0, "failed": 0}
    assert done.outlook.usage.attempts == 15
    assert done.outlook.usage.cost_usd == pytest.approx(
        (done.outlook.usage.tokens["prompt"] + 2 * done.outlook.usage.tokens["completion"]) / 1e6
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_seconds_left_and_cost_are_right_after_a_tenth_of_a_run(
    sqlite_store: Database, postgres_store: Database, tmp_path: Path
) -> None:
    record_demo(sqlite_store, tmp_path / "answers.jsonl")
    store = postgres_store
    limit_cpu(store)
    ingest(store, [DEMO], IngestOptions(origin="demo", licence="MIT"))
    with Provider(answers=str(tmp_path / "answers.jsonl"), latency=0.8, jitter=0.5).serving() as p:
        seen: list[tuple[float, Outlook]] = []

        def note(progress: Progress) -> None:
            if progress.outlook:
                seen.append((time.monotonic(), progress.outlook))

        settings = RunSettings(
            base_url=p.url, model="sim", prices=PRICES, max_connections=4, slots=1
        )
        began = time.monotonic()
        done = run(store, settings, display=note)
    end, spent = time.monotonic(), done.outlook and done.outlook.usage.cost_usd
    for at, outlook in seen:
        share = (at - began) / (end - began)
        if 0.1 < share < 0.9:
            assert outlook.seconds_left is not None
            in_all = (at - began + outlook.seconds_left) / (end - began)
            assert in_all > 1 / 1.5, share
            assert in_all < 1.5 or outlook.is_upper_bound, share
            assert outlook.usd is None or spent is not None
            assert outlook.is_upper_bound or 1 / 1.5 < (outlook.usd or 0) / (spent or 1) < 1.5, (
                share
            )
    assert not all(outlook.is_upper_bound for _, outlook in seen[: len(seen) // 4])


def limit_cpu(store: Database) -> None:
    """Limit the time of a source that loops forever."""
    with store.write() as connection:
        set_policy(connection, {"cpu_seconds": "1"})


def record_demo(store: Database, path: Path) -> None:
    """Run the demo's sources through the tracer, and write its answers by the prompts' digests."""
    limit_cpu(store)
    ingest(store, [DEMO], IngestOptions(origin="demo", licence="MIT"))
    run(store, RunSettings(teacher="tracer"))
    answered = prompts.join(calls, calls.c.prompt_id == prompts.c.id).join(
        responses, responses.c.call_id == calls.c.id
    )
    with store.read() as connection:
        rows = connection.execute(
            select(prompts.c.messages, responses.c.text).select_from(answered)
        )
        lines = [json.dumps({"messages": json.loads(m), "response": text}) for m, text in rows]
    path.write_text("\n".join(lines))
