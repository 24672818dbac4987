"""What a run would do, and what is done again."""

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


def test_a_plan_tells_rows_calls_and_money(annoy: Annoy, tmp_path: Path) -> None:
    assert annoy("plan").stdout == "nothing to do\n"
    (tmp_path / "new.py").write_text("def main_solution(x):\n    return x\n")
    assert annoy("ingest", "new.py").exit_code == 0
    found = told(annoy("plan", "--json", "--teacher", "tracer"))
    assert found["stages"]["transform"]["new"] == 1
    assert found["cost_usd"] == 0
    assert found["calls"] >= 1
    unknown = told(annoy("plan", "--json", "-m", "some-model"))
    assert unknown["cost_usd"] is None
    assert any("no attempts to estimate tokens from" in note for note in unknown["notes"])
    text = annoy("plan", "-m", "some-model")
    assert "unknown" in text.stdout
    assert annoy("run", "--dry-run").exit_code == 0


def test_a_plan_of_a_changed_policy_changes_nothing(annoy: Annoy) -> None:
    found = told(annoy("plan", "tolerance=0.5", "--rerun", "verify", "--json"))
    again = found["stages"]["verify"]["again"]
    assert again > 0
    assert found["stages"]["verify"]["expected"] == again
    assert told(annoy("sql", "SELECT * FROM policies", "--json")) == []
    assert "annoy rerun STAGE" in annoy("plan", "cpu_seconds=7").stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("plan", "colour=red"), "unknown policy 'colour'"),
        (("plan", "tolerance=x"), "policy tolerance"),
        (("verdict-changes",), "nothing to compare"),
        (("verdict-changes", "99", "100"), "variant 99 has no verdicts"),
        (("takedown", "source:99", "--why", "x"), "no source has the id or digest '99'"),
        (("takedown", "--repo", "nobody/nothing", "--why", "x"), "no row has the repo"),
        (("takedown", "--licence", "MIT", "--lift"), "not taken down"),
        (("reverify", "--where", "nothing = 1"), "nothing"),
    ],
)
def test_mistakes_are_one_line(annoy: Annoy, one_line: Any, arguments: Any, words: str) -> None:
    assert words in one_line(annoy(*arguments))


@pytest.mark.parametrize(
    "arguments",
    [
        ("takedown",),
        ("takedown", "source:1"),
        ("takedown", "call:1", "--why", "x"),
        ("takedown", "source:1", "--repo", "x", "--why", "y"),
        ("takedown", "source:1", "--lift", "--purge"),
        ("plan", "tolerance"),
        ("rerun", "complete"),
    ],
)
def test_wrong_usage_is_exit_2(annoy: Annoy, arguments: Any) -> None:
    assert annoy(*arguments).exit_code == 2


def test_old_rows_are_done_again_when_asked(annoy: Annoy) -> None:
    annoy("policy", "cpu_seconds=7")
    dry = told(annoy("rerun", "generate", "--dry-run", "--json"))
    assert dry["jobs"] > 1
    assert (
        told(annoy("sql", "SELECT COUNT(*) AS n FROM jobs WHERE state = 'pending'", "--json"))[0][
            "n"
        ]
        == 0
    )
    assert told(annoy("rerun", "generate", "--where", "id = 1", "--json"))["jobs"] == 1
    assert told(annoy("rerun", "generate", "-n", "1", "--json"))["jobs"] == 1
    assert "were enqueued" in annoy("rerun", "generate").stdout
    assert told(annoy("rerun", "generate", "--json"))["jobs"] == 0
