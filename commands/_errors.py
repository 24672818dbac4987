"""Turns exceptions into one line on stderr that says what to do next.

Decisions
- An error that the user can correct is one line and exit code 1. Any other is an internal error; it
  too is one line, and `-v` or ANNOY_DEBUG=1 prints its traceback.
- Passwords and keys are masked in every message, wherever in a URL they stand.
"""

from __future__ import annotations

import errno
import re
import sys
import traceback

import click

from annoy_store.errors import AnnoyError, StoreError, did_you_mean, mask_secrets, unknown_name

from ._text import safe

DATABASE_HINTS = {
    "database or disk is full": "the disk is full: free some space, then repeat the command",
    "disk full": "the disk is full: free some space, then repeat the command",
    "no space left": "the disk is full: free some space, then repeat the command",
    "readonly database": "no write permission: choose another location with --store",
    "read-only transaction": "the database is read-only: use another role or --store",
    "unable to open database file": "check that the folder exists and is writable, or use --store",
    "database is locked": "another program has locked the file: close it, then repeat the command",
    "malformed": "the file is damaged: restore a backup (or try sqlite3 FILE .recover)",
    "not a database": "the file is not a SQLite store: choose another with --store",
    "disk i/o error": "the disk or file system failed: check it, then repeat the command",
    "locking protocol": "WAL needs a local file system: move the store off the network drive",
    "password authentication failed": "check the user and password in the store URL",
    "connection refused": "check that the database server is running, and the host and port in the store URL",
    "could not translate host name": "check the host in the store URL",
    "failed to resolve host": "check the host in the store URL",
    "does not exist": "check the store URL; create the schema with: annoy init",
    "permission denied": "the database role lacks privileges: grant them or use another role",
    "canceling statement": "the statement took too long and was cancelled",
    "too many clients": "the server has no connection left: stop other runs, or raise max_connections",
    "connection slots": "the server has no connection left: stop other runs, or raise max_connections",
    "too many connections": "the server has no connection left: stop other runs, or raise its limit",
    "terminating connection": "the server ended the connection: repeat the command",
    "idle": "the server ended the connection: repeat the command, or raise its idle timeout",
    "invalid port number": "check the port in the store URL",
    "server closed the connection": "the connection to the database was lost: repeat the command",
    "timed out": "the database cannot be reached: check the network, then repeat the command",
    "timeout expired": "the database cannot be reached: check the network, then repeat the command",
    "unreachable": "the database cannot be reached: check the network, then repeat the command",
    "connection is lost": "the connection to the database was lost: repeat the command",
}
FILE_HINTS = {
    errno.ENOENT: "no such file or folder",
    errno.EACCES: "permission denied: choose another location or change its permissions",
    errno.EPERM: "permission denied: choose another location or change its permissions",
    errno.EROFS: "the file system is read-only: choose another location",
    errno.ENOSPC: "the disk is full: free some space, then repeat the command",
    errno.EDQUOT: "the disk quota is used up: free some space, then repeat the command",
    errno.EISDIR: "is a folder, not a file",
    errno.ENOTDIR: "a part of the path is not a folder",
    errno.EMFILE: "too many open files: raise the limit with ulimit -n",
}


class CommandError(click.ClickException):
    """An error that is printed on one line; exit code 1."""

    def show(self, file: object = None) -> None:
        click.echo(f"annoy: {self.format_message()}", err=True)


def usage_message(error: click.UsageError) -> str:
    """Return the message of a usage error; a name that does not exist is told in our words."""
    command = error.ctx.command if error.ctx else None
    if isinstance(error, click.NoSuchOption):
        options = [name for param in getattr(command, "params", ()) for name in param.opts]
        name = error.option_name
        return f"unknown option {name!r}{did_you_mean(name, options)}"
    if isinstance(error, click.NoSuchCommand) and isinstance(command, click.Group):
        assert error.ctx is not None
        name = error.command_name
        return f"unknown command {name!r}{did_you_mean(name, command.list_commands(error.ctx))}"
    return _unknown_choice(error) or error.format_message()


def _unknown_choice(error: click.UsageError) -> str:
    """Return the message about a value that is none of the choices of its parameter."""
    param = error.param if isinstance(error, click.BadParameter) else None
    given = re.match(r"'(.*)' is not one of", error.message, re.DOTALL)
    if param is None or not isinstance(param.type, click.Choice) or not given:
        return ""
    what = param.opts[0] if isinstance(param, click.Option) else param.human_readable_name
    return unknown_name(what, given[1], map(str, param.type.choices))


def to_click_error(error: Exception, *, debug: bool = False) -> CommandError | None:
    """Return the error to print for an exception.

    Args:
        error: What a command raised.
        debug: Also print the traceback on stderr.

    Returns:
        An error of one line, or None for an exception that click handles itself.
    """
    if isinstance(error, click.ClickException | click.Abort | click.exceptions.Exit):
        return None
    if debug:
        sys.stderr.write(mask_secrets("".join(traceback.format_exception(error))))
    message = _message(error)
    if message is None:
        name = f"{type(error).__name__}: {error}".strip(": ")
        message = f"internal error: {name} (annoy -v ... prints the traceback)"
    return CommandError(safe(mask_secrets(" ".join(message.split()))))


def _message(error: Exception) -> str | None:
    if isinstance(error, AnnoyError):
        return _with_database_hint(error)
    if hint := _database_hint(error):
        return hint
    if isinstance(error, OSError) and (hint := FILE_HINTS.get(error.errno or 0)):
        return f"{error.filename}: {hint}" if error.filename else hint
    if isinstance(error, MemoryError):
        return "out of memory: process less at once (--limit) or use a machine with more memory"
    return None


def _with_database_hint(error: AnnoyError) -> str:
    """Return the message of an error, with a hint if a database caused it."""
    message = str(error) or type(error).__name__
    if not isinstance(error, StoreError) or not _is_database(error.__cause__):
        return message
    hint = _hint(_first_line(error.__cause__))
    return f"{message}; {hint}" if hint else message


def _database_hint(error: Exception) -> str | None:
    if not _is_database(error):
        return None
    first = _first_line(error)
    hint = _hint(first)
    return f"the store failed: {first}" + (f"; {hint}" if hint else "")


def _first_line(error: BaseException | None) -> str:
    return (str(getattr(error, "orig", error)).strip().splitlines() or ["unknown error"])[0]


def _is_database(error: BaseException | None) -> bool:
    """Return whether an error is one of SQLAlchemy or a driver, without importing either."""
    roots = {base.__module__.split(".")[0] for base in type(error).__mro__}
    return bool(roots & {"sqlalchemy", "sqlite3", "pysqlite3", "psycopg"})


def _hint(message: str) -> str | None:
    lowered = message.lower()
    return next((hint for key, hint in DATABASE_HINTS.items() if key in lowered), None)
