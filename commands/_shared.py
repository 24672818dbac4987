"""What the commands share: settings, the store, messages and printed data.

Decisions
- Settings: flag > environment > `.env` > annoy.toml > default. `.env` (in the working folder) is
  read into the environment without overriding it, so it may hold the keys of endpoints too.
- An unknown key is an error, in annoy.toml and among the ANNOY_* variables.
- Data goes to stdout, messages to stderr.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from annoy_store.errors import UsageError, unknown_name

from ._screen import show, table
from ._text import on_terminal, safe, safe_json

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
            raise UsageError(f"{path}: {unknown_name('key', key, known)}")
    return values


def _check_variables(known: Sequence[str]) -> None:
    names = {f"ANNOY_{key.upper()}" for key in known} | OUR_VARIABLES
    for name in os.environ:
        if name.startswith("ANNOY_") and name not in names and not name.startswith(TEST_PREFIX):
            raise UsageError(f"environment: {unknown_name('key', name, sorted(names))}")


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


def print_json(value: Any, *, indent: bool | None = None) -> None:
    """Print a JSON value on stdout.

    Args:
        value: The value; what JSON does not know is printed as text.
        indent: Whether to print it on several lines; None means on a terminal only.
    """
    click.echo(json_text(value, indent=on_terminal() if indent is None else indent))


def json_text(value: Any, *, indent: bool = False) -> str:
    """Return a JSON value as text, on one line or on several; see `print_json`."""
    import json

    text = json.dumps(value, ensure_ascii=False, indent=2 if indent else None, default=str)
    return safe_json(text.encode("utf-8", "replace").decode())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """Print a table on stdout, as `_screen.table` describes."""
    show(table(columns, rows, title))
