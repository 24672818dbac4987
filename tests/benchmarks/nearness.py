"""Near-duplicates: recall on planted variants, wrong merges, CPU and memory per million files.

    python tests/benchmarks/nearness.py [--data rawcode.jsonl] [--files 100000] [--quick]

Every file of the data gets variants: reformatted, comments stripped, lines added, some names
changed, all names changed. Pairs of an original and a variant whose 5-token runs have a Jaccard
index of at least 0.7 (counted exactly) must come out in one cluster; two originals never may,
unless they are near themselves. Cost is that of `annoy cluster` on a SQLite store of FILES files,
put together from the data's lines.
"""

from __future__ import annotations

import argparse
import json
import keyword
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from annoy_store.dedup import minhash as nearness  # noqa: E402
from annoy_store.dedup.minhash import (  # noqa: E402
    THRESHOLD,
    UnionFind,
    signature,
    signature_matrix,
    union_near_duplicates,
)
from annoy_store.dedup.shingles import jaccard, shingles  # noqa: E402

_PARTS = re.compile(
    r'''"""[\s\S]*?"""|\'{3}[\s\S]*?\'{3}|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|#[^\n]*'''
    r"|(?P<name>\b[^\W\d]\w*\b)"
)


def reformatted(code: str, chance: random.Random) -> str:
    """Other indents, blanks around operators, blank lines, the other quotes where it is safe."""
    wide = re.sub(r"(?m)^( +)", lambda m: m[1] * 2, code)
    spaced = re.sub(r" *([=+*,<>-]) *", r" \1 ", wide)
    return re.sub(r"\n", lambda m: "\n\n" if chance.random() < 0.2 else "\n", spaced)


def uncommented(code: str, chance: random.Random) -> str:
    return re.sub(r"(?m)^\s*#.*$|[ \t]+#[^'\"\n]*$", "", code)


def lengthened(code: str, chance: random.Random) -> str:
    """One line in twelve is followed by another one."""
    lines = []
    for line in code.split("\n"):
        lines.append(line)
        if chance.random() < 1 / 12:
            indent = line[: len(line) - len(line.lstrip())]
            lines.append(f"{indent}checked_{chance.randrange(99)} = {chance.randrange(9999)}")
    return "\n".join(lines)


def _renaming(code: str, chance: random.Random, share: float) -> str:
    names = {m["name"] for m in _PARTS.finditer(code) if m["name"]} - set(keyword.kwlist)
    new = {n: f"{n}_{chance.randrange(99)}" for n in sorted(names) if chance.random() < share}
    return _PARTS.sub(lambda m: new.get(m["name"], m[0]) if m["name"] else m[0], code)


def renamed_some(code: str, chance: random.Random) -> str:
    return _renaming(code, chance, 0.04)


def renamed_all(code: str, chance: random.Random) -> str:
    return _renaming(code, chance, 1.0)


VARIANTS: dict[str, Callable[[str, random.Random], str]] = {
    "reformatted": reformatted,
    "uncommented": uncommented,
    "lengthened": lengthened,
    "renamed_some": renamed_some,
}


def clustered(codes: list[str], *, renamed: bool = False) -> list[int]:
    """Return the root of every text."""
    signed = [signature(code, renamed=renamed) for code in codes]
    filled = [i for i, (n, _) in enumerate(signed) if n]
    forest = UnionFind(len(codes))

    def nearer(a: int, b: int) -> bool:
        x, y = (shingles(codes[filled[i]], renamed=renamed) for i in (a, b))
        return jaccard(x, y) >= THRESHOLD

    union_near_duplicates(
        signature_matrix(b"".join(signed[i][1] for i in filled)), filled, forest, nearer
    )
    return forest.roots()


