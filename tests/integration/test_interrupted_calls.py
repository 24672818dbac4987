"""A run that asks, as a process of its own: killed, stopped, refused, and started again.

The provider says what was paid for; the store says what was kept.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.migrate import open_store
from annoy_store.db.tables import attempts, calls, jobs, prompts, responses
from annoy_store.prompts.template import load_template
from annoy_store.queue.requeue import requeue
from annoy_store.records.prompts import prompt_rows
from tests.support.provider import Provider, default_answer

ROOT = Path(__file__).parents[2]
Start = Callable[..., subprocess.Popen[str]]


def plan_calls(store: Database, n: int) -> None:
    """Plan `n` calls of transform turns."""
    template = load_template("transform")
    with store.write() as connection:
        for i in range(n):
            messages = [{"role": "user", "content": f"{i}: what is this"}]
            insert_rows(connection, prompt_rows(messages, template, "transform", 1, str(i)))


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider().serving() as running:
        yield running


@pytest.fixture
def start(provider: Provider) -> Iterator[Start]:
    """Start `annoy run complete` on a store; what still runs at the end is killed."""
    begun: list[subprocess.Popen[str]] = []

    def run(store: Database, *options: str, **environment: str) -> subprocess.Popen[str]:
        url = store.url.render_as_string(hide_password=False)
        command = [sys.executable, "-m", "annoy_store", "--store", url, "run", "complete"]
        command += ["--base-url", provider.url, "--model", "sim", *options]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield run
    for process in begun:
        process.kill()
        process.communicate()


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 40
    while not condition():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.005)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, words = process.communicate(timeout=60)
    return process.returncode, words


def kept(store: Database) -> dict[str, Any]:
    """What a store has: jobs by state, and whether every answer is the one to its prompt."""
    with store.read() as connection:
        states = connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state))
        answers = connection.execute(
            select(prompts.c.messages, responses.c.text)
            .join(calls, calls.c.prompt_id == prompts.c.id)
            .join(responses, responses.c.call_id == calls.c.id)
        ).all()
        tried = connection.execute(select(attempts.c.status, func.count()).group_by("status"))
        wrong = [m for m, text in answers if text != default_answer(json.loads(m), 200)]
        return {
            "jobs": {row[0]: row[1] for row in states},
            "answers": len(answers),
            "wrong": wrong,
            "attempts": {row[0]: row[1] for row in tried},
        }


@pytest.mark.slow
def test_killed_three_times_with_200_in_flight(
    sqlite_store: Database, provider: Provider, start: Start
) -> None:
    """What is lost each time is what was in flight, and what waited for one commit."""
    n, in_flight = 1600, 200
    plan_calls(sqlite_store, n)
    provider.behave(latency=0.5, jitter=0.5)
    lost, options = [], ("--max-connections", str(in_flight), "--fixed-connections")
    for _ in range(3):
        process, before = start(sqlite_store, *options), provider.paid.total()
        wait_for(
            lambda before=before: provider.in_flight > 180 and provider.paid.total() > before + 150,
            process,
        )
        process.kill()
        process.wait()
        lost.append(provider.delivered.total() - kept(sqlite_store)["answers"] - sum(lost))
    code, words = ended(start(sqlite_store, *options))
    assert (code, words) == (0, words)
    end, stats = kept(sqlite_store), provider.stats()
    print("answered and not stored, per kill:", lost, "paid twice:", stats["paid_twice"])
    assert (end["answers"], end["wrong"], end["jobs"]) == (n, [], {"done": n})
    assert max(lost) < in_flight  # a commit window is a part of a round trip
    assert stats["paid_twice"] <= sum(lost) + 3 * in_flight


@pytest.mark.slow
def test_one_signal_loses_nothing(sqlite_store: Database, provider: Provider, start: Start) -> None:
    n = 200
    plan_calls(sqlite_store, n)
    provider.behave(latency=0.4, faults={"500": 0.2, "429": 0.1})
    process = start(sqlite_store, "--max-connections", "40")
    wait_for(lambda: provider.paid.total() > 20, process)
    process.send_signal(signal.SIGINT)
    code, words = ended(process)
    assert code == 130
    assert "finishing calls in flight" in words
    first = kept(sqlite_store)
    assert first["answers"] == provider.paid.total() < n
    assert first["jobs"] == {"done": first["answers"], "pending": n - first["answers"]}
    provider.behave(faults={}, latency=0.0)
    assert ended(start(sqlite_store))[0] == 0
    end, stats = kept(sqlite_store), provider.stats()
    assert (end["answers"], end["wrong"], stats["paid_twice"]) == (n, [], 0)
    counts = stats["counts"]
    assert end["attempts"] == {"ok": n, "retry": counts["500"], "limited": counts["429"]}


def test_a_second_signal_stops_at_once(
    sqlite_store: Database, provider: Provider, start: Start
) -> None:
    plan_calls(sqlite_store, 40)
    provider.behave(fault="hang")
    process = start(sqlite_store)
    wait_for(lambda: provider.in_flight > 10, process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 130
    provider.behave(fault=None)
    assert ended(start(sqlite_store))[0] == 0
    assert kept(sqlite_store)["jobs"] == {"done": 40}


@pytest.mark.slow
def test_an_empty_account_ends_the_run_and_costs_no_job(
    sqlite_store: Database, provider: Provider, start: Start
) -> None:
    plan_calls(sqlite_store, 30)
    provider.behave(status=402)
    code, words = ended(start(sqlite_store))
    assert code == 1
    assert "top up the account" in words
    seen = kept(sqlite_store)
    assert seen["jobs"] == {"pending": 30}
    assert seen["attempts"] == {"stopped": provider.counts["402"]}
    with sqlite_store.write() as connection:
        assert requeue(connection).total() == 0


@pytest.mark.parametrize("happens", ["deleted", "replaced"])
def test_a_run_whose_file_is_lost_stops_and_saves_what_was_paid(
    sqlite_store: Database, provider: Provider, start: Start, tmp_path: Path, happens: str
) -> None:
    path = sqlite_store.path
    assert path is not None
    plan_calls(sqlite_store, 2000)
    sqlite_store.close()
    provider.behave(latency=0.2)
    process = start(sqlite_store, "--max-connections", "8", ANNOY_LEASE_SECONDS="3")
    wait_for(lambda: provider.paid.total() > 20, process)
    if happens == "deleted":
        for ending in ("", "-wal", "-shm", ".lock"):
            Path(f"{path}{ending}").unlink()
    else:
        open_store(str(tmp_path / "other.db"), create=True).close()
        os.replace(tmp_path / "other.db", path)
    code, words = ended(process)
    assert code == 1
    assert f"was {happens}" in words
    (saved,) = path.parent.glob("*.saved-*")
    assert str(saved) in words
    found = open_store(str(saved))
    assert kept(found)["answers"] == provider.paid.total() < 2000
    found.close()
    if happens == "deleted":
        assert not path.exists()
    else:
        other = open_store(str(path))
        assert kept(other)["jobs"] == {}
        other.close()
