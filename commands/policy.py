"""Show or change the policies, which define the data.

Policies are rows of the store, so all workers and views use the same ones. A change applies to new
rows; existing rows are kept until `annoy rerun STAGE` or `annoy reverify`. `KEY=@FILE` reads the
value from a file (for templates), `KEY=` restores the default. Settings of a machine, such as
slots, are not policies: they belong in annoy.toml.

\b
Examples:
  annoy policy
  annoy policy pairs_per_sample=5 tolerance=1e-4
  annoy policy template_transform=@my_template.md
  annoy policy predict_output.template=@my_question.md
  annoy policy tasks=predict_output
"""

from __future__ import annotations

from typing import Any

import click

from annoy_store.config import Policy
from annoy_store.db.engine import Database
from annoy_store.db.states import ENDED_STATES
from annoy_store.interfaces import Stage
from annoy_store.queue.counters import funnel
from annoy_store.records.policy import load_policy
from annoy_store.stages import PIPELINE
from annoy_store.tasks import TASKS
from annoy_store.tasks.policy import (
    find_option,
    policy_keys,
    policy_value,
    set_policy,
    task_options,
)

from ._policy import policy_change
from ._shared import json_option, print_json, print_table, store_of


@click.command(help=__doc__)
@click.argument("changes", nargs=-1, metavar="[KEY=VALUE]..")
@json_option
@click.pass_context
def command(ctx: click.Context, changes: tuple[str, ...], as_json: bool) -> None:
    store = store_of(ctx)
    wanted = dict(map(policy_change, changes))
    effects = _change(store, wanted) if wanted else []
    with store.read() as connection:
        policy = load_policy(connection)
    rows = [_described(policy, key) for key in (wanted or policy_keys())]
    if as_json:
        print_json({"policy": rows, "effects": effects} if wanted else rows)
        return
    print_table(list(rows[0]), [[_brief(v) for v in row.values()] for row in rows])
    for effect in effects:
        click.echo(effect)


def _described(policy: Policy, key: str) -> dict[str, Any]:
    option = find_option(key)
    about = option.field if option else Policy.model_fields[key]
    meaning = option.meaning if option else about.description
    if key == "tasks":
        meaning = f"{meaning}; known: {', '.join(TASKS)}"
    return {
        "key": key,
        "value": policy_value(policy, key),
        "default": about.default,
        "meaning": meaning,
    }


def _brief(value: Any) -> Any:
    """Return a value of several lines, such as a template, as its first line."""
    lines = value.strip().splitlines() if isinstance(value, str) else [""]
    return f"{lines[0]} ... ({len(lines)} lines)" if len(lines) > 1 else value


def _change(store: Database, changes: dict[str, str]) -> list[str]:
    """Change the policy, all keys or none; return what that affects."""
    with store.write() as connection:
        before = load_policy(connection)
        after = set_policy(connection, changes)
        done = funnel(connection)
    changed = {key for key in changes if policy_value(before, key) != policy_value(after, key)}
    keys = {option.key if (option := find_option(key)) else key for key in changed}
    return _effects(keys, done) if keys else ["nothing changed"]


def _effects(changed: set[str], done: dict[str, dict[str, int]]) -> list[str]:
    effects: dict[str, None] = {}
    for stage in PIPELINE:
        n = sum(done.get(stage.name, {}).get(s, 0) for s in ENDED_STATES)
        if keys := sorted(changed & _depends(stage)):
            way = "reverify" if stage.name == "verify" else f"rerun {stage.name}"
            again = f"; annoy {way} does the {n:,} old ones again" if n else ""
            effects[f"{stage.name}: new rows follow the new {', '.join(keys)}{again}"] = None
        if keys := sorted(changed & set(stage.rescan_on)):
            rescan = f"the next run scans old rows again ({', '.join(keys)})"
            effects[f"{stage.name}: {rescan}"] = None
    return list(effects) or ["applies to new rows"]


def _depends(stage: Stage) -> set[str]:
    """Return the keys that the results of a stage depend on, options of its task included."""
    names = stage.options(Policy.model_validate({})) if stage.options else {}
    options = {
        key
        for key, option in task_options().items()
        if option.task.name == stage.task and option.name in names
    }
    return options | set(stage.depends)
