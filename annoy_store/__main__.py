"""The front door: `annoy` and `python -m annoy_store`.

Decisions
- An installed package carries the commands inside; a plain checkout has them beside it.
- SIGTERM ends a command as Ctrl-C does, so that it tidies up; `run` has its own way.
- What SQLAlchemy logs beside the errors it raises (cursors of an interrupted read) is no news.
"""

from __future__ import annotations

import importlib
import logging
import signal
from typing import cast

import click


def commands() -> click.Group:
    """Return the group of all commands, wherever this package was started from."""
    inside = f"{__package__ or 'annoy_store'}.commands"
    try:
        module = importlib.import_module(inside)
    except ModuleNotFoundError as error:
        if error.name != inside:
            raise
        module = importlib.import_module("commands")
    return cast(click.Group, module.annoy)


def main() -> None:
    """Run the command line and exit with its code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.getLogger("sqlalchemy").addHandler(logging.NullHandler())
    commands().main(prog_name="annoy")


if __name__ == "__main__":
    main()
