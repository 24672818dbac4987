"""Hide a source, and all that comes of it, from work and exports.

WHAT is source:ID or sample:ID (a number, or the beginning of a digest); or name where it comes
from with --origin, --repo or --licence, as the origins spell it (annoy show source:ID). A source
found in several places stays as long as one of them is allowed. What is ingested later falls
under the rules too. The exports that hold its rows are named; the next export of their line
takes the rows back.

--lift undoes it. --purge blanks the texts as well, which nothing undoes: rows and digests stay
as tombstones. Backups, files that were exported, and what a provider was sent are not reached.

\b
Examples:
  annoy takedown source:42 --why 'asked by its author'
  annoy takedown --repo team/project --why 'licence was wrong'
  annoy takedown --licence gpl-3.0 --why policy
  annoy takedown --repo team/project --lift
  annoy takedown source:42 --purge
  annoy takedown --list
"""

from __future__ import annotations

from dataclasses import asdict

import click
from sqlalchemy import Connection

from annoy_store.db.engine import Database
from annoy_store.errors import UsageError
from annoy_store.ingest.takedowns import (
    TakedownResult,
    TakedownRule,
    affected_exports,
    lift,
    requeue_hidden,
    resolve_value,
    take_down,
    takedown_rules,
)
from annoy_store.maintenance.purge import purge
from annoy_store.stages import PIPELINE

from ._shared import json_option, print_json, print_table, say, store_of


@click.command(help=__doc__)
@click.argument("what", required=False, metavar="[source:ID]")
@click.option("--origin", help="All of one origin, as annoy ingest --origin named it.")
@click.option("--repo", help="All of one repository.")
@click.option("--licence", help="All under one licence.")
@click.option("--why", default="", help="The reason, kept with the rule.")
@click.option("--lift", "lifting", is_flag=True, help="Undo it.")
@click.option("--purge", "purging", is_flag=True, help="Blank the texts too, for good.")
@click.option("--yes", is_flag=True, help="Do not ask before a purge.")
@click.option("--list", "listing", is_flag=True, help="List the rules.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    what: str | None,
    origin: str | None,
    repo: str | None,
    licence: str | None,
    why: str,
    lifting: bool,
    purging: bool,
    yes: bool,
    listing: bool,
    as_json: bool,
) -> None:
    given = [("origin", origin), ("repo", repo), ("licence", licence), *_subject(what)]
    chosen = [(kind, value) for kind, value in given if value]
    store = store_of(ctx)
    if listing:
        _list(store, as_json)
        return
    if len(chosen) != 1 or (lifting and purging):
        raise click.UsageError("say what: source:ID, or one of --origin, --repo, --licence")
    [(kind, value)] = chosen
    if purging:
        _purge(ctx, store, kind, value, why, yes, as_json)
    elif lifting:
        with store.write() as connection:
            change = lift(connection, kind, _named_rule(connection, kind, value))
            again = requeue_hidden(connection, PIPELINE)
        _tell_lift(ctx, change, again, as_json)
    else:
        if not why:
            raise click.UsageError("say why, it is kept with the rule: --why TEXT")
        with store.write() as connection:
            change = take_down(connection, kind, resolve_value(connection, kind, value), why)
        _tell(ctx, change, as_json)


def _subject(what: str | None) -> list[tuple[str, str]]:
    kind, colon, value = (what or "").partition(":")
    if what and (not colon or kind not in ("source", "sample")):
        raise click.BadParameter(f"{what!r} is not source:ID or sample:ID", param_hint="WHAT")
    return [(kind, value)]


def _named_rule(connection: Connection, kind: str, value: str) -> str:
    return resolve_value(connection, kind, value) if kind in ("source", "sample") else value


def _tell(ctx: click.Context, change: TakedownResult, as_json: bool) -> None:
    if as_json:
        print_json(asdict(change))
        return
    click.echo(f"hidden: {change.sources:,} sources and {change.samples:,} samples")
    if change.exports:
        click.echo("exports that hold rows of it:")
        columns = ("export", "format", "rows", "published", "folder")
        print_table(
            columns,
            [(e.export_id, e.format, e.rows, e.published_at, e.folder) for e in change.exports],
        )
        say(ctx, "the next export with --since lists these rows as retractions")
    say(ctx, "undo it with --lift; blank the texts with --purge")


def _tell_lift(ctx: click.Context, change: TakedownResult, again: int, as_json: bool) -> None:
    if as_json:
        print_json({"shown": change.shown, "jobs": again})
        return
    click.echo(f"shown again: {change.shown:,} sources and samples; {again:,} jobs taken up again")
    say(ctx, "next: annoy run")


def _purge(
    ctx: click.Context, store: Database, kind: str, value: str, why: str, yes: bool, as_json: bool
) -> None:
    rule = _rule(store, kind, value, why)
    if not yes:
        words = f"Blank the texts of all that {rule.kind} {rule.value} hides? Nothing undoes this."
        click.confirm(words, abort=True, err=True)
    blanked = purge(store, rule.id)
    if as_json:
        print_json({"blanked": dict(blanked)})
        return
    print_table(("table", "rows blanked"), sorted(blanked.items()))
    say(ctx, "not reached: backups, exported files, what providers were sent")


def _rule(store: Database, kind: str, value: str, why: str) -> TakedownRule:
    """The rule in force; one is made if there is none and a reason is given."""
    with store.write() as connection:
        value = _named_rule(connection, kind, value)
        found = [
            r
            for r in takedown_rules(connection)
            if (r.kind, r.value, r.lifted_at) == (kind, value, None)
        ]
        if not found:
            if not why:
                raise UsageError(f"{kind} {value} is not taken down yet; say why: --why TEXT")
            take_down(connection, kind, resolve_value(connection, kind, value), why)
            found = takedown_rules(connection)
        return found[-1]


def _list(store: Database, as_json: bool) -> None:
    with store.read() as connection:
        known = takedown_rules(connection)
        held = affected_exports(connection)
    if as_json:
        print_json({"rules": [asdict(r) for r in known], "exports": [asdict(h) for h in held]})
        return
    if not known:
        click.echo("nothing is taken down")
        return
    columns = ("kind", "value", "why", "since", "lifted", "purged")
    print_table(
        columns, [(r.kind, r.value, r.why, r.created_at, r.lifted_at, r.purged_at) for r in known]
    )
    if held:
        click.echo("\nexports that hold rows of what is hidden:")
        print_table(
            ("export", "format", "rows", "folder"),
            [(h.export_id, h.format, h.rows, h.folder) for h in held],
        )
