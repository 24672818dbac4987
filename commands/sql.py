"""Run a read-only SQL query.

Without QUERY, lists every view and table with its columns and meaning. `@FILE` reads the query from
a file, `-` from stdin. No query can write. `--json` is `--format json`; jsonl, json, csv and
markdown stream any number of rows. Texts are exact in json and jsonl; in csv, a text that begins
like a formula gets a leading apostrophe.

Queries run on a columnar snapshot beside the store, which is refreshed first; its SQL is DuckDB's.
It has every table and view, but of large texts only the length (`refcode_chars`): a query that
names such a text runs on the store itself, in the SQL of its database, as all do with `--live`.
A query has a process of its own, with limits of time, CPU time and memory.

\b
Examples:
  annoy sql
  annoy sql 'SELECT * FROM v_failures ORDER BY jobs DESC LIMIT 10'
  annoy sql 'SELECT path FROM origins WHERE repo = :r' -p r=octocat/hello
  annoy sql --live "SELECT refcode FROM samples WHERE refcode LIKE '%yield%'"
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import click

from annoy_store.analysis.bounded_query import run_bounded
from annoy_store.analysis.snapshot.query import NotInSnapshot
from annoy_store.analysis.sql import RelationInfo, Value, describe
from annoy_store.db.duckdb_session import prevent_pandas_import
from annoy_store.db.views import VIEWS
from annoy_store.errors import UsageError

from ._formats import WRITERS
from ._shared import json_option, print_json, print_table, say, store_of
from ._text import on_terminal


class SqlCommand(click.Command):
    """The command, whose help ends with the views."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each view holds, with an example query that is never wrapped."""
        with formatter.section("Views"):
            for view in VIEWS:
                formatter.write_text(f"{view.name}: {view.meaning}")
                formatter.write(f"    {view.example}\n")


@click.command(help=__doc__, cls=SqlCommand)
@click.argument("query", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(WRITERS)),
    default="table",
    show_default=True,
    help="Output format.",
)
@click.option(
    "-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="Value of :name in QUERY."
)
@click.option("--live", is_flag=True, help="Query the store itself, not its snapshot.")
@click.option(
    "--seconds",
    type=click.FloatRange(0, 1e6, min_open=True),
    default=600.0,
    show_default=True,
    help="Timeout of the query in seconds.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    query: str | None,
    form: str,
    params: tuple[str, ...],
    live: bool,
    seconds: float,
    as_json: bool,
) -> None:
    prevent_pandas_import()
    store = store_of(ctx)
    form = "json" if as_json else form
    if query is None:
        _list(describe(store), form)
        return
    if math.isnan(seconds):  # no range of click refuses it
        raise click.BadParameter("nan is not a number of seconds", param_hint="--seconds")
    arguments = store, _text(query), dict(map(_param, params)), seconds
    try:
        with run_bounded(*arguments, live=live) as found:
            WRITERS[form](found.columns, found.rows)
    except NotInSnapshot as error:
        say(ctx, str(error).partition(";")[0] + "; querying the store itself")
        with run_bounded(*arguments, live=True) as found:
            WRITERS[form](found.columns, found.rows)


def _text(query: str) -> str:
    try:
        if query == "-":
            return sys.stdin.read()
        return Path(query[1:]).read_text(encoding="utf-8") if query.startswith("@") else query
    except UnicodeDecodeError as error:
        raise UsageError(f"{query} is not UTF-8 text: {error}") from None


def _param(given: str) -> tuple[str, Value]:
    """Parse `name=value`; a value that looks like a number becomes one."""
    name, equals, value = given.partition("=")
    if not equals or not name.isidentifier():
        raise click.BadParameter(f"{given!r} is not NAME=VALUE", param_hint="-p")
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value


def _list(listed: list[RelationInfo], form: str) -> None:
    if form in ("json", "jsonl"):
        print_json([vars(d) for d in listed])
        return
    for kind in ("view", "table"):
        rows = [(d.name, d.meaning, ", ".join(d.columns)) for d in listed if d.kind == kind]
        print_table((f"{kind}", "meaning", "columns"), rows)
        click.echo()
    if on_terminal() or form == "table":
        click.echo("examples:")
        for d in listed:
            if d.example:
                click.echo(f"  annoy sql {d.example!r}")
