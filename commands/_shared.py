"""What the commands share: settings, the store, messages and printed data.

Decisions
- Settings: flag > environment > `.env` > annoy.toml > default. `.env` (in the working folder) is
  read into the environment without overriding it, so it may hold the keys of endpoints too.
- An unknown key is an error, in annoy.toml and among the ANNOY_* variables.
- Data goes to stdout, messages to stderr. Rich tables on a terminal, plain aligned lines elsewhere.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from annoy_store.errors import UsageError, did_you_mean

from ._text import safe, safe_json

if TYPE_CHECKING:
    from pydantic import ValidationError

    from annoy_store.config import RunSettings
    from annoy_store.db.engine import Database

Function = TypeVar("Function", bound=Callable[..., Any])
OUR_VARIABLES = {"ANNOY_STORE_URL", "ANNOY_CONFIG", "ANNOY_DEBUG"}
TEST_PREFIX = "ANNOY_TEST_"
DEFAULT_CONFIG = Path("annoy.toml")


def json_option(command: Function) -> Function:
    """Add the option `--json`, passed as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON to stdout.")(command)


# Settings ------------------------------------------------------------------------------------


def load_settings(ctx: click.Context, **flags: Any) -> RunSettings:
    """Return the run settings of flags, environment, `.env`, annoy.toml and defaults.

    Args:
        ctx: Context of a command; its root holds `--store` and `--config`.
        flags: Values of flags by the name of their setting; None means not given.

    Raises:
        UsageError: A key is unknown or a value is invalid; the message says where it was set.
    """
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from annoy_store.config import RunSettings

    options = ctx.find_root().params
    _read_dotenv(Path(".env"))
    known = list(RunSettings.model_fields)
    file = _read_toml(options.get("config"), known)
    _check_variables(known)
    given = {key: value for key, value in flags.items() if value is not None}
    store = options.get("store") or _store_variable()
    if store:
        given["store"] = store
    try:
        return RunSettings.layered(file, given)
    except ValidationError as error:
        raise UsageError(_first_error(error, file, given)) from None
    except SettingsError as error:
        raise UsageError(f"environment: {error}; the value must be JSON") from None


def _store_variable() -> str | None:
    return os.environ.get("ANNOY_STORE_URL") or os.environ.get("ANNOY_STORE") or None


def _read_dotenv(path: Path) -> None:
    if not path.is_file():
        return
    from dotenv import load_dotenv

    try:
        load_dotenv(path, override=False)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text: {error}") from None


def _read_toml(path: Path | None, known: Sequence[str]) -> dict[str, Any]:
    if path is None and not DEFAULT_CONFIG.is_file():
        return {}
    path = path or DEFAULT_CONFIG
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from None
    for key in values:
        if key not in known:
            raise UsageError(f"{path}: {_unknown(key, known)}")
    return values


def _check_variables(known: Sequence[str]) -> None:
    names = {f"ANNOY_{key.upper()}" for key in known} | OUR_VARIABLES
    for name in os.environ:
        if name.startswith("ANNOY_") and name not in names and not name.startswith(TEST_PREFIX):
            raise UsageError(f"environment: {_unknown(name, sorted(names))}")


def _unknown(key: str, known: Sequence[str]) -> str:
    return f"unknown key {key!r}{did_you_mean(key, known)}; known keys: {', '.join(known)}"


def _first_error(error: ValidationError, file: Mapping[str, Any], flags: Mapping[str, Any]) -> str:
    first = error.errors(include_url=False)[0]
    key = str(first["loc"][0]) if first["loc"] else "settings"
    if key in flags:
        place = f"--{key.replace('_', '-')}"
    elif f"ANNOY_{key.upper()}" in os.environ:
        place = f"ANNOY_{key.upper()}"
    else:
        place = f"annoy.toml: {key}" if key in file else key
    return f"{place} = {first.get('input')!r}: {first['msg']}"


def store_of(ctx: click.Context, *, create: bool = False) -> Database:
    """Open the store that the settings name; it is closed when the command ends.

    Args:
        ctx: Context of the command.
        create: Create the store if it is a SQLite file that does not exist.

    Raises:
        AnnoyError: The settings are invalid, or the store is missing, of another schema or out of
            reach.
    """
    from annoy_store.db.migrate import open_store

    store = open_store(load_settings(ctx).store, create=create)
    ctx.call_on_close(lambda: _close(store))
    return store


def _close(store: Database) -> None:
    """Close a store; raise StoreFileLost if its file is gone."""
    try:
        store.check_file()
    finally:
        store.close()


# Messages and data ---------------------------------------------------------------------------


def say(ctx: click.Context, message: str) -> None:
    """Print a message on stderr, unless `-q` was given."""
    if not ctx.find_root().params.get("quiet"):
        click.echo(safe(message), err=True)


def warn(message: str) -> None:
    """Print a warning on stderr, with `-q` too."""
    click.echo(f"annoy: {safe(message)}", err=True)


def on_terminal() -> bool:
    """Return whether stdout is a terminal."""
    return sys.stdout.isatty()


def print_json(value: Any, *, indent: bool | None = None) -> None:
    """Print a JSON value on stdout.

    Args:
        value: The value; what JSON does not know is printed as text.
        indent: Whether to print it on several lines; None means on a terminal only.
    """
    import json

    indented = on_terminal() if indent is None else indent
    text = json.dumps(value, ensure_ascii=False, indent=2 if indented else None, default=str)
    click.echo(safe_json(text.encode("utf-8", "replace").decode()))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """Print a table on stdout: with rules on a terminal, as plain aligned lines elsewhere.

    Args:
        columns: Headings.
        rows: Rows with one value per column; columns of numbers are aligned to the right.
        title: A line above the table.
    """
    cells = [[cell(value) for value in row] for row in rows]
    right = [_is_numeric(row[i] for row in cells) for i in range(len(columns))]
    if on_terminal():
        _print_rich(columns, cells, right, title)
    else:
        _print_plain(columns, cells, right, title)


def cell(value: Any) -> str:
    """Return a value as one line without control characters; null is the empty text."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return safe(str(value), one_line=True)


def _is_numeric(cells: Iterable[str]) -> bool:
    filled = [c for c in cells if c]
    return bool(filled) and all(
        c.lstrip("-").replace(",", "").replace(".", "", 1).isdigit() for c in filled
    )


def _print_rich(
    columns: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool], title: str
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for name, is_number in zip(columns, right, strict=True):
        table.add_column(Text(safe(name, one_line=True)), justify="right" if is_number else "left")
    for row in cells:
        table.add_row(*map(Text, row))
    Console().print(table)


def _print_plain(
    columns: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool], title: str
) -> None:
    lines = [[safe(c, one_line=True) for c in columns], *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    if title:
        click.echo(title)
    for line in lines:
        shown = (
            c.rjust(w) if is_number else c.ljust(w)
            for c, w, is_number in zip(line, widths, right, strict=True)
        )
        click.echo("  ".join(shown).rstrip())
