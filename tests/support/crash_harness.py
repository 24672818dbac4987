"""A fleet that is killed at random: chained stages through the real worker and the real ledger.

`python -m tests.support.crash_harness URL SEED` is the nursery: it has everything imported and
forks a worker for every line that it reads, so that hundreds of deaths cost no hundred starts of
Python. Every job leaves an effect (a row of `executions`, which has no unique key) in the
transaction that settles it, so whatever is done twice shows.

`Mutation` removes the protections one wants to see missed: the fence, and with it the liveness
check that a claim begins with; and its zombies go on instead of stopping.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, bindparam, func, select, update

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database, connect, is_transient
from annoy_store.db.insert import insert_rows
from annoy_store.db.sql import clock
from annoy_store.db.tables import calls, executions, jobs, responses, samples, sources, workers
from annoy_store.errors import LeaseLost
from annoy_store.interfaces import NewRow, Outcome, Row, Stage, StageContext
from annoy_store.queue import jobs as job_queue
from annoy_store.queue import workers as worker_leases
from annoy_store.queue.counters import funnel
from annoy_store.queue.workers import IS_ALIVE
from annoy_store.worker import claim_cursor, job_manager
from tests.support.factories import source
from tests.support.small_pipeline import ANSWER, FAN_OUT, JUDGE, SPREAD, ToyWorker, doing

LEASE = 1.0
MAX_CRASHES = 6
ROOT = Path(__file__).parents[2]
POISONS = ("raise-spread", "kill-spread", "raise-answer", "kill-answer")


# The work ------------------------------------------------------------------------------------


def _harm(stage: str, text: str) -> None:
    """Poison of `answer` is in the first of a source's prompts only."""
    if stage == "answer" and '"content":"0 ' not in text:
        return
    if f"raise-{stage}" in text:
        raise ValueError("poison")
    if f"kill-{stage}" in text:
        os.kill(os.getpid(), signal.SIGKILL)


def leaving_a_trace(stage: Stage) -> Stage:
    """The stage, taking its time, harmed by poison, and leaving one row per job that was done."""
    column = "content" if stage.name == "spread" else "text"
    column = "messages" if stage.name == "answer" else column

    def work(row: Row, tools: StageContext) -> Outcome:
        time.sleep(random.uniform(0, 0.002))
        _harm(stage.name, row[column])
        outcome: Any = stage.run(row, tools)
        return Outcome("done", (*outcome.rows, _effect(f"{stage.name}:{row['subject_id']}")))

    return doing(stage, work, writes=(*stage.writes, executions))


def _effect(name: str) -> NewRow:
    values = dict.fromkeys(("sample_id", "response_id", "error_type", "missing_module", "phase"))
    values |= {"purpose": "generate", "outcome": "ok", "cpu_ms": 0.0, "wall_ms": 0.0}  # type: ignore[dict-item]
    values |= {"isolation": "", "runner_version": "", "interpreter": "", "draws": name}  # type: ignore[dict-item]
    return NewRow(executions, values | {"error_message": None})


CHAIN = tuple(leaving_a_trace(stage) for stage in (SPREAD, ANSWER, JUDGE))


# The nursery ---------------------------------------------------------------------------------


