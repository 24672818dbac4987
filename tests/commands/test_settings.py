"""Options of settings: each has its default and its variable, and only commands that use it."""

from __future__ import annotations

import click
import pytest

import commands
from annoy_store.config import RunSettings
from commands._settings import SettingOption
from tests.commands.conftest import Annoy
from tests.commands.test_options import help_page

NOT_OPTIONS = {"store", "extra_body", "lease_seconds", "batch_lines", "poll_seconds", "prices"}


def setting_options(name: str) -> dict[str, SettingOption]:
    command = commands.annoy.get_command(click.Context(commands.annoy), name)
    assert command is not None
    return {p.name: p for p in command.params if isinstance(p, SettingOption) and p.name}


def test_run_has_an_option_for_every_setting_that_is_a_word_or_a_number() -> None:
    assert setting_options("run").keys() == RunSettings.model_fields.keys() - NOT_OPTIONS


def test_the_help_of_a_setting_names_its_variable_and_its_default() -> None:
    text = " ".join(help_page("run").split())
    for name, option in setting_options("run").items():
        variable, default = option.facts(click.Context(commands.annoy))
        assert variable == f"env: ANNOY_{name.upper()}"
        assert default not in ("default: ", "default: None")
        assert f"[{variable}] [{default}]" in text
    assert "[env: ANNOY_TEMPERATURE] [default: 0.7]" in text
    assert "[env: ANNOY_SLOTS] [default: number of cores]" in text


def test_resample_has_only_the_options_that_describe_a_teacher() -> None:
    assert "transform_model" not in setting_options("resample")
    assert not {"slots", "tries", "max_connections"} & setting_options("resample").keys()
    assert {"model", "base_url", "temperature"} <= setting_options("resample").keys()


@pytest.mark.usefixtures("worked")
def test_resample_refuses_a_model_without_pin(annoy: Annoy) -> None:
    result = annoy("resample", "--seed", "7")
    assert result.exit_code == 2
    assert "--seed applies to pinned calls: add --pin" in result.stderr
    assert annoy("resample", "--pin", "--teacher", "tracer").exit_code == 0
