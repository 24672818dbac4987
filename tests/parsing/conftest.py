"""Recorded answers of a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Recorded = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def recorded(data: Path) -> Recorded:
    """Read the rows of a file of recorded answers, or skip the test."""

    def rows(name: str) -> list[dict[str, Any]]:
        path = data / name
        if not path.exists():
            pytest.skip(f"{name} is not in {data}")
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]

    return rows
