"""Settings: flag > environment > .env > annoy.toml > default, and unknown keys are errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result

from annoy_store.config import RunSettings
from annoy_store.errors import UsageError
from commands import annoy as front
from commands._shared import load_settings
from tests.commands.conftest import Annoy, Process


def load(*args: str, **flags: Any) -> RunSettings:
    """Load the settings as a command does that was called with the group options `args`."""
    with front.make_context("annoy", [*args, "init"]) as ctx:
        assert isinstance(ctx, click.Context)
        return load_settings(ctx, **flags)


def test_each_layer_wins_over_the_one_below(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load().tries == 5
    Path("annoy.toml").write_text("tries = 6\nslots = 3\n")
    assert (load().tries, load().slots) == (6, 3)
    monkeypatch.setenv("ANNOY_TRIES", "8")
    assert (load().tries, load().slots) == (8, 3)
    assert load(tries=9).tries == 9
    assert load(tries=None).tries == 8


def test_dotenv_stands_between_environment_and_file(process: Process, tmp_path: Path) -> None:
    (tmp_path / "annoy.toml").write_text('store = "sqlite:///toml.db"\n')
    (tmp_path / ".env").write_text("ANNOY_STORE_URL=sqlite:///dot.db\nOPENAI_API_KEY=sk-secret\n")
    assert json.loads(process("init", "--json").stdout)["store"] == "sqlite:///dot.db"
    (tmp_path / ".env").write_text("OPENAI_API_KEY=sk-secret\nUNRELATED=1\n")
    assert json.loads(process("init", "--json").stdout)["store"] == "sqlite:///toml.db"


def test_a_key_in_dotenv_reaches_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("ANNOY_TRIES=7\nEXAMPLE_API_KEY=from-file\nOTHER=from-file\n")
    monkeypatch.setenv("OTHER", "from-environment")
    monkeypatch.setenv("ANNOY_TRIES", "x")
    monkeypatch.delenv("ANNOY_TRIES")
    monkeypatch.setenv("EXAMPLE_API_KEY", "x")
    monkeypatch.delenv("EXAMPLE_API_KEY")
    import os

    assert load().tries == 7
    assert os.environ["EXAMPLE_API_KEY"] == "from-file"
    assert os.environ["OTHER"] == "from-environment"
    for name in ("ANNOY_TRIES", "EXAMPLE_API_KEY"):
        os.environ.pop(name)


@pytest.mark.parametrize("name", ["ANNOY_STORE_URL", "ANNOY_STORE"])
def test_the_store_has_two_variables_and_a_flag(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    Path("annoy.toml").write_text('store = "sqlite:///toml.db"\n')
    monkeypatch.setenv(name, "sqlite:///variable.db")
    assert load().store == "sqlite:///variable.db"
    assert load("--store", "sqlite:///flag.db").store == "sqlite:///flag.db"


def test_none_is_a_word() -> None:
    Path("annoy.toml").write_text('temperature = "none"\n')
    assert load().temperature is None
    assert load(temperature="0.5").temperature == 0.5
    assert load(max_tokens="none").max_tokens is None


def test_another_file_by_flag(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("slots = 7\n")
    assert load("--config", "other.toml").slots == 7


def test_tables_in_the_file() -> None:
    Path("annoy.toml").write_text("[prices.m]\ninput = 1.0\ncached = 0.1\noutput = 2.0\n")
    assert load().prices == {"m": {"input": 1.0, "cached": 0.1, "output": 2.0}}


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("modle = 1", "annoy.toml: unknown key 'modle' (did you mean model?); known are: store,"),
        ("slots = 0", "annoy.toml: slots = 0: Input should be greater than or equal to 1"),
        ("slots = 'x'", "annoy.toml: slots = 'x'"),
        ("slots = ", "annoy.toml is not TOML"),
        ("policy = {tolerance = 1}", "unknown key 'policy'"),
    ],
)
def test_a_wrong_file_is_one_line(
    annoy: Annoy, one_line: Callable[[Result], str], toml: str, words: str
) -> None:
    Path("annoy.toml").write_text(toml)
    assert words in one_line(annoy("init"))
    assert not Path("annoy.db").exists()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ANNOY_MODLE", "x", "unknown key 'ANNOY_MODLE' (did you mean ANNOY_MODEL?)"),
        ("ANNOY_SLOTS", "many", "ANNOY_SLOTS = 'many'"),
        ("ANNOY_PRICES", "{", "the value must be JSON"),
    ],
)
def test_a_wrong_variable_is_one_line(
    annoy: Annoy,
    one_line: Callable[[Result], str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    words: str,
) -> None:
    monkeypatch.setenv(name, value)
    assert words in one_line(annoy("init"))


def test_a_wrong_flag_names_itself() -> None:
    with pytest.raises(UsageError, match="--max-connections = 0"):
        load(max_connections=0)


def test_a_missing_config_is_one_line(annoy: Annoy, one_line: Callable[[Result], str]) -> None:
    assert "nowhere.toml: no such file" in one_line(annoy("--config", "nowhere.toml", "init"))