def nursery(url: str, seed: int, mutation: bool) -> None:
    """Fork a worker per line of stdin and print its pid."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for number, _ in enumerate(sys.stdin):
        pid = os.fork()
        if pid == 0:
            random.seed(seed * 1000 + number)
            os._exit(worker(url, mutation))
        print(pid, flush=True)


def worker(url: str, mutation: bool, lease: float = LEASE) -> int:
    claim_cursor.INLINE_BATCH = random.choice((1, 4, 16, 64))
    job_manager.INLINE_BATCH = claim_cursor.INLINE_BATCH
    if mutation:
        remove_the_fence()
    store = connect(url)
    settings = RunSettings(lease_seconds=lease)
    running = ToyWorker(store, CHAIN, settings=settings, max_crashes=MAX_CRASHES)
    signal.signal(signal.SIGTERM, lambda *_: running.stop())
    try:
        running.run()
    except LeaseLost:
        return 3
    except Exception as error:
        if is_transient(error):
            return 4
        print(f"worker: {type(error).__name__}: {str(error)[:300]}", file=sys.stderr, flush=True)
        return 5
    return 0


def remove_the_fence() -> None:
    """Settle whatever was claimed once, whoever holds it now, and never notice one's death."""
    unused = bindparam("of_attempts", type_=BigInteger) + bindparam("of_worker", type_=BigInteger)
    job_queue._FINISH = (
        update(jobs)
        .where(job_queue.IN_SUBJECTS, unused >= 0)
        .values(state=bindparam("as_state"), worker_id=None, reason=None, detail=None)
        .returning(jobs.c.subject_id)
    )
    blindly = update(workers).where(workers.c.id == bindparam("of_worker"))
    blindly = blindly.values(lease_until=clock() + bindparam("lease"))

    def renew(connection: Any, worker_id: int, seconds: float) -> None:
        connection.execute(blindly, {"of_worker": worker_id, "lease": seconds})

    worker_leases.renew_lease = renew


# The storm -----------------------------------------------------------------------------------


