"""How fast rows go in, and in how much memory: `annoy ingest` against bare sqlite3.

Both read the same JSON lines (1 in 10 rows is a duplicate) and write the same two tables into a
WAL file, 2,000 rows a transaction; the bare one hashes the content and keeps no metadata. Each
run is a process of its own; ours and the baseline take turns. `--data FILE` takes real lines.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BARE = """
import hashlib, json, sqlite3, sys
c = sqlite3.connect(sys.argv[2], isolation_level=None)
c.execute("PRAGMA journal_mode = WAL"); c.execute("PRAGMA synchronous = NORMAL")
c.execute("CREATE TABLE sources (id INTEGER PRIMARY KEY, digest TEXT UNIQUE, content TEXT)")
c.execute("CREATE TABLE origins (id INTEGER PRIMARY KEY, digest TEXT UNIQUE, path TEXT)")
def flush(rows):
    c.execute("BEGIN IMMEDIATE")
    c.executemany("INSERT INTO sources (digest, content) VALUES (?, ?) ON CONFLICT DO NOTHING", rows)
    c.executemany("INSERT INTO origins (digest, path) VALUES (?, ?) ON CONFLICT DO NOTHING",
                  [(d, d) for d, _ in rows])
    c.execute("COMMIT")
rows = []
for line in open(sys.argv[1], "rb"):
    text = json.loads(line)["content"]
    rows.append((hashlib.sha256(text.encode()).hexdigest()[:32], text))
    if len(rows) == 2000:
        flush(rows); rows = []
flush(rows)
"""
OURS = "from annoy_store.__main__ import main; main()"


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


def write_lines(path: Path, rows: int, data: Path | None) -> None:
    """`rows` lines; from `data` with a number put before each content, so that they differ."""
    given = data.read_text(encoding="utf-8").splitlines() if data else []
    bodies = [json.loads(line)["content"] for line in given] or ["x = 1  # line of code\n" * 60]
    with path.open("w", encoding="utf-8") as out:
        for i in range(rows):
            n = i - 1 if i % 10 == 9 else i
            row = {"content": f"# {n}\n{bodies[n % len(bodies)]}", "path": f"{i}.py", "score": 4}
            out.write(json.dumps(row) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    rows, repeats = (10_000, 1) if options.quick else (100_000, 3)
    found: dict[str, list[tuple[float, float, float]]] = {"ours": [], "bare": []}
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder, "x.jsonl")
        write_lines(lines, rows, options.data)
        megabytes = lines.stat().st_size / 1e6
        for i in range(repeats):
            store = f"sqlite:///{folder}/ours{i}.db"
            ours = [sys.executable, "-c", OURS, "--store", store, "ingest", str(lines)]
            found["ours"].append(timed(ours))
            bare = [sys.executable, "-c", BARE, str(lines), f"{folder}/bare{i}.db"]
            found["bare"].append(timed(bare))
            for path in Path(folder).glob("*.db*"):
                path.unlink()
    print(f"{rows:,} rows, {megabytes:,.0f} MB, {repeats} repeats\n")
    print(f"{'':6}{'rows/s':>10}{'CPU us/row':>12}{'peak MB':>10}")
    report: dict[str, float] = {"rows": rows, "megabytes": megabytes}
    for name, runs in found.items():
        wall, cpu, peak = (statistics.median(run[i] for run in runs) for i in range(3))
        print(f"{name:6}{rows / wall:>10,.0f}{cpu / rows * 1e6:>12,.1f}{peak:>10,.0f}")
        report |= {f"{name}_rows_per_s": rows / wall, f"{name}_cpu_us": cpu / rows * 1e6}
        report[f"{name}_peak_mb"] = peak
    report["speed_ratio"] = report["ours_rows_per_s"] / report["bare_rows_per_s"]
    report["cpu_ratio"] = report["ours_cpu_us"] / report["bare_cpu_us"]
    print(json.dumps({key: round(value, 3) for key, value in report.items()}))


if __name__ == "__main__":
    main()
