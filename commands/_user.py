"""Who sets a mark: the option `--author` of the commands that write marks."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


def author_option(command: Function) -> Function:
    """Add the option `--author`, the name that is stored with a mark."""
    return click.option(
        "--author",
        default=user_name,
        metavar="NAME",
        help="Name stored with a mark; default: your user name.",
    )(command)


def user_name() -> str:
    """Return the name of the user of this process; `unknown` where the system has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
