"""Is a store of a million sources still pleasant? The commands that people type, timed on one.

Run: python tests/benchmarks/growing.py [--quick] [--sources N] [--folder DIR]

Three SQLite stores of made-up history (see tests/support/store_filler.py): a small one, one with a million sources
that were only just ingested, and one with a million sources and two million prompts and answers.
On each, `annoy status`, `show` and `plan` run as processes of their own; told are the median
seconds, those of the processor (which a busy machine does not change much), and the peak memory on
the large stores beside that on the small one. Then a worker settles
jobs on the large store and its log is watched. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from ingesting import timed  # noqa: E402

from annoy_store.db.sqlite_file import sqlite_module  # noqa: E402
from tests.support.store_filler import Filler  # noqa: E402

REFUSED = 0.865  # so that there are two answers per source
SETTLED = "transform"  # the stage that works while the log is watched
TEXTS = (
    ("sources", "content"),
    ("prompts", "messages"),
    ("responses", "text"),
    ("samples", "refcode"),
    ("samples", "problem_statement"),
    ("samples", "io_requirements"),
    ("samples", "input_generator"),
    ("verdicts", "feedback"),
    ("io_pairs", "input"),
    ("io_pairs", "output"),
)
COMMANDS = {
    "status": ("status", "--json"),
    "show_source": ("show", "source:{half}", "--json"),
    "show_response": ("show", "response:{half}", "--json"),
    "show_random": ("show", "random", "wrong"),
    "plan": ("plan", "--teacher", "tracer", "--json"),
}
ANNOY = [sys.executable, "-m", "annoy_store"]


def filled(path: Path, sources: int, new: int) -> None:
    """A store in which `sources` went all the way, and `new` ones came in after that."""
    filler = Filler(path, refused=REFUSED)
    while filler.next["sources"] <= sources:
        filler.fill(min(50_000, 2 * (sources + 1 - filler.next["sources"])))
    if sources:
        filler.close()
        run(path, "run", "parse", "--limit", "1")  # plans once, as the runs before have done
        filler = Filler(path)
    filler.ingest(new)
    filler.close()


def run(path: Path, *words: str) -> None:
    command = [*ANNOY, "--store", f"sqlite:///{path}", "-q", *words]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def measured(path: Path, name: str, repeats: int) -> dict[str, dict[str, float]]:
    """Per command: seconds at first, median seconds after that, of the processor, and peak MB."""
    db = sqlite_module().connect(str(path))
    half = int(db.execute("SELECT MAX(id) FROM responses").fetchone()[0] or 0) // 2
    db.close()
    found = {}
    os.chdir(ROOT)
    for what, words in COMMANDS.items():
        if what != "status" and what != "plan" and not half:
            continue
        said = [word.format(half=half) for word in words]
        runs = [timed([*ANNOY, "--store", f"sqlite:///{path}", *said]) for _ in range(repeats)]
        later, cpu = (statistics.median(r[i] for r in runs[1:]) for i in (0, 1))
        found[what] = {"first": runs[0][0], "s": later, "cpu": cpu, "mb": max(r[2] for r in runs)}
        print(
            f"  {name:9} {what:14} first {runs[0][0]:6.2f} s, then {later:5.2f} s, CPU {cpu:5.2f} s,"
            f" {found[what]['mb']:5.0f} MB",
            flush=True,
        )
    return found


def watched(path: Path, seconds: float) -> tuple[float, int]:
    """Let a worker settle jobs for a while; returns the largest MB of the log, and how many."""
    log, largest = Path(f"{path}-wal"), 0
    command = [*ANNOY, "--store", f"sqlite:///{path}", "-q", "run", SETTLED]
    before = _ended(path)
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        until = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < until:
            largest = max(largest, log.stat().st_size if log.exists() else 0)
            time.sleep(0.02)
        process.terminate()
    return largest / 1e6, _ended(path) - before


def _ended(path: Path) -> int:
    db = sqlite_module().connect(str(path))
    ended = "SELECT TOTAL(n) FROM job_counters WHERE stage = ? AND state = 'done'"
    n = int(db.execute(ended, (SETTLED,)).fetchone()[0])
    db.close()
    return n


def sizes(path: Path) -> dict[str, Any]:
    """Rows of the large tables, and bytes of the file per byte of text that is in it."""
    db = sqlite_module().connect(str(path))
    counts = {
        table: db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
        for table in ("sources", "prompts", "responses", "jobs")
    }
    n_text = sum(
        db.execute(f"SELECT TOTAL(LENGTH(CAST({column} AS BLOB))) FROM {table}").fetchone()[0]
        for table, column in TEXTS
    )
    db.close()
    size = path.stat().st_size
    return {
        **counts,
        "file_gb": round(size / 1e9, 2),
        "file_per_text_byte": round(size / n_text, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the size")
    parser.add_argument("--sources", type=int)
    parser.add_argument("--folder", type=Path, help="where the stores are made; 10 GB free")
    parser.add_argument("--keep", action="store_true", help="use, and leave, what is there")
    parser.add_argument("--repeats", type=int, default=4)
    options = parser.parse_args()
    n = options.sources or (20_000 if options.quick else 1_000_000)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="annoy-growing-"))
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {"small": (1_000, 100), "ingested": (0, n), "large": (n, n // 20)}
    found = {}
    for name, (sources, new) in shapes.items():
        path = folder / f"{name}.db"
        if not path.exists():
            began = time.perf_counter()
            filled(path, sources, new)
            print(f"{name}: filled in {time.perf_counter() - began:,.0f} s", flush=True)
        found[name] = measured(path, name, options.repeats)
    large = folder / "large.db"
    told: dict[str, Any] = {"load": os.getloadavg()[0], **sizes(large)}
    for name in ("ingested", "large"):
        for what, seen in found[name].items():
            told[f"{name}_{what}_s"] = round(seen["s"], 2)
            told[f"{name}_{what}_first_s"] = round(seen["first"], 2)
            told[f"{name}_{what}_cpu_s"] = round(seen["cpu"], 2)
            if what in found["small"]:
                ratio = seen["mb"] / found["small"][what]["mb"]
                told[f"{name}_{what}_memory_ratio"] = round(ratio, 2)
    told["wal_mb"], told["settled"] = watched(large, 5 if options.quick else 20)
    if not options.keep:
        shutil.rmtree(folder)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