def recall(codes: list[str]) -> dict[str, Any]:
    """Plant one variant of each kind per file; count what is found, and what is joined wrongly."""
    chance = random.Random(6)
    everyone, origin = list(codes), list(range(len(codes)))
    for make in VARIANTS.values():
        everyone += [make(code, chance) for code in codes]
        origin += range(len(codes))
    marks = [shingles(code) for code in everyone]
    near = [
        i
        for i in range(len(codes), len(everyone))
        if jaccard(marks[i], marks[origin[i]]) >= THRESHOLD
    ]
    roots = clustered(everyone)
    found = sum(roots[i] == roots[origin[i]] for i in near)
    wrong = _wrong_merges(roots, origin, marks)
    plain = list(codes) + [renamed_all(code, chance) for code in codes]
    renamed = clustered(plain, renamed=True)
    n = len(codes)
    return {
        "files": n,
        "planted": len(everyone) - n,
        "near_pairs": len(near),
        "found": found,
        "recall": found / max(1, len(near)),
        "wrong_merges": wrong,
        "recall_all_renamed": sum(renamed[i] == renamed[i + n] for i in range(n)) / n,
        "originals_joined_when_renamed": n - len({renamed[i] for i in range(n)}),
    }


def _wrong_merges(roots: list[int], origin: list[int], marks: list[Any]) -> int:
    """Clusters that hold two families of which no two members come near each other (0.4)."""
    families: dict[int, set[int]] = {}
    for i, root in enumerate(roots):
        families.setdefault(root, set()).add(origin[i])
    wrong = 0
    for together in families.values():
        if len(together) > 1:
            first, *others = sorted(together)
            wrong += sum(jaccard(marks[first], marks[other]) < 0.4 for other in others)
    return wrong


# What it costs, in a store -----------------------------------------------------------------------


def add_files(store: Path, codes: list[str], first: int, files: int) -> int:
    """Add sources made by shuffling the lines of three files of the data; return their characters."""
    from annoy_store.db.migrate import open_store
    from annoy_store.db.sqlite_file import sqlite_module

    open_store(f"sqlite:///{store}", create=True).close()
    chance, total = random.Random(first), 0
    with sqlite_module().connect(str(store)) as raw:
        raw.execute("PRAGMA synchronous = OFF")
        for n in range(first, first + files):
            lines = [line for code in chance.choices(codes, k=3) for line in code.split("\n")]
            made = "\n".join(chance.sample(lines, len(lines) // 3))
            row = (n + 1, f"{n:032x}", "python", len(made), "2026-01-01T00:00:00.000Z", made)
            raw.execute("INSERT INTO sources VALUES (?, ?, ?, ?, ?, ?)", row)
            total += len(made)
    return total


def measured(store: Path) -> dict[str, float]:
    """`annoy cluster` on a store, in a process of its own: CPU seconds and memory."""
    command = [sys.executable, __file__, "--measure", str(store)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def cluster_store(store: Path) -> dict[str, float]:
    from annoy_store.db.migrate import open_store
    from annoy_store.dedup.clusters import cluster

    started = time.process_time()
    done = cluster(open_store(f"sqlite:///{store}"))
    status = Path("/proc/self/status").read_text()
    return {
        "cpu": time.process_time() - started,
        "signed": done.signed,
        "clusters": done.clusters,
        "rss_mb": int(status.split("VmHWM:")[1].split()[0]) / 1024,
    }


def cost(codes: list[str], files: int) -> dict[str, Any]:
    """Cluster half of the files, then the rest as growth; a million by the slope of both."""
    half = files // 2
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store.db"
        total = add_files(store, codes, 0, half)
        small = measured(store)
        total += add_files(store, codes, half, files - half)
        whole = measured(store)
        again = measured(store)
    cpu = small["cpu"] + whole["cpu"]
    slope = (whole["rss_mb"] - small["rss_mb"]) / (files - half)
    return {
        "made_files": files,
        "mean_chars": total / files,
        "clusters": whole["clusters"],
        "cpu_s": cpu,
        "again_cpu_s": again["cpu"],
        "rss_mb": whole["rss_mb"],
        "million_cpu_min": cpu / files * 1e6 / 60,
        "million_rss_mb": whole["rss_mb"] + slope * (1_000_000 - files),
    }


def main() -> None:
    if "--measure" in sys.argv:
        print(json.dumps(cluster_store(Path(sys.argv[-1]))))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/rawcode.jsonl")
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    os.nice(5)
    lines = asked.data.read_text("utf-8").splitlines()
    codes = [json.loads(line)["content"] for line in lines]
    if asked.quick:
        codes = codes[:150]
    figures = {"version": nearness.VERSION} | recall(codes)
    figures |= cost(codes, 2_000 if asked.quick else asked.files)
    for key, value in figures.items():
        print(f"{key:30} {value:.4f}" if isinstance(value, float) else f"{key:30} {value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
