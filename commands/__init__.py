"""The command line: every file here whose name has no leading underscore is one command.

Decisions
- A file's name is its command's name and the first line of its docstring the short help, read
  without an import, so `annoy --help` stays fast. Running a command imports one file.
- Former names of commands are aliases: they run the same module and are shown nowhere.
- Exceptions become one line and an exit code in `_errors.py` alone; commands just raise.
"""

from __future__ import annotations

import ast
import importlib
import io
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click
from click.exceptions import NoArgsIsHelpError

from . import _errors, _signals
from ._options import HelpContext, with_help_page
from ._text import safe

SECTIONS = {
    "Get started": ("demo", "init", "ingest", "import"),
    "Run": ("plan", "policy", "resample", "run", "batch", "status"),
    "Inspect": ("sql", "show", "note", "failures", "report", "view"),
    "Maintain": ("retry", "reverify", "verdict-changes", "rerun", "takedown", "check"),
    "Publish": ("cluster", "decontaminate", "export", "exports", "bench", "serve"),
    "Transfer": ("backup", "copy", "merge"),
    "Help": ("guide", "doctor", "completion"),
}
OTHER_SECTION = "Other"
ALIASES = {
    "ask": "resample",
    "flips": "verdict-changes",
    "recheck": "reverify",
    "replan": "rerun",
}


def names() -> list[str]:
    """Return the names of all commands, sorted, without aliases."""
    files = Path(__file__).parent.glob("[a-z]*.py")
    return sorted(path.stem.rstrip("_").replace("_", "-") for path in files)


def short_help(name: str) -> str:
    """Return the first line of the docstring of a command's file.

    Args:
        name: Name of a command, no alias.
    """
    source = _file(name).read_text(encoding="utf-8")
    lines = (ast.get_docstring(ast.parse(source)) or "").splitlines()
    return lines[0] if lines else ""


def _file(name: str) -> Path:
    """Return the file of a command; names that are Python keywords have a trailing underscore."""
    stem = Path(__file__).parent / name.replace("-", "_")
    plain = stem.with_suffix(".py")
    return plain if plain.is_file() else stem.with_name(f"{stem.name}_.py")


class LazyGroup(click.Group):
    """A group that finds its commands by their files and imports only the one that is run."""

    context_class = HelpContext

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, without aliases."""
        return names()

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import and return a command, also by an alias; None if there is none."""
        name = ALIASES.get(name, name)
        if name not in names():
            return None
        command = importlib.import_module(f"{__name__}.{_file(name).stem}").command
        assert isinstance(command, click.Command)
        command.name = name
        return with_help_page(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve an alias; suggest a similar name for an unknown command."""
        found = self._resolve(ctx, args)
        _signals.interrupt_from_now_on()
        return found

    def _resolve(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not args or args[0].startswith("-"):
            return super().resolve_command(ctx, args)
        name = ALIASES.get(args[0], args[0])
        if name not in names():
            raise click.NoSuchCommand(name, ctx=ctx)
        return super().resolve_command(ctx, [name, *args[1:]])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands in sections, with their short help."""
        rest = [n for n in names() if not any(n in s for s in SECTIONS.values())]
        for title, listed in {**SECTIONS, OTHER_SECTION: tuple(rest)}.items():
            rows = [(n, short_help(n)) for n in listed if n in names()]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an exception becomes an error of one line."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _discard_stdout()
            return ctx.exit(0)
        except Exception as error:
            if _signals.was_interrupted(error):
                raise click.Abort from None
            failure = _errors.to_click_error(error, debug=_is_debugging(ctx))
            if failure is None:
                raise
            raise failure from None

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run the command line and exit, or return in standalone mode `False`."""
        start: Any = super().main
        if not standalone_mode:
            return start(*args, standalone_mode=False, **extra)
        return _exit(lambda: start(*args, standalone_mode=False, **extra))


def _is_debugging(ctx: click.Context) -> bool:
    return bool(ctx.params.get("verbose") or os.environ.get("ANNOY_DEBUG"))


def _exit(run: Callable[[], Any]) -> NoReturn:
    """Run the command line and exit with the code of its outcome."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = run()
        sys.stdout.flush()
    except click.ClickException as error:
        _print_error(error)
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("annoy: interrupted", err=True)
        code = _signals.INTERRUPTED
    except BrokenPipeError:
        _discard_stdout()
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def _print_error(error: click.ClickException) -> None:
    """Print an error on one line; a usage error also names the command that prints the help."""
    if not isinstance(error, click.UsageError) or isinstance(error, NoArgsIsHelpError):
        return error.show()
    place = error.ctx.command_path if error.ctx else "annoy"
    message = " ".join(_errors.usage_message(error).split()).rstrip(".")
    return click.echo(f"annoy: {safe(message)} (help: {place} --help)", err=True)


def _discard_stdout() -> None:
    """Redirect stdout to the null device, so that flushing at exit does not fail again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _print_version(ctx: click.Context, _: click.Parameter, requested: bool) -> None:
    if not requested:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        click.echo(f"annoy {version('annoy-store')}")
    except PackageNotFoundError:
        click.echo("annoy (from a checkout)")
    ctx.exit()


@click.command(
    cls=LazyGroup,
    name="annoy",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--store", metavar="URL", help="URL of the store (env: ANNOY_STORE_URL).")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="ANNOY_CONFIG",
    help="File with run settings; default: ./annoy.toml if it exists (env: ANNOY_CONFIG).",
)
@click.option("-q", "--quiet", is_flag=True, help="Print fewer messages on stderr.")
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Log more on stderr and print tracebacks (env: ANNOY_DEBUG=1).",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def annoy(verbose: bool, **_: object) -> None:
    """Turn raw code into verified reasoning data, kept in an SQL store.

    \b
    Try it without a key:   annoy demo
    On your own code:       annoy ingest src/ && annoy run --teacher tracer
    """
    if verbose:
        logging.getLogger("annoy_store").setLevel(logging.INFO)


def main() -> None:
    """Run the command line and exit with its exit code."""
    _signals.exit_while_starting()
    annoy.main(prog_name="annoy")
