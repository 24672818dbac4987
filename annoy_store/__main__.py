"""The front door: `annoy` and `python -m annoy_store`.

Decision: an installed package carries the commands inside; a plain checkout has them beside it.
"""

from __future__ import annotations

import importlib
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
    commands().main(prog_name="annoy")


if __name__ == "__main__":
    main()
