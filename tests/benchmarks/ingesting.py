"""What ingest costs beside the bare driver: the same rows into the same tables and indexes.

Run: python tests/benchmarks/ingesting.py [--quick] [--rows N] [--data FILE] [--postgres URL]

Both sides read the same JSONL, hash every source and every origin, and leave the same two tables.
SQLite's baseline is `executemany` of the standard library's driver, as a careful script would use
it; PostgreSQL's is COPY into a staging table and one INSERT .. SELECT. Turns are interleaved. The
peak memory is that of `annoy ingest` as a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from annoy_store.db.engine import Database  # noqa: E402
from annoy_store.db.sqlite_file import sqlite_module  # noqa: E402
from annoy_store.db.tables import origins, sources  # noqa: E402
from annoy_store.ingest.sources import IngestOptions, ingest  # noqa: E402
from tests.benchmarks.ledger import fresh, server  # noqa: E402

BATCH = 2_000
SOURCE_COLUMNS = "digest, language, n_chars, created_at, content"
ORIGIN_COLUMNS = "digest, source_id, origin, repo, path, licence, metadata"


def made_up(file: Path, n: int) -> None:
    """Raw files of about 1 kB, one in ten of them a copy from elsewhere."""
    chance = random.Random(1)
    words = [f"name_{i}" for i in range(500)]
    with file.open("w") as out:
        contents: list[str] = []
        for i in range(n):
            if contents and chance.random() < 0.1:
                content = chance.choice(contents[-1000:])
            else:
                lines = (" ".join(chance.choices(words, k=6)) for _ in range(20))
                content = f"# {i}\n" + "\n".join(lines)
                contents.append(content)
            row = {"content": content, "repo": f"team/{i % 997}", "path": f"a/{i}.py"}
            out.write(json.dumps({**row, "licence": "mit"}) + "\n")


def named(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:32]


def batches(file: Path, column: str) -> Iterator[tuple[list[Any], list[Any]]]:
    """The rows of the two tables, some at a time."""
    some: list[Any] = []
    places: list[Any] = []
    with file.open() as lines:
        for line in lines:
            row = json.loads(line)
            content = row[column]
            repo, path = row.get("repo", ""), row.get("path", "")
            licence = row.get("licence", "")
            name = named("source", "python", content)
            some.append((name, "python", len(content), "2026", content))
            place = (file.name, repo, path, licence, "{}")
            places.append((named("origin", name, *place), name, *place))
            if len(some) == BATCH:
                yield some, places
                some, places = [], []
    if some:
        yield some, places


def bare_sqlite(store: Database, file: Path, column: str) -> None:
    db: Any = sqlite_module().connect(str(store.path), isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        db.execute(f"PRAGMA {pragma}")
    marks = ", ".join("?" * 5)
    for rows, places in batches(file, column):
        db.execute("BEGIN IMMEDIATE")
        db.executemany(f"INSERT OR IGNORE INTO sources ({SOURCE_COLUMNS}) VALUES ({marks})", rows)
        db.executemany(
            f"INSERT OR IGNORE INTO origins ({ORIGIN_COLUMNS}) VALUES "
            f"(?, (SELECT id FROM sources WHERE digest = ?), {marks})",
            places,
        )
        db.execute("COMMIT")
    db.close()


def bare_postgres(store: Database, file: Path, column: str) -> None:
    import psycopg

    url = store.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as db:
        db.execute("CREATE TEMP TABLE s (digest text, language text, n bigint, t text, c text)")
        db.execute(
            "CREATE TEMP TABLE o (digest text, source text, a text, b text, c text, d text, e text)"
        )
        db.commit()
        for rows, places in batches(file, column):
            for table, some in (("s", rows), ("o", places)):
                with db.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as sink:
                    for row in some:
                        sink.write_row(row)
            db.execute(
                f"INSERT INTO sources ({SOURCE_COLUMNS}) SELECT * FROM s ON CONFLICT DO NOTHING"
            )
            db.execute(
                f"INSERT INTO origins ({ORIGIN_COLUMNS}) SELECT o.digest, sources.id, a, b, c, d, e "
                "FROM o JOIN sources ON sources.digest = o.source ON CONFLICT DO NOTHING"
            )
            db.execute("TRUNCATE s, o")
            db.commit()


def ours(store: Database, file: Path, column: str) -> None:
    tally = ingest(store, [file], IngestOptions(column=column))
    assert not tally.refused, tally.refused
    assert not tally.errors, tally.errors


def measure(kind: str, url: str | None, file: Path, column: str, repeats: int) -> dict[str, Any]:
    baseline = bare_sqlite if kind == "sqlite" else bare_postgres
    seen: dict[str, list[tuple[float, float]]] = {"ours": [], "baseline": []}
    sizes = set()
    for _ in range(repeats):
        for name, run in (("baseline", baseline), ("ours", ours)):
            with tempfile.TemporaryDirectory() as folder, fresh(url, Path(folder)) as store:
                began, cpu = time.perf_counter(), time.process_time()
                run(store, file, column)
                seen[name].append((time.perf_counter() - began, time.process_time() - cpu))
                sizes.add(_size(store))
    assert len(sizes) == 1, f"the two sides wrote different rows: {sizes}"
    n = sum(1 for _ in file.open())
    rates = {name: n / min(t for t, _ in runs) for name, runs in seen.items()}
    cpus = {name: statistics.median(c for _, c in runs) for name, runs in seen.items()}
    print(
        f"  {kind:9} rows/s: ours {rates['ours']:,.0f}, bare {rates['baseline']:,.0f}; "
        f"client CPU: ours {cpus['ours']:.2f} s, bare {cpus['baseline']:.2f} s",
        flush=True,
    )
    return {
        f"ours_{kind}": round(rates["ours"]),
        f"baseline_{kind}": round(rates["baseline"]),
        f"vs_bare_{kind}": round(rates["ours"] / rates["baseline"], 2),
        f"cpu_ratio_{kind}": round(cpus["ours"] / cpus["baseline"], 2),
    }


def timed(command: list[str]) -> tuple[float, float, float]:
    """(wall seconds, CPU seconds, peak MB) of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        peak = 0.0
        while child.poll() is None:
            peak = max(peak, _resident(child.pid))
            time.sleep(0.01)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert child.returncode == 0, command
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, peak


