"""What eight standard questions cost: the live store against its columnar snapshot.

Run: python tests/benchmarks/questions.py [--quick] [--data STORE.db] [--rounds N]

A made-up store of a million answers is filled (see tests/support/store_filler.py), or the one given by `--data` is
used and grown by the benchmark, so give a copy. The questions are asked of both in turn; their
answers must agree. Then 30,000 answers with all that belongs to them are added, and the refresh is
timed, and one with nothing new. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from annoy_store.analysis.snapshot.query import open_snapshot, snapshot_folder  # noqa: E402
from annoy_store.analysis.snapshot.refresh import refresh  # noqa: E402
from annoy_store.analysis.sql import run_query  # noqa: E402
from annoy_store.db.engine import Database  # noqa: E402
from annoy_store.db.migrate import open_store  # noqa: E402
from tests.support.store_filler import Filler  # noqa: E402

RIGHT = "AVG(CASE WHEN a.status = 'correct' THEN 1.0 ELSE 0.0 END)"
QUESTIONS = {
    "what goes wrong in the sandbox": """
        SELECT purpose, outcome, error_type, COUNT(*) FROM executions GROUP BY 1, 2, 3""",
    "pass rate by model, kind and turn": f"""
        SELECT t.model, a.kind, a.number, COUNT(*), {RIGHT} FROM v_answers a
        JOIN teachers t ON t.id = a.teacher_id WHERE a.status IS NOT NULL GROUP BY 1, 2, 3""",
    "what becomes of wrong answers": "SELECT * FROM v_transitions",
    "which package is missed most": "SELECT * FROM v_missing_modules",
    "pass rate by length of the prompt": f"""
        SELECT p.n_chars - p.n_chars % 500, COUNT(*), {RIGHT} FROM v_answers a
        JOIN prompts p ON p.id = a.prompt_id WHERE a.status IS NOT NULL GROUP BY 1""",
    "what a correct answer costs": "SELECT * FROM v_cost_per_correct",
    "repositories with the worst pass rate": """
        SELECT o.repo, SUM(a.n), SUM(a.good) / SUM(a.n) AS rate FROM (
            SELECT p.sample_id, COUNT(*) AS n,
                   SUM(CASE WHEN a.status = 'correct' THEN 1.0 ELSE 0.0 END) AS good
            FROM v_answers a JOIN io_pairs p ON p.id = a.io_pair_id
            WHERE a.number = 1 AND a.status IS NOT NULL GROUP BY 1) a
        JOIN sample_origins s ON s.sample_id = a.sample_id
        JOIN origins o ON o.source_id = s.source_id
        GROUP BY 1 HAVING SUM(a.n) >= 5 ORDER BY rate, o.repo LIMIT 20""",
    "tokens by the hour": """
        SELECT SUBSTR(started_at, 1, 13), COUNT(*), SUM(prompt_tokens), SUM(completion_tokens)
        FROM attempts GROUP BY 1""",
}


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """What `work` gives, with its wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def live(store: Database, sql: str) -> list[tuple[Any, ...]]:
    with run_query(store, sql) as found:
        return list(found.rows)


def settled(rows: list[tuple[Any, ...]]) -> list[str]:
    """Rows as comparable text: in one order, numbers to 8 digits."""
    plain = [[f"{v:.8g}" if isinstance(v, int | float) else str(v) for v in row] for row in rows]
    return sorted(map(str, plain))


def ask_all(store: Database, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Ask both in turn; the seconds of every question of every round."""
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in QUESTIONS}
    with open_snapshot(store, fresh=False) as duck:
        for _ in range(rounds):
            for name, sql in QUESTIONS.items():
                one, wall, cpu = timed(lambda sql=sql: live(store, sql))
                two, wall_2, cpu_2 = timed(lambda sql=sql: duck.execute(sql).fetchall())
                if settled(one) != settled(two):
                    raise SystemExit(f"the answers differ: {name}")
                taken[name].append(
                    {"live": wall, "live_cpu": cpu, "snap": wall_2, "snap_cpu": cpu_2}
                )
    return taken


def best(taken: list[dict[str, float]]) -> dict[str, float]:
    return {key: min(one[key] for one in taken) for key in taken[0]}


def grow(path: Path, answers: int) -> None:
    filler = Filler(path, seed=2)
    filler.fill(answers)
    filler.close()


def measure(path: Path, answers: int, new: int, rounds: int) -> dict[str, Any]:
    if not path.exists():
        _, wall, _ = timed(lambda: grow(path, answers))
        print(
            f"filled with {answers:,} answers in {wall:.0f} s, {path.stat().st_size / 1e9:.2f} GB"
        )
    store = open_store(f"sqlite:///{path}")
    folder = snapshot_folder(store)
    built = timed(lambda: refresh(store, folder))
    size = sum(file.stat().st_size for file in folder.glob("*/*.parquet"))
    taken = {name: best(rows) for name, rows in ask_all(store, rounds).items()}
    grow(path, new)
    refreshed = timed(lambda: refresh(store, folder))
    idle = timed(lambda: refresh(store, folder))
    store.close()
    total = {key: sum(one[key] for one in taken.values()) for key in best([*taken.values()])}
    return {
        "answers": answers,
        "store_gb": path.stat().st_size / 1e9,
        "snapshot_mb": size / 1e6,
        "questions": taken,
        "total": total,
        "speedup_wall": total["live"] / total["snap"],
        "speedup_cpu": total["live_cpu"] / total["snap_cpu"],
        "first_build": built[1:],
        "new_answers": new,
        "refresh": refreshed[1:],
        "refresh_idle": idle[1:],
        "load": os.getloadavg()[0],
    }


def show(found: dict[str, Any]) -> None:
    print(f"{'question':40} {'live s':>8} {'snap s':>8} {'live cpu':>9} {'snap cpu':>9}")
    for name, one in [*found["questions"].items(), ("all eight", found["total"])]:
        print(
            f"{name:40} {one['live']:8.2f} {one['snap']:8.2f} "
            f"{one['live_cpu']:9.2f} {one['snap_cpu']:9.2f}"
        )
    for name in ("first_build", "refresh", "refresh_idle"):
        print(f"{name:40} {found[name][0]:8.2f} s {found[name][1]:8.2f} s CPU")
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="20,000 answers, 2,000 new")
    parser.add_argument("--data", type=Path, help="a store to use; it is grown")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    answers, new = (20_000, 2_000) if args.quick else (1_000_000, 30_000)
    folder = Path(tempfile.mkdtemp(prefix="annoy-questions-"))
    try:
        show(measure(args.data or folder / "store.db", answers, new, args.rounds))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
