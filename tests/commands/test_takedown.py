"""What is taken down, restored and purged."""

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
    assert again["blanked"] == {}  # nothing is left to blank
