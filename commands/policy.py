"""Show or change what defines data.

A policy lives in the store, so every worker and every view obeys the same. A change acts on what
is done from then on; rows that are there stay as they are until `annoy rerun STAGE` or
`annoy reverify`. `KEY=@FILE` takes the text of a file (for templates), `KEY=` goes back to the
default. Limits of how this machine runs are not policy: they stand in annoy.toml.

\b
Examples:
  annoy policy
  annoy policy pairs_per_sample=5 tolerance=1e-4
  annoy policy template_transform=@my_template.md
"""

from __future__ import annotations

from typing import Any

import click

from annoy_store.config import Policy
from annoy_store.db.engine import Database
from annoy_store.db.states import ENDED_STATES
from annoy_store.prompts import template
from annoy_store.queue.counters import funnel
from annoy_store.records.policy import load_policy, set_policy
from annoy_store.stages import PIPELINE

from ._shared import json_option, print_json, print_table, store_of


@click.command(help=__doc__)
@click.argument("changes", nargs=-1, metavar="[KEY=VALUE]..")
@json_option
@click.pass_context
def command(ctx: click.Context, changes: tuple[str, ...], as_json: bool) -> None:
    store = store_of(ctx)
    wanted = dict(map(_pair, changes))
    effects = _change(store, wanted) if wanted else []
    with store.read() as connection:
        policy = load_policy(connection)
    rows = [_described(policy, key) for key in (wanted or Policy.model_fields)]
    if as_json:
        print_json({"policy": rows, "effects": effects} if wanted else rows)
        return
    print_table(list(rows[0]), [[_brief(v) for v in row.values()] for row in rows])
    for effect in effects:
        click.echo(effect)


def _pair(given: str) -> tuple[str, str]:
    key, equals, value = given.partition("=")
    if not equals:
        raise click.BadParameter(f"{given!r} is not KEY=VALUE", param_hint="KEY=VALUE")
    if not value and key in Policy.model_fields:
        return key, str(Policy.model_fields[key].default)
    return key, value


def _described(policy: Policy, key: str) -> dict[str, Any]:
    about = Policy.model_fields[key]
    return {
        "key": key,
        "value": getattr(policy, key),
        "default": about.default,
        "meaning": about.description,
    }


def _brief(value: Any) -> Any:
    """A template given as a file is a long text; its first line will do."""
    lines = value.strip().splitlines() if isinstance(value, str) else [""]
    return f"{lines[0]} ... ({len(lines)} lines)" if len(lines) > 1 else value


def _change(store: Database, changes: dict[str, str]) -> list[str]:
    """Change the policy, all or nothing; say what that affects."""
    with store.write() as connection:
        before = load_policy(connection)
        after = set_policy(connection, changes)
        for key in changes:
            if key.startswith("template_"):
                template.load_template(getattr(after, key))
        done = funnel(connection)
    changed = {key for key in changes if getattr(before, key) != getattr(after, key)}
    return _effects(changed, done) if changed else ["nothing changed"]


def _effects(changed: set[str], done: dict[str, dict[str, int]]) -> list[str]:
    told = []
    for stage in PIPELINE:
        n = sum(done.get(stage.name, {}).get(s, 0) for s in ENDED_STATES)
        if keys := sorted(changed & set(stage.depends)):
            way = "reverify" if stage.name == "verify" else f"rerun {stage.name}"
            again = f"; annoy {way} does the {n:,} old ones again" if n else ""
            told.append(f"{stage.name}: new rows follow the new {', '.join(keys)}{again}")
        if keys := sorted(changed & set(stage.rescan_on)):
            told.append(f"{stage.name}: the next run looks at old rows again ({', '.join(keys)})")
    return told or ["acts on what comes from now on"]
