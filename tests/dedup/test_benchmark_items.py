"""Items of benchmark files."""

from __future__ import annotations

from pathlib import Path

from annoy_store.dedup.benchmark_items import read_benchmark
from tests.support.benchmark_files import bench


def test_read_benchmark_accepts_any_json_lines(tmp_path: Path) -> None:
    items = ["just text", {"messages": [{"content": "deep"}]}, {"n": 1}, [1, "two"]]
    benchmark, skipped = read_benchmark(bench(tmp_path, *items))
    assert [item.words for item in benchmark.items] == [("just", "text"), ("deep",), (), ("two",)]
    assert skipped == 1
