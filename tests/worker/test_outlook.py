"""What the store tells of a run: counts, rates, cost, and the time left."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import annoy_store
from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.migrate import open_store
from annoy_store.db.tables import calls, prompts, responses
from annoy_store.ingest.sources import IngestOptions, ingest
from annoy_store.tasks.policy import set_policy
from annoy_store.worker.outlook import Outlook
from annoy_store.worker.run import run
from tests.integration.test_interrupted_calls import plan_calls
from tests.support.provider import Provider

DEMO = Path(annoy_store.__file__).parent / "demo"
PRICES = {"sim": {"input": 1.0, "cached": 0.1, "output": 2.0}}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider().serving() as running:
        yield running


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


SHAPES: dict[str, dict[str, Any]] = {
    "fresh": {},
    "half done": {"done_before": 100},
    "one turn": {"policy": {"max_turns": "1"}},
    "rate limited": {"provider": {"rpm": 120, "retry_after": 0.5}},
}


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("shape", SHAPES)
def test_seconds_left_and_cost_are_right_after_a_tenth_of_a_run(
    sqlite_store: Database, recorded_answers: Path, shape: str
) -> None:
    """Both are right within a factor of 1.5, from the first to the last tenth of the run."""
    done_before = SHAPES[shape].get("done_before")
    limit_cpu(sqlite_store, **SHAPES[shape].get("policy", {}))
    ingest(sqlite_store, [DEMO], IngestOptions(origin="demo", licence="MIT"))
    behaviour = {"latency": 2.0, "jitter": 0.5, **SHAPES[shape].get("provider", {})}
    with Provider(answers=str(recorded_answers), **behaviour).serving() as provider:
        settings = RunSettings(
            base_url=provider.url, model="sim", prices=PRICES, max_connections=4, slots=1
        )
        if done_before:
            run(sqlite_store, settings, limit=done_before)
        seen: list[tuple[float, Outlook]] = []
        began = time.monotonic()
        done = run(
            sqlite_store,
            settings,
            display=lambda p: p.outlook and seen.append((time.monotonic(), p.outlook)),
        )
    seconds, spent = time.monotonic() - began, done.outlook and done.outlook.usage.cost_usd
    assert spent
    shares = {
        (at - began) / seconds: (
            outlook.seconds_left and (at - began + outlook.seconds_left) / seconds,
            outlook.usd and outlook.usd / spent,
        )
        for at, outlook in seen
    }
    wrong = {
        share: found
        for share, found in shares.items()
        if 0.1 < share < 0.9 and not all(f and 1 / 1.5 < f < 1.5 for f in found)
    }
    assert wrong == {}, f"of {seconds:.0f} s"


@pytest.fixture(scope="module")
def recorded_answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracer's answers to all questions about the demo's sources."""
    folder = tmp_path_factory.mktemp("recorded")
    store = open_store(f"sqlite:///{folder}/annoy.db", create=True)
    record_demo(store, folder / "answers.jsonl")
    store.close()
    return folder / "answers.jsonl"


def limit_cpu(store: Database, **policy: str) -> None:
    """Limit the time of a source that loops forever."""
    with store.write() as connection:
        set_policy(connection, {"cpu_seconds": "1", **policy})


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
