"""Entry point of the command line: `annoy` and `python -m annoy_store`.

Decisions
- In an installed package the commands are a subpackage; in a checkout they are in the folder
  `commands` beside the package.
- SIGTERM ends a command as Ctrl-C does, so that it cleans up; `run` has its own handlers.
- Warnings that the package logs are printed on stderr. What SQLAlchemy logs besides the errors that
  it raises (cursors of an interrupted read) is not printed.
"""

from __future__ import annotations

import importlib
import logging
import signal
from typing import cast

import click


def commands() -> click.Group:
    """Return the group of all commands, from the installed package or from a checkout."""
    inside = f"{__package__ or 'annoy_store'}.commands"
    try:
        module = importlib.import_module(inside)
    except ModuleNotFoundError as error:
        if error.name != inside:
            raise
        module = importlib.import_module("commands")
    return cast(click.Group, module.annoy)


def main() -> None:
    """Run the command line and exit with its exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _log_to_stderr()
    commands().main(prog_name="annoy")


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("annoy: %(message)s"))
    logging.getLogger("annoy_store").addHandler(handler)
    logging.getLogger("sqlalchemy").addHandler(logging.NullHandler())


if __name__ == "__main__":
    main()
