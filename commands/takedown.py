"""Hide a source, and everything derived from it, from the pipeline and exports.

WHAT is source:ID or sample:ID (a number, or the beginning of a digest). Or select by --origin,
--repo or --licence, spelled as in the origins (annoy show source:ID). A source with several origins
is hidden only when all of them are. Sources that are ingested later are subject to the rules too.
The exports that contain its rows are listed; the next incremental export retracts them.

--lift reverses a rule. --purge also blanks the texts, irreversibly: rows and digests stay as
tombstones, and the same content is refused from then on. Backups, exported files and what was sent
to a provider are not affected. Rules travel with annoy merge and annoy copy; one that was lifted in
one of two stores has to be lifted in the other one, too.

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
from annoy_store.errors import UsageError, unknown_name
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

SUBJECTS = ("source", "sample")


@click.command(help=__doc__)
@click.argument("what", required=False, metavar="[source:ID]")
@click.option("--origin", help="All sources of one origin, as named by annoy ingest --origin.")
@click.option("--repo", help="All sources of one repository.")
@click.option("--licence", help="All sources under one licence.")
@click.option("--why", default="", help="The reason; stored with the rule.")
@click.option("--lift", "lifting", is_flag=True, help="Reverse the rule.")
@click.option("--purge", "purging", is_flag=True, help="Also blank the texts, irreversibly.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation of a purge.")
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
        raise click.UsageError("name one: source:ID, sample:ID, --origin, --repo or --licence")
    [(kind, value)] = chosen
    if purging:
        _purge(ctx, store, kind, value, why, yes, as_json)
    elif lifting:
        with store.write() as connection:
            change = lift(connection, kind, _named_rule(connection, kind, value))
            again = requeue_hidden(connection, PIPELINE)
        _print_lift(ctx, change, again, as_json)
    else:
        if not why:
            raise click.UsageError("give the reason, which is stored with the rule: --why TEXT")
        with store.write() as connection:
            change = take_down(connection, kind, resolve_value(connection, kind, value), why)
        _print(ctx, change, as_json)


def _subject(what: str | None) -> list[tuple[str, str]]:
    kind, colon, value = (what or "").partition(":")
    if colon and kind not in SUBJECTS:
        raise click.BadParameter(unknown_name("kind", kind, SUBJECTS), param_hint="WHAT")
    if what and not colon:
        raise click.BadParameter(f"{what!r} is not source:ID or sample:ID", param_hint="WHAT")
    return [(kind, value)]


def _named_rule(connection: Connection, kind: str, value: str) -> str:
    return resolve_value(connection, kind, value) if kind in SUBJECTS else value


def _print(ctx: click.Context, change: TakedownResult, as_json: bool) -> None:
    if as_json:
        print_json(asdict(change))
        return
    click.echo(f"hidden: {change.sources:,} sources and {change.samples:,} samples")
    if change.exports:
        click.echo("exports that contain rows of it:")
        columns = ("export", "format", "rows", "published", "folder")
        print_table(
            columns,
            [(e.export_id, e.format, e.rows, e.published_at, e.folder) for e in change.exports],
        )
        say(ctx, "the next export with --since lists these rows as retractions")
    say(ctx, "reverse it with --lift; blank the texts with --purge")


def _print_lift(ctx: click.Context, change: TakedownResult, again: int, as_json: bool) -> None:
    if as_json:
        print_json({"shown": change.shown, "jobs": again})
        return
    click.echo(f"shown again: {change.shown:,} sources and samples; {again:,} jobs pending again")
    say(ctx, "next: annoy run")


def _purge(
    ctx: click.Context, store: Database, kind: str, value: str, why: str, yes: bool, as_json: bool
) -> None:
    rule = _rule(store, kind, value, why)
    if not yes:
        question = f"Blank all texts hidden by {rule.kind} {rule.value}? This cannot be undone."
        click.confirm(question, abort=True, err=True)
    blanked = purge(store, rule.id)
    if as_json:
        print_json({"blanked": dict(blanked)})
        return
    print_table(("table", "rows blanked"), sorted(blanked.items()))
    say(ctx, "not affected: backups, exported files, what was sent to providers")


def _rule(store: Database, kind: str, value: str, why: str) -> TakedownRule:
    """Return the rule in force; create one if there is none and a reason is given."""
    with store.write() as connection:
        value = _named_rule(connection, kind, value)
        found = [
            r
            for r in takedown_rules(connection)
            if (r.kind, r.value, r.lifted_at) == (kind, value, None)
        ]
        if not found:
            if not why:
                raise UsageError(
                    f"{kind} {value} is not taken down yet; give the reason: --why TEXT"
                )
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
        click.echo("\nexports that contain hidden rows:")
        print_table(
            ("export", "format", "rows", "folder"),
            [(h.export_id, h.format, h.rows, h.folder) for h in held],
        )
