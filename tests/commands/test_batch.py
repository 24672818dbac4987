"""The command `annoy batch`, and runs of `annoy run --teacher batch`."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from sqlalchemy import select

from annoy_store.batch import poll
from annoy_store.config import RunSettings
from annoy_store.db.migrate import open_store
from annoy_store.db.tables import calls, prompts, responses
from annoy_store.hashing import canonical_json
from annoy_store.worker.run import run
from tests.commands.conftest import CHECKOUT, WORKED, Annoy
from tests.integration.test_interrupted_calls import kept, plan_calls
from tests.support.provider import Provider

OneLine = Callable[[Result], str]


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setattr(poll, "RELIST_SECONDS", 0.0)
    with Provider().serving() as running:
        monkeypatch.setenv("ANNOY_BASE_URL", running.url)
        monkeypatch.setenv("ANNOY_MODEL", "sim")
        yield running


@pytest.fixture
def planned(tmp_path: Path) -> Path:
    """`annoy.db` with eight pending calls."""
    store = open_store(f"sqlite:///{tmp_path}/annoy.db", create=True)
    plan_calls(store, 8)
    store.close()
    return tmp_path / "annoy.db"


def jobs_of(path: Path) -> dict[str, int]:
    store = open_store(f"sqlite:///{path}")
    try:
        return dict(kept(store)["jobs"])
    finally:
        store.close()


def test_batch_is_submitted_shown_and_imported(
    annoy: Annoy, provider: Provider, planned: Path
) -> None:
    first = annoy("run", "complete", "--teacher", "batch")
    assert first.exit_code == 0
    assert "8 calls submitted in batches" in first.stderr
    assert "import the results with: annoy run --teacher batch --model sim" in first.stderr
    (batch,) = json.loads(annoy("batch", "status", "--json").stdout)
    assert (batch["state"], batch["status"], batch["n_calls"]) == ("sent", "in_progress", 8)
    shown = annoy("batch", "status", "--local")
    assert "in_progress" in shown.stdout
    assert "8 calls wait in batch 1" in shown.stderr
    assert "8 calls are in batches" in annoy("status").stdout
    told = {"waiting": ["8"]}
    while told["waiting"]:
        told = json.loads(annoy("run", "complete", "--teacher", "batch", "--json").stdout)
    assert told["ended"] == {"complete": {"done": 8}}
    assert "ended" in annoy("batch", "status").stdout


def test_run_watch_stays_until_all_is_imported(
    annoy: Annoy, provider: Provider, planned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(f"sqlite:///{planned}")
    settings = RunSettings.layered({}, {"teacher": "batch", "poll_seconds": 0.02})
    stops: list[Callable[[], None]] = []

    def stop_when_done() -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until and kept(store)["answers"] < 8:
            time.sleep(0.05)
        stops[0]()

    watching = threading.Thread(target=stop_when_done)
    watching.start()
    done = run(store, settings, ["complete"], watch=True, on_signal=stops.append)
    watching.join()
    assert (done.interrupted, done.by_stage()) == (True, {"complete": {"done": 8}})
    store.close()


def test_batch_cancel_keeps_finished_answers(
    annoy: Annoy, provider: Provider, planned: Path
) -> None:
    provider.behave(batch_ends=[{"done": 0.5, "polls": 9}])
    annoy("run", "complete", "--teacher", "batch")
    cancelled = annoy("batch", "cancel", "1")
    assert cancelled.stdout == "batch 1: cancelling\n"
    annoy("run", "complete", "--teacher", "batch", "--limit", "1")
    assert jobs_of(planned) == {"done": 4, "pending": 3, "deferred": 1}
    assert provider.stats()["paid_twice"] == 0


def test_batch_export_can_be_released(annoy: Annoy, provider: Provider, planned: Path) -> None:
    written = annoy("batch", "export", "in.jsonl", "--limit", "5")
    assert written.stdout == "batch 1: 5 calls in in.jsonl\n"
    assert "annoy batch import FILE" in written.stderr
    assert len(Path("in.jsonl").read_text().splitlines()) == 5
    assert json.loads(annoy("batch", "cancel", "--all", "--json").stdout) == [
        {"batch": 1, "status": "released"}
    ]
    assert jobs_of(planned) == {"pending": 8}


def test_batch_errors_say_what_to_do(
    annoy: Annoy, provider: Provider, planned: Path, one_line: OneLine
) -> None:
    assert "annoy batch status" in one_line(annoy("batch", "cancel", "7"))
    assert annoy("batch", "cancel").exit_code == 2
    Path("empty.jsonl").write_text('{"custom_id": "request-1"}\n')
    assert "is it a result file?" in one_line(annoy("batch", "import", "empty.jsonl"))
    annoy("batch", "export", "in.jsonl")
    assert "exists already" in one_line(annoy("batch", "export", "in.jsonl"))


def test_batch_status_and_export_with_nothing_to_do(
    annoy: Annoy, provider: Provider, planned: Path
) -> None:
    assert "no batch yet" in annoy("batch", "status").stderr
    annoy("batch", "export", "all.jsonl")
    assert "no calls are pending" in annoy("batch", "export", "more.jsonl").stderr
    assert not Path("more.jsonl").exists()


def answers_of(path: Path) -> dict[str, str]:
    """Return the answers in a store by the messages that they answer."""
    store = open_store(f"sqlite:///{path}")
    with store.read() as connection:
        rows = connection.execute(
            select(prompts.c.messages, responses.c.text)
            .join(calls, calls.c.prompt_id == prompts.c.id)
            .join(responses, responses.c.call_id == calls.c.id)
        ).all()
    store.close()
    return {canonical_json(json.loads(messages)): text for messages, text in rows}


@pytest.mark.slow
def test_run_by_batch_equals_the_run_online(
    annoy: Annoy, provider: Provider, worked: Path, tmp_path: Path
) -> None:
    """After all rounds, with expired batches, the answers are the same."""
    known = answers_of(worked)
    provider.answers = lambda messages: known[canonical_json(messages)]
    provider.behave(batch_ends=[{"end": "expired", "done": 0.5, "polls": 0}] * 3)
    sources = tmp_path / "sources"
    sources.mkdir()
    for name in WORKED:
        shutil.copy(CHECKOUT / "annoy_store" / "demo" / name, sources)
    (tmp_path / "new").mkdir()
    url = f"sqlite:///{tmp_path}/new/annoy.db"
    annoy("--store", url, "ingest", sources, "--origin", "demo", "--licence", "MIT")
    told = {"waiting": ["something"]}
    while told["waiting"]:
        run_ = annoy("--store", url, "run", "--teacher", "batch", "--json")
        assert run_.exit_code == 0, run_.stderr
        told = json.loads(run_.stdout)
    assert answers_of(tmp_path / "new" / "annoy.db") == known
    question = "SELECT * FROM v_transitions ORDER BY 1, 2, 3"
    here = annoy("--store", url, "sql", question, "--format", "json").stdout
    there = annoy("--store", f"sqlite:///{worked}", "sql", question, "--format", "json").stdout
    assert json.loads(here) == json.loads(there)
    assert provider.stats()["paid_twice"] == 0
    assert annoy("--store", url, "check").exit_code == 0
