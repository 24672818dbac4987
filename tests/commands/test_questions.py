"""plan, failures, rerun, reverify, verdict-changes and takedown on the command line."""

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


# failures ------------------------------------------------------------------------------------


def test_failures_say_what_to_do_and_what_to_read(annoy: Annoy) -> None:
    result = annoy("failures")
    assert result.exit_code == 0
    assert "what to do:" in result.stdout
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


# plan and rerun ------------------------------------------------------------------------------


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


# reverify and verdict-changes ----------------------------------------------------------------


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


# takedown ------------------------------------------------------------------------------------


def test_a_source_is_taken_down_and_brought_back(annoy: Annoy) -> None:
    change = told(annoy("takedown", "source:1", "--why", "asked", "--json"))
    assert change["sources"] == 1
    assert "asked" in annoy("takedown", "--list").stdout
    assert told(annoy("takedown", "--list", "--json"))["rules"][0]["kind"] == "source"
    assert annoy("takedown", "--licence", "mit", "--why", "x").stdout.startswith("hidden: ")
    lifted = told(annoy("takedown", "source:1", "--lift", "--json"))
    assert lifted["shown"] >= 0
    annoy("takedown", "--licence", "mit", "--lift")
    assert told(annoy("sql", "SELECT * FROM hidden_subjects", "--json")) == []


def test_the_exports_that_hold_it_are_named(annoy: Annoy) -> None:
    exported = annoy("export", "codeio", "out", "--only", "all")
    assert exported.exit_code == 0, exported.output
    result = annoy("takedown", "--licence", "MIT", "--why", "policy")
    assert "exports that contain rows of it:" in result.stdout
    assert "codeio" in result.stdout


def test_a_purge_is_confirmed_and_blanks_the_texts(annoy: Annoy) -> None:
    annoy("takedown", "source:1", "--why", "asked")
    refused = annoy("takedown", "source:1", "--purge", input="n\n")
    assert refused.exit_code == 130
    text = "SELECT content = '' AS gone FROM sources WHERE id = 1"
    assert told(annoy("sql", "--live", text, "--json")) == [{"gone": 0}]
    done = annoy("takedown", "source:1", "--purge", input="y\n")
    assert done.exit_code == 0
    assert told(annoy("sql", "--live", text, "--json")) == [{"gone": 1}]
    assert "purged" in annoy("takedown", "source:1", "--lift").stderr
    assert annoy("takedown", "source:2", "--purge", "--yes").exit_code == 1
    assert annoy("takedown", "source:2", "--purge", "--yes", "--why", "x").exit_code == 0
    again = told(annoy("takedown", "source:2", "--purge", "--yes", "--json"))
    assert again["blanked"]["sources"] == 2
