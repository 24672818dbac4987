"""The bridge from errors to one line on stderr that says what to do next.

Decision: what a person can mend is exit code 1 with one line. Anything else is a bug of ours; it
too is one line, and `-v` or ANNOY_DEBUG=1 shows where it came from.
"""

from __future__ import annotations

import errno
import sys
import traceback

import click

from annoy_store.errors import AnnoyError, StoreError

from ._text import safe

DATABASE_HINTS = {
    "database or disk is full": "the disk is full: free some space, then run the same again",
    "disk full": "the disk is full: free some space, then run the same again",
    "no space left": "the disk is full: free some space, then run the same again",
    "readonly database": "no permission to write there: choose another place with --store",
    "read-only transaction": "the database only allows reading: use another role or --store",
    "unable to open database file": "check that the folder is there and writable, or use --store",
    "database is locked": "another program holds the file: close it, then run the same again",
    "malformed": "the file is damaged: restore a backup (or try sqlite3 FILE .recover)",
    "not a database": "that file is no SQLite store: choose another with --store",
    "disk i/o error": "the disk or file system failed: check it, then run the same again",
    "locking protocol": "WAL needs a local file system: move the store off the network drive",
    "password authentication failed": "check user and password of the store URL",
    "connection refused": "is the database server running, and are host and port right?",
    "could not translate host name": "check the host in the store URL",
    "failed to resolve host": "check the host in the store URL",
    "does not exist": "check the store URL; make the schema with: annoy init",
    "permission denied": "the database role lacks rights: grant them or use another role",
    "canceling statement": "the statement took too long and was stopped",
    "server closed the connection": "the database went away: run the same again",
    "timed out": "the database is out of reach: check the network, then run the same again",
    "timeout expired": "the database is out of reach: check the network, then run the same again",
    "unreachable": "the database is out of reach: check the network, then run the same again",
    "connection is lost": "the database went away: run the same again",
}
FILE_HINTS = {
    errno.ENOENT: "there is no such file or folder",
    errno.EACCES: "no permission; choose another place or change its rights",
    errno.EPERM: "no permission; choose another place or change its rights",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.ENOSPC: "the disk is full: free some space, then run the same again",
    errno.EDQUOT: "the disk quota is used up: free some space, then run the same again",
    errno.EISDIR: "that is a folder, not a file",
    errno.ENOTDIR: "part of that path is not a folder",
    errno.EMFILE: "too many open files: raise the limit with ulimit -n",
}


class Trouble(click.ClickException):
    """One line for a person; exit code 1."""

    def show(self, file: object = None) -> None:
        click.echo(f"annoy: {self.format_message()}", err=True)


def explain(error: Exception, *, debug: bool = False) -> Trouble | None:
    """Return what to tell about `error`; None when it is click's own business."""
    if isinstance(error, click.ClickException | click.Abort | click.exceptions.Exit):
        return None
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    words = _words(error)
    if words is None:
        name = f"{type(error).__name__}: {error}".strip(": ")
        words = f"a bug of ours: {name} (annoy -v ... shows where)"
    return Trouble(safe(" ".join(words.split())))


def _words(error: Exception) -> str | None:
    if isinstance(error, AnnoyError):
        return _with_database_hint(error)
    if hint := _database_hint(error):
        return hint
    if isinstance(error, OSError) and (hint := FILE_HINTS.get(error.errno or 0)):
        return f"{error.filename}: {hint}" if error.filename else hint
    if isinstance(error, MemoryError):
        return "out of memory; use smaller pieces (--limit) or a machine with more"
    return None


def _with_database_hint(error: AnnoyError) -> str:
    """An error of ours that a database caused also says what to do about the cause."""
    words = str(error) or type(error).__name__
    if not isinstance(error, StoreError) or not _is_database(error.__cause__):
        return words
    hint = _hint(_first_line(error.__cause__))
    return f"{words}; {hint}" if hint else words


def _database_hint(error: Exception) -> str | None:
    if not _is_database(error):
        return None
    first = _first_line(error)
    hint = _hint(first)
    return f"the store failed: {first}" + (f"; {hint}" if hint else "")


def _first_line(error: BaseException | None) -> str:
    return (str(getattr(error, "orig", error)).strip().splitlines() or ["unknown error"])[0]


def _is_database(error: BaseException | None) -> bool:
    """True for an error of SQLAlchemy or a driver, without importing either."""
    roots = {base.__module__.split(".")[0] for base in type(error).__mro__}
    return bool(roots & {"sqlalchemy", "sqlite3", "pysqlite3", "psycopg"})


def _hint(words: str) -> str | None:
    lowered = words.lower()
    return next((hint for key, hint in DATABASE_HINTS.items() if key in lowered), None)
