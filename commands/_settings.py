"""Options for the run settings, each with its default and its environment variable.

Decision: the help of an option is the description of its setting in `config.py`, its default the
one there. Where that is null, the words here say what applies. A value is passed on as it was
typed; `load_settings` checks it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import click

from annoy_store.config import RunSettings
from annoy_store.inference.backends import backend_names
from annoy_store.inference.client.providers import PRESETS

from ._options import Function, GroupedOption


@dataclass(frozen=True)
class Flag:
    """How a setting is typed.

    Attributes:
        metavar: What stands for the value in the help; empty for a switch.
        type: The type of the value.
        unset: What applies if nothing sets it and its default is null.
    """

    metavar: str = ""
    type: Any = str
    unset: str = ""


@dataclass(frozen=True)
class SettingGroup:
    """Settings that stand under one heading, by name."""

    heading: str
    flags: Mapping[str, Flag] = field(default_factory=dict)

    def without(self, *names: str) -> SettingGroup:
        """Return the group without some settings."""
        kept = {name: flag for name, flag in self.flags.items() if name not in names}
        return SettingGroup(self.heading, kept)

    def only(self, *names: str) -> SettingGroup:
        """Return the group with these settings alone."""
        return SettingGroup(self.heading, {name: self.flags[name] for name in names})


MODEL = SettingGroup(
    "Model",
    {
        "teacher": Flag("NAME", click.Choice(backend_names())),
        "preset": Flag("NAME", click.Choice(list(PRESETS)), "by the host of --base-url"),
        "model": Flag("NAME", unset="none"),
        "base_url": Flag("URL", unset="that of the preset"),
        "api_key_env": Flag("VARIABLE", unset="that of the preset"),
        "temperature": Flag("NUMBER"),
        "top_p": Flag("NUMBER", float, "that of the endpoint"),
        "max_tokens": Flag("N"),
        "max_tokens_field": Flag("NAME", unset="that of the preset"),
        "seed": Flag("N", int),
        "replay": Flag("FILE", unset="none"),
    },
)
TRANSFORM = SettingGroup(
    "Model",
    {
        "transform_teacher": Flag("NAME", click.Choice(backend_names()), "--teacher"),
        "transform_model": Flag("NAME", unset="--model"),
    },
)
LIMITS = SettingGroup(
    "Limits",
    {
        "max_connections": Flag("N", int),
        "fixed_connections": Flag(),
        "requests_per_minute": Flag("N", int, "no limit"),
        "tokens_per_minute": Flag("N", int, "no limit"),
        "call_seconds": Flag("SECONDS", float),
        "tries": Flag("N", int),
    },
)
BUDGET = SettingGroup(
    "Limits",
    {
        "budget_usd": Flag("USD", float, "no limit"),
        "budget_tokens": Flag("N", int, "no limit"),
        "only_off_peak": Flag(),
        "peak_hours": Flag("HOURS", unset="those of the preset"),
    },
)
SANDBOX = SettingGroup(
    "Sandbox",
    {
        "slots": Flag("N", int, "number of cores"),
        "python": Flag("INTERPRETER", unset="the one that runs annoy"),
        "unsafe_no_sandbox": Flag(),
        "allow_subprocess": Flag(),
    },
)


class SettingOption(GroupedOption):
    """The option of a setting; its help names the default and the environment variable."""

    def __init__(self, *args: Any, flag: Flag, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self._flag = flag

    def facts(self, ctx: click.Context) -> Iterator[str]:
        """Yield the environment variable and the default of the setting."""
        assert self.name is not None
        yield f"env: ANNOY_{self.name.upper()}"
        default = RunSettings.model_fields[self.name].default
        if isinstance(default, bool):
            yield f"default: {'on' if default else 'off'}"
        elif isinstance(default, float):
            yield f"default: {default:g}"
        else:
            yield f"default: {self._flag.unset if default is None else default}"


def settings_options(*groups: SettingGroup) -> Callable[[Function], Function]:
    """Return a decorator that adds an option for each setting of some groups to a command.

    The command passes the values on to `load_settings`; None means not given.
    """

    def decorate(command: Function) -> Function:
        for group in reversed(groups):
            for name, flag in reversed(list(group.flags.items())):
                command = _option(name, flag, group.heading)(command)
        return command

    return decorate


def _option(name: str, flag: Flag, heading: str) -> Callable[[Function], Function]:
    words = RunSettings.model_fields[name].description or ""
    shape: dict[str, Any] = (
        {"type": flag.type, "metavar": flag.metavar} if flag.metavar else {"is_flag": True}
    )
    names = [f"--{name.replace('_', '-')}", *(["-m"] if name == "model" else [])]
    return click.option(
        *names,
        cls=SettingOption,
        flag=flag,
        group=heading,
        default=None,
        help=f"{words[:1].upper()}{words[1:]}.",
        **shape,
    )