def _resident(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(found[0].split()[1]) / 1024 if found else 0.0


def peak(file: Path, column: str) -> float:
    """Peak MB of `annoy ingest FILE` into a new SQLite store."""
    with tempfile.TemporaryDirectory(prefix="annoy-bench-") as folder:
        store = f"sqlite:///{folder}/s.db"
        words = ["-m", "annoy_store", "--store", store, "ingest", "--column", column, str(file)]
        return timed([sys.executable, *words])[2]


def _size(store: Database) -> tuple[int, int]:
    with store.read() as connection:
        counts = [
            connection.scalar(select(func.count()).select_from(t)) for t in (sources, origins)
        ]
    return counts[0] or 0, counts[1] or 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--data", type=Path, help="a JSONL file instead of made-up rows")
    parser.add_argument("--column", default="content")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--postgres", help="URL of a server to use")
    options = parser.parse_args()
    n = options.rows or (6_000 if options.quick else 100_000)
    result: dict[str, Any] = {"load": os.getloadavg()[0]}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="annoy-bench-")))
        file = options.data or folder / "raw.jsonl"
        if options.data is None:
            made_up(file, n)
        url = stack.enter_context(server(options.postgres))
        result |= measure("sqlite", None, file, options.column, options.repeats)
        if url is not None:
            result |= measure("postgres", url, file, options.column, options.repeats)
        result["peak_mb"] = round(peak(file, options.column))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
