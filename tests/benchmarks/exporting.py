"""Exports against a bare cursor and orjson writing the same lines: CPU, memory, increments.

    python tests/benchmarks/exporting.py [--rows 100000] [--rounds 2] [--folder DIR] [--quick]

A SQLite store of ROWS chains (records of about 4 KB) is generated in DIR and removed at the end.
Each measurement runs in a process of its own. CPU seconds count, for walls depend on neighbours.
The baseline reads the chains with one joined SELECT in the order of the table and writes them as
orjson does; it neither chooses, orders, checks, hashes nor remembers.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

NOW = "2026-01-01T00:00:00.000Z"
PER_SAMPLE = 6  # chains: three pairs, both directions
SECOND = 0.45  # share of chains with a second turn


# The store -----------------------------------------------------------------------------------


def generate(path: Path, rows: int, first: int = 0) -> None:
    """Add `rows` chains to the store at `path`, made of words drawn with a seed."""
    from annoy_store.db.migrate import open_store
    from annoy_store.db.sqlite_file import sqlite_module

    open_store(f"sqlite:///{path}", create=True).close()
    raw = sqlite_module().connect(str(path))
    raw.execute("PRAGMA synchronous = OFF")
    raw.execute("PRAGMA cache_size = -262144")
    raw.execute(
        "INSERT OR IGNORE INTO variants (id, stage, digest, description, active) "
        "VALUES (1, 'verify', 'v', 'bench', 1)"
    )
    raw.execute(
        "INSERT OR IGNORE INTO teachers (id, digest, backend, model, base_url, parameters) "
        "VALUES (1, 't', 'replay', 'bench', '', '{}')"
    )
    words = [f"w{i:04x}" for i in range(4096)]
    for start in range(first, first + rows, 10_000):
        _insert(raw, random.Random(start), words, range(start, min(start + 10_000, first + rows)))
        raw.commit()
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()


def _insert(raw: Any, chance: random.Random, words: list[str], chains: range) -> None:
    from annoy_store.db.tables import metadata
    from annoy_store.hashing import compact_json

    def text(n: int) -> str:
        return " ".join(chance.choices(words, k=n // 6))

    rows: dict[str, list[dict[str, Any]]] = {}

    def add(table: str, key: int, **values: Any) -> None:
        rows.setdefault(table, []).append({"id": key, **values})

    def named(*parts: Any) -> str:
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

    def ask(chain: int, number: int, talk: list[dict[str, str]], answer: str, status: str) -> None:
        key = 2 * chain + number  # ids of both turns, without gaps that matter
        first = 2 * chain + 1 if number > 1 else None
        prompt = {"template": "t", "template_digest": "t", "n_chars": 2400}
        add("prompts", key, digest=named("p", key), messages=compact_json(talk), **prompt)
        add("calls", key, prompt_id=key, sample_no=0, pinned_teacher_id=0)
        reply = {"finish_reason": "stop", "n_chars": len(answer), "created_at": NOW}
        add("responses", key, call_id=key, teacher_id=1, text=answer, **reply)
        links = {"revises_response_id": first, "chain_response_id": first}
        subject = {"sample_id": chain // PER_SAMPLE + 1, "io_pair_id": chain // 2 + 1}
        kind = ("predict_output", "predict_input")[chain % 2]
        turn = {"digest": named("t", key), "prompt_id": key, "kind": kind, "number": number}
        add("turns", key, **turn, **subject, **links)
        feedback = "Success." if status == "correct" else text(120)
        check = {"checker": "prediction", "variant_id": 1, "status": status, "created_at": NOW}
        add("verdicts", key, response_id=key, feedback=feedback, **check)

    for chain in chains:
        sample = chain // PER_SAMPLE + 1
        if chain % PER_SAMPLE == 0:
            code = text(900)
            about = {"language": "python", "n_chars": len(code), "created_at": NOW}
            add("sources", sample, digest=named("s", sample), content=code, **about)
            where = {"origin": "bench", "repo": f"r{sample % 997}", "path": "a.py"}
            where |= {"licence": "mit", "metadata": "{}", "source_id": sample}
            add("origins", sample, digest=named("o", sample), **where)
            problem = {
                "problem_statement": text(300),
                "io_requirements": text(200),
                "refcode": code,
            }
            add("samples", sample, digest=named("m", sample), funcname="main_solution", **problem)
            links = {"sample_id": sample, "source_id": sample}
            add("sample_origins", sample, digest=named("so", sample), **links)
        if chain % 2 == 0:
            values = {"input": '{"x":1}', "output": "2", "input_digest": named("i", chain)}
            place = {"sample_id": sample, "position": chain // 2 % 3}
            add("io_pairs", chain // 2 + 1, **place, **values)
        talk = [{"role": "user", "content": text(2400)}]
        again = chance.random() < SECOND
        ask(chain, 1, talk, answer := text(900), "wrong" if again else "correct")
        if again:
            talk += [
                {"role": "assistant", "content": answer},
                {"role": "user", "content": text(150)},
            ]
            ask(chain, 2, talk, text(900), chance.choice(["correct", "wrong"]))
    for table in metadata.sorted_tables:
        if table.name in rows:
            columns = list(rows[table.name][0])
            marks = ", ".join(f":{name}" for name in columns)
            insert = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({marks})"
            raw.executemany(insert, rows[table.name])


# What is measured, each in a process of its own ------------------------------------------------


def baseline(store: Path, out: Path) -> dict[str, float]:
    """A cursor, orjson, a file."""
    import orjson

    from annoy_store.db.sqlite_file import sqlite_module

    started = time.process_time()
    raw = sqlite_module().connect(str(store))
    query = """
    SELECT p.messages, r.text, v.feedback, r2.text, v2.feedback
    FROM turns t JOIN prompts p ON p.id = t.prompt_id
    JOIN calls c ON c.prompt_id = p.id JOIN responses r ON r.call_id = c.id
    JOIN verdicts v ON v.response_id = r.id
    LEFT JOIN turns t2 ON t2.chain_response_id = r.id
    LEFT JOIN calls c2 ON c2.prompt_id = t2.prompt_id LEFT JOIN responses r2 ON r2.call_id = c2.id
    LEFT JOIN verdicts v2 ON v2.response_id = r2.id
    WHERE t.number = 1
    """
    names = ("prompt", "turn_1", "feedback_1", "turn_2", "feedback_2")
    with out.open("wb") as stream:
        for messages, *rest in raw.execute(query):
            values = (orjson.loads(messages)[0]["content"], *rest)
            stream.write(orjson.dumps(dict(zip(names, values, strict=True))) + b"\n")
    return {"cpu": time.process_time() - started, "bytes": out.stat().st_size, "rss_mb": _rss()}


def ours(store: Path, out: Path, since: str | None) -> dict[str, float]:
    """The whole export, and the share of it that is transport and COPY: texts to files, unchecked."""
    from annoy_store.db.migrate import open_store
    from annoy_store.export import export as exporting
    from annoy_store.export import writer
    from annoy_store.export.request import ExportRequest

    writing, checking = _timed(exporting, "write_files"), _timed(writer, "check_file")
    started, wall = time.process_time(), time.perf_counter()
    request = ExportRequest("codeio", out, since=since)
    report = exporting.export(open_store(f"sqlite:///{store}"), request)
    return {
        "cpu": time.process_time() - started,
        "copy": sum(writing) - sum(checking),
        "rows": report.n_rows,
        "wall": time.perf_counter() - wall,
        "rss_mb": _rss(),
    }


def _timed(module: Any, name: str) -> list[float]:
    """Let a function of `module` note the CPU seconds of each of its calls."""
    work, spent = getattr(module, name), list[float]()

    def noting(*args: Any, **options: Any) -> Any:
        before = time.process_time()
        try:
            return work(*args, **options)
        finally:
            spent.append(time.process_time() - before)

    setattr(module, name, noting)
    return spent


def _rss() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _apart(what: str, store: Path, out: Path, since: str = "") -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", what, str(store), str(out), since]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return dict(json.loads(done.stdout.splitlines()[-1]))


# The comparison ------------------------------------------------------------------------------


def compare(folder: Path, rows: int, rounds: int) -> dict[str, Any]:
    store, new = folder / "bench.db", max(100, rows // 100)
    generate(store, rows)
    base, full = [], []
    for n in range(rounds):
        base.append(_apart("baseline", store, folder / "base.jsonl"))
        full.append(_apart("ours", store, folder / f"full{n}"))
        if n == 0:
            same = _set(folder / "base.jsonl") == _set(folder / "full0" / "train.jsonl")
        (folder / "base.jsonl").unlink()
        shutil.rmtree(folder / f"full{n}")
    # The first round also fills the ledger; the later ones find it filled.
    generate(store, new, first=rows + rows % 2)
    step = _apart("ours", store, folder / "step", "last")
    nothing = _apart("ours", store, folder / "nothing", "last")
    cpu = min(b["cpu"] for b in base)
    return {
        "rows": rows,
        "same_lines": same,
        "bytes_per_row": base[0]["bytes"] / rows,
        "baseline_cpu_s": cpu,
        "whole_cpu_s": full[0]["cpu"],
        "copy_cpu_s": min(f["copy"] for f in full),
        "vs_orjson_copy": min(f["copy"] for f in full) / cpu,
        "vs_orjson_whole": full[0]["cpu"] / cpu,
        "whole_wall_s": full[0]["wall"],
        "rss_mb": max(f["rss_mb"] for f in full),
        "baseline_rss_mb": base[0]["rss_mb"],
        "new_rows": step["rows"],
        "incremental_cpu_s": step["cpu"],
        "incremental_share": step["cpu"] / full[0]["cpu"],
        "empty_increment_cpu_s": nothing["cpu"],
        "incremental_rss_mb": step["rss_mb"],
    }


def _set(path: Path) -> int:
    """The lines of a file as one number, whatever their order."""
    with path.open("rb") as stream:
        return sum(int.from_bytes(hashlib.md5(line).digest()[:8]) for line in stream)


def _lines(figures: dict[str, Any]) -> Iterator[str]:
    for key, value in figures.items():
        yield f"{key:24} {value:.3f}" if isinstance(value, float) else f"{key:24} {value}"


def main() -> None:
    if "--measure" in sys.argv:
        what, store, out, since = sys.argv[sys.argv.index("--measure") + 1 :]
        run = (
            baseline(Path(store), Path(out))
            if what == "baseline"
            else ours(Path(store), Path(out), since or None)
        )
        print(json.dumps(run))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    rows, rounds = (5_000, 1) if asked.quick else (asked.rows, asked.rounds)
    os.nice(5)
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        figures = compare(Path(folder), rows, rounds)
    print("\n".join(_lines(figures)))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
