"""Entry point of the command line: `annoy` and `python -m annoy_store`.

Decisions
- In an installed package the commands are a subpackage; in a checkout they are in the folder
  `commands` beside the package.
- Until the commands are imported, Ctrl-C and SIGTERM end the process at once: an exception in the
  middle of an import may come out as any other. Then commands/_signals.py says what they do.
- Warnings that the package logs are printed on stderr. What SQLAlchemy logs besides the errors that
  it raises (cursors of an interrupted read) is not printed.
- Garbage is collected less often than by default: the objects of imports live on, and looking
  through them again and again takes a tenth of a short command.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import signal
import sys
from types import ModuleType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import click


OBJECTS_PER_COLLECTION = 20_000


class StderrHandler(logging.Handler):
    """Prints records on the present stderr, which a live display replaces by its own."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record on one line."""
        print(self.format(record), file=sys.stderr, flush=True)


def commands() -> click.Group:
    """Return the group of all commands, from the installed package or from a checkout."""
    return cast("click.Group", _package().annoy)


def _package() -> ModuleType:
    inside = f"{__package__ or 'annoy_store'}.commands"
    try:
        return importlib.import_module(inside)
    except ModuleNotFoundError as error:
        if error.name != inside:
            raise
        return importlib.import_module("commands")


def main() -> None:
    """Run the command line and exit with its exit code."""
    gc.set_threshold(OBJECTS_PER_COLLECTION)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit_at_once)
    _log_to_stderr()
    _package().main()


def _exit_at_once(*_: object) -> None:
    os.write(2, b"annoy: interrupted\n")
    os._exit(130)


def _log_to_stderr() -> None:
    handler = StderrHandler()
    handler.setFormatter(logging.Formatter("annoy: %(message)s"))
    logging.getLogger("annoy_store").addHandler(handler)
    logging.getLogger("sqlalchemy").addHandler(logging.NullHandler())


if __name__ == "__main__":
    main()
