"""Old answers are checked again, and what changed is shown."""

from __future__ import annotations

import json
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


def test_old_answers_are_judged_again_and_the_difference_shown(annoy: Annoy) -> None:
    assert "the current version has judged all of them" in annoy("reverify").stderr
    annoy("policy", "tolerance=0.9", "same_integer_part=false")
    n = told(annoy("reverify", "--dry-run", "--json"))["jobs"]
    assert n > 0
    assert (
        told(annoy("reverify", "--where", "kind = 'predict_output'", "--dry-run", "--json"))["jobs"]
        < n
    )
    result = annoy("reverify", "--run", "--slots", "1")
    assert result.exit_code == 0
    assert f"{n:,} answers are judged again" in result.stdout
    found = told(annoy("verdict-changes", "--json"))
    assert found["compared"] == n
    assert found["before"]["id"] < found["after"]["id"]
    assert "tolerance 0.001 -> 0.9" in annoy("verdict-changes").stderr
    turned = {f["response_id"] for f in found["flips"] if f["after"] == "correct"}
    now = told(
        annoy(
            "sql", "SELECT response_id FROM v_current_verdicts WHERE status = 'correct'", "--json"
        )
    )
    assert turned <= {row["response_id"] for row in now}