@dataclass
class Storm:
    """What happens to a fleet of workers on a store."""

    store: Database
    seed: int
    kills: int
    workers: int = 4
    longest_pause: float = 0.12
    mutation: bool = False
    restart: Callable[[], None] | None = None
    most_restarts: int = 2
    restarts: int = 0
    done: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("kill", "term", "stop"), 0))
    complaints: str = ""

    def rage(self, deadline: float) -> None:
        """Work, kill and feed until `kills` have happened; then let the fleet finish in peace."""
        chance = random.Random(self.seed)
        with self._nursery() as hire:
            alive: set[int] = set()
            paused: dict[int, threading.Timer] = {}
            fed = 0
            until = time.monotonic() + deadline
            while self.done["kill"] < self.kills or self._unfinished():
                assert time.monotonic() < until, f"not finished: {self._standing()}"
                alive = {pid for pid in alive if worker_leases.process_start(pid)}
                while len(alive) < self.workers:
                    alive.add(hire())
                if self.done["kill"] < self.kills:
                    if self._unfinished() < 150:
                        fed += self._feed(fed, 40, poisoned=fed < self.kills)
                    self._strike(chance, alive, paused)
                    time.sleep(chance.uniform(0, self.longest_pause))
                else:
                    time.sleep(0.05)
            for pid in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            while any(worker_leases.process_start(pid) for pid in alive):
                time.sleep(0.02)
            for waking in paused.values():
                waking.join()

    @contextlib.contextmanager
    def _nursery(self) -> Iterator[Callable[[], int]]:
        url = self.store.url.render_as_string(hide_password=False)
        command = [sys.executable, "-m", "tests.support.crash_harness", url, str(self.seed)]
        command += ["mutation"] if self.mutation else []
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert process.stdin
        assert process.stdout
        assert process.stderr
        heard: list[str] = []
        listener = threading.Thread(target=lambda: heard.extend(process.stderr or ()))
        listener.start()

        def hire() -> int:
            assert process.stdin
            assert process.stdout
            process.stdin.write("\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        try:
            yield hire
        finally:
            process.stdin.close()
            process.wait(30)
            process.stdout.close()
            listener.join(30)
            process.stderr.close()
            self.complaints = "".join(heard)

    def _strike(
        self, chance: random.Random, alive: set[int], paused: dict[int, threading.Timer]
    ) -> None:
        victims = sorted(alive - {pid for pid, waking in paused.items() if waking.is_alive()})
        if not victims:
            return
        victim, dice = chance.choice(victims), chance.random()
        name, number = ("kill", signal.SIGKILL)
        if dice > 0.9:
            name, number = "stop", signal.SIGSTOP
            paused[victim] = self._wake_later(victim, LEASE * chance.uniform(1.1, 1.6))
        elif dice > 0.8:
            name, number = "term", signal.SIGTERM
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, number)
            self.done[name] += 1
        due = self.kills * (self.restarts + 1) // (self.most_restarts + 1)
        if self.restart and self.done["kill"] >= due and self.restarts < self.most_restarts:
            self.restarts += 1
            self.restart()

    def _wake_later(self, pid: int, seconds: float) -> threading.Timer:
        """Let a paused worker go on, whatever we wait for then: it may hold the store's lock."""

        def wake() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

        waking = threading.Timer(seconds, wake)
        waking.start()
        return waking

    def _feed(self, start: int, n: int, poisoned: bool) -> int:
        """Add sources as `ingest` does: nobody plans for them."""

        def content(i: int) -> str:
            poison = POISONS[(i // 10) % 4] if poisoned and i % 10 == 0 else ""
            return f"x = {i}  # {poison}\n"

        self.store.transact(
            lambda c: insert_rows(c, [source(content(i)) for i in range(start, start + n)])
        )
        return n

    def _standing(self) -> dict[str, dict[str, int]]:
        return self.store.transact(funnel)

    def _unfinished(self) -> int:
        """Jobs that have not ended, and sources for which nobody has planned."""
        found = self._standing()
        n_sources = self.store.transact(lambda c: c.scalar(select(func.count(sources.c.id)))) or 0
        jobs_left = sum(
            n for by in found.values() for state, n in by.items() if state not in _ENDED
        )
        return n_sources - sum(found.get("spread", {}).values()) + jobs_left


_ENDED = ("done", "failed", "rejected")


# What must be true afterwards ----------------------------------------------------------------


def findings(store: Database) -> list[str]:
    """Everything that is wrong with the store after a storm; nothing, if all is well."""
    found: list[str] = []
    with store.read() as connection:
        names = executions.c.draws
        twice = connection.execute(
            select(names, func.count()).group_by(names).having(func.count() > 1)
        ).all()
        found += [f"done twice: {name} ({n} times)" for name, n in twice]
        ended = connection.execute(select(jobs.c.stage, jobs.c.subject_id, jobs.c.state)).all()
        effects = set(connection.scalars(select(names)))
        for stage, subject, state in ended:
            if (f"{stage}:{subject}" in effects) != (state == "done"):
                found.append(f"state and effect differ: {stage}:{subject} is {state}")
        truth: dict[str, dict[str, int]] = {}
        for stage, _, state in ended:
            truth.setdefault(stage, {}).setdefault(state, 0)
            truth[stage][state] += 1
        if truth != funnel(connection):
            found.append(f"the counters say {funnel(connection)}, the jobs {truth}")
        found += _lost(connection)
        if connection.scalar(select(func.count()).where(IS_ALIVE).select_from(workers)):
            found.append("somebody is thought to be alive")
        if connection.dialect.name == "sqlite":
            if connection.exec_driver_sql("PRAGMA integrity_check").scalar() != "ok":
                found.append("the file is damaged")
            found += map(str, connection.exec_driver_sql("PRAGMA foreign_key_check"))
    return found


def _lost(connection: Any) -> list[str]:
    """Poison is what failed, exactly, and all else went all the way."""
    content = sources.c.content
    poisoned = set(connection.scalars(select(sources.c.id).where(content.like("%-spread%"))))
    failed = set(
        connection.scalars(
            select(jobs.c.subject_id).where(jobs.c.stage == "spread", jobs.c.state == "failed")
        )
    )
    found = [] if failed == poisoned else [f"failed {sorted(failed ^ poisoned)} of spread"]
    n_sources = connection.scalar(select(func.count(sources.c.id)))
    n_harmed = connection.scalar(select(func.count()).where(content.like("%-answer%")))
    n_calls = (n_sources - len(poisoned)) * FAN_OUT
    expected = {"calls": n_calls, "answers": n_calls - n_harmed, "samples": n_calls - n_harmed}
    counts = {
        "calls": connection.scalar(select(func.count(calls.c.id))),
        "answers": connection.scalar(select(func.count(responses.c.id))),
        "samples": connection.scalar(select(func.count(samples.c.id))),
    }
    return found + ([] if counts == expected else [f"{counts} instead of {expected}"])


if __name__ == "__main__":
    nursery(sys.argv[1], int(sys.argv[2]), "mutation" in sys.argv)
