"""What went wrong, and what to do about it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.commands.conftest import Annoy


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(autouse=True)
def _here(worked: Path) -> None:
    """Every command here asks a store that went through the whole pipeline."""


def test_failures_say_what_to_do_and_what_to_read(annoy: Annoy) -> None:
    result = annoy("failures")
    assert result.exit_code == 0
    assert re.search(r"^ +\d+  \w+ .*\w+:\d+.*\n +-> ", result.stdout, re.MULTILINE)
    found = told(annoy("failures", "--json"))
    assert found
    assert found == told(annoy("failures", "--json", "--live"))
    for failure in found:
        assert annoy("show", failure["example"]).exit_code == 0
    for stage in {f["stage"] for f in found}:
        alone = told(annoy("failures", "--json", "--stage", stage, "-n", "1"))
        assert alone == [f for f in found if f["stage"] == stage][:1]


def test_nothing_went_wrong(annoy: Annoy) -> None:
    assert annoy("--store", "sqlite:///new.db", "init").exit_code == 0
    result = annoy("--store", "sqlite:///new.db", "failures")
    assert result.stdout == "no failures\n"
