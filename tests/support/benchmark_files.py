"""Benchmark files, and samples that overlap with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def bench(tmp_path: Path, *items: Any, name: str = "bench.jsonl") -> Path:
    path = tmp_path / name
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path
