"""Old answers are checked again, and what changed is shown."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
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


def test_stale_selects_answers_of_pairs_that_no_longer_hold(annoy: Annoy, worked: Path) -> None:
    assert told(annoy("reverify", "--stale", "--json"))["jobs"] == 0
    with closing(sqlite3.connect(worked)) as connection, connection:
        known = "SELECT MIN(execution_id) FROM pair_checks"
        connection.execute(
            f"UPDATE verdicts SET execution_id = ({known}) WHERE checker = 'predict_input'"
        )
        connection.execute("UPDATE pair_checks SET status = 'unstable'")
    stale = told(annoy("reverify", "--stale", "--dry-run", "--json"))["jobs"]
    assert stale > 0
    assert "annoy reverify --stale --run" in annoy("check").stdout
    assert f"{stale:,} answers are judged again" in annoy("reverify", "--stale", "--run").stdout
    assert told(annoy("reverify", "--stale", "--dry-run", "--json"))["jobs"] == 0
    assert annoy("reverify", "--stale", "--limit", "1").exit_code == 2
