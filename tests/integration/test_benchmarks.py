"""Every benchmark runs, on files that are not the ones it was written with."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import all as all_figures
from tests.benchmarks.all import BENCHMARKS

ROOT = Path(__file__).parents[2]
PIPELINE_KEYS = {
    "wall_ratio",
    "cpu_ratio",
    "cpu_ratio_without_own",
    "bound",
    "memory_ratio",
    "wrong_reference",
    "wrong_ours",
}
PLAIN = "def main_solution(x):\n    return [x + i for i in range(3)]\n"
NUMPY = "import numpy\ndef main_solution(x):\n    return int(numpy.sum([x, 1]))\n"


def write_parsed(path: Path) -> Path:
    """A file of parsed samples: usable ones, one with no JSON as input, one without pairs."""
    samples: list[tuple[str, list[Any]]] = [(NUMPY, [{"input": {"x": float("inf")}, "output": 1}])]
    samples += [(PLAIN.replace("3", str(n)), pairs(4)) for n in range(3, 6)]
    samples += [(NUMPY, pairs(2)), (PLAIN, [])]
    rows = [{"refcode": c, "funcname": "main_solution", "ios": ios} for c, ios in samples]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def pairs(n: int) -> list[Any]:
    return [{"input": {"x": i}, "output": [i, i + 1, i + 2]} for i in range(n)]


def write_raw(path: Path) -> Path:
    """A file of raw code, made of the sources of the demo."""
    sources = sorted((ROOT / "annoy_store" / "demo").glob("*.py"))
    rows = [{"content": source.read_text(), "path": source.name} for source in sources]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmarks_run(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """With `--quick`; the last line is one JSON object of figures."""
    options: list[object] = {
        "asking": ["--runs", "1"],
        "checks": ["--data", write_parsed(tmp_path / "parsed.jsonl")],
        "growing": ["--sources", 2000, "--folder", tmp_path],
        "ingesting": ["--repeats", 1, "--data", write_raw(tmp_path / "raw.jsonl")],
        "ledger": ["--jobs", 400],
        "nearness": ["--data", write_raw(tmp_path / "raw.jsonl")],
    }.get(name, [])
    if name == "pipeline":
        options = ["--data", request.getfixturevalue("data"), "--files", 8]
    if name in ("ingesting", "ledger"):
        options += ["--postgres", request.getfixturevalue("postgres_server")]
    ran = subprocess.run(
        [sys.executable, f"tests/benchmarks/{name}.py", "--quick", *map(str, options)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    figures = json.loads(ran.stdout.splitlines()[-1])
    assert isinstance(figures, dict)
    assert figures
    if name == "pipeline":
        assert figures.keys() >= PIPELINE_KEYS
        assert sum(share for role, share in figures["roles"].items() if role != "own") == (
            pytest.approx(1)
        )


def test_figures_are_a_table_at_their_place_in_the_guide(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(all_figures.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    figures = {"asking": {"ratio": 25.25, "fast": True, "ways": {"raw": {"answers": 12_000}}}}
    text = all_figures.table(figures, all_figures.about(quick=True))
    for _ in range(2):  # the second replaces the first
        all_figures.write(page, text)
    written = page.read_text(encoding="utf-8")
    assert written.count("| asking | `ratio` | 25.2 |") == 1
    assert written.count("| asking | `ways.raw.answers` | 12,000 |") == 1
    assert "fast" not in text
    assert f"{datetime.now(UTC):%B %Y} at commit " in text


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_all_figures_are_printed_by_one_command() -> None:
    command = [sys.executable, "tests/benchmarks/all.py", "--quick", "--only", "exporting"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert json.loads(ran.stdout.splitlines()[-1])["exporting"]["vs_orjson_copy"] > 0
