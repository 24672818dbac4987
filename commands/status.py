"""Show the funnel, workers, tokens and cost.

Jobs are counted by stage and state: pending, claimed (in progress), done, rejected (because of the
subject, with a reason), failed (all attempts used; see `annoy retry`), deferred (retried later),
suspect (its last worker died). `wanted` is the number of jobs that the next run will enqueue, yield
the share of done among ended jobs. A claim is stuck when its worker is gone and no other worker is
running to reclaim it.

\b
Examples:
  annoy status
  annoy status --watch
  annoy status --json
"""

from __future__ import annotations

import time
from typing import Any

import click

from annoy_store.analysis.status import StoreStatus, store_status
from annoy_store.db.engine import Database
from annoy_store.db.states import ENDED_STATES, OPEN_STATES
from annoy_store.inference.spend import Usage
from annoy_store.stages import PIPELINE

from ._shared import json_option, on_terminal, print_json, print_table, store_of

STATES = (*OPEN_STATES, *ENDED_STATES)


@click.command(help=__doc__)
@click.option("--watch", is_flag=True, help="Refresh until Ctrl-C.")
@click.option("--every", default=2.0, show_default=True, help="Seconds between refreshes.")
@json_option
@click.pass_context
def command(ctx: click.Context, watch: bool, every: float, as_json: bool) -> None:
    store = store_of(ctx)
    if watch:
        _watch(store, every, as_json)
    else:
        _print(store_status(store, PIPELINE), as_json)


def _watch(store: Database, every: float, as_json: bool) -> None:
    usage = Usage()
    before: tuple[float, int] | None = None
    while True:
        at = store_status(store, PIPELINE, usage)
        usage, ended = at.usage, at.total(*ENDED_STATES)
        if on_terminal() and not as_json:
            click.clear()
        _print(at, as_json)
        if before and not as_json:
            rate = (ended - before[1]) / (time.monotonic() - before[0])
            click.echo(f"rate: {rate * 60:,.0f} jobs per minute")
        before = time.monotonic(), ended
        time.sleep(every)


def _print(at: StoreStatus, as_json: bool) -> None:
    if as_json:
        print_json(at.as_dict())
        return
    tables = ", ".join(f"{n:,} {name}" for name, n in at.tables.items() if n)
    click.echo(f"store: {at.store}, schema {at.schema}")
    click.echo(f"rows: {tables or 'none'}")
    click.echo()
    print_funnel(at)
    _print_workers(at)
    click.echo(f"tokens: {_tokens(at.usage)}")
    click.echo(f"cost: {_cost(at.usage)}")
    for hint in _hints(at):
        click.echo(hint)
    click.echo(f"next: {at.next_step()}")


def print_funnel(at: StoreStatus) -> None:
    """Print jobs by stage and state in pipeline order.

    Args:
        at: Status of a store; states without a job in any stage get no column.
    """
    columns = ["wanted", *STATES]
    lines = {
        name: [at.wanted[name], *(of.get(state, 0) for state in STATES)]
        for name, of in at.stages.items()
    }
    shown = [i for i in range(len(columns)) if any(line[i] for line in lines.values())]
    rows = [
        [name, *(line[i] for i in shown), _yield(at.stages[name])]
        for name, line in lines.items()
        if any(line)
    ]
    if rows:
        print_table(["stage", *(columns[i] for i in shown), "yield"], rows)
        click.echo()


def _yield(states: dict[str, int] | object) -> str:
    assert isinstance(states, dict)
    ended = sum(states.get(state, 0) for state in ENDED_STATES)
    return f"{states.get('done', 0) / ended:.1%}" if ended else ""


def _print_workers(at: StoreStatus) -> None:
    if not at.workers:
        return
    columns = ["worker", "host", "pid", "jobs", "ended", "per_minute", "lease_s", "stages"]
    rows = [
        [
            w["id"],
            w["host"],
            w["pid"],
            w["jobs"],
            w["ended"],
            w["per_minute"],
            w["lease_s"] if w["alive"] else "gone",
            " ".join(w["stages"]),
        ]
        for w in at.workers
    ]
    print_table(columns, rows)
    hosts = at.worker_status.hosts
    if len(hosts) > 1:
        parts = (f"{name} ({h['workers']} workers, {h['jobs']} jobs)" for name, h in hosts.items())
        click.echo(f"hosts: {', '.join(parts)}")
    click.echo(f"rate: {at.worker_status.per_minute:,.0f} jobs per minute since they started")
    for worker in at.workers:
        if worker["notice"]:
            click.echo(f"worker {worker['id']}: {worker['notice']}")
    if oldest := at.worker_status.oldest_claim:
        click.echo(f"oldest claim: {_claim(oldest)}")
    click.echo()


def _claim(claim: dict[str, Any]) -> str:
    since = "" if claim["for_s"] is None else f" for {claim['for_s']:,.0f} s"
    return f"{claim['stage']} of {claim['subject']}, held by worker {claim['worker']}{since}"


def _tokens(usage: Usage) -> str:
    if not any(usage.tokens.values()):
        return f"none in {usage.attempts:,} attempts"
    counts = ", ".join(f"{n:,} {name}" for name, n in usage.tokens.items())
    return f"{counts} in {usage.attempts:,} attempts"


def _cost(usage: Usage) -> str:
    if usage.unpriced:
        return (
            f"at least {usage.known_usd:,.4f} USD; {usage.unpriced:,} answers have no price "
            "(set prices in annoy.toml)"
        )
    return f"{usage.known_usd:,.4f} USD"


def _hints(at: StoreStatus) -> list[str]:
    hints = []
    if failed := at.total("failed"):
        hints.append(f"{failed:,} failed: annoy sql 'SELECT * FROM v_failures', then annoy retry")
    if suspect := at.total("suspect"):
        worst = at.worker_status.suspects[0] if at.worker_status.suspects else None
        first = (
            f" ({worst['stage']} of {worst['subject']}: {worst['crashes']} crashes)"
            if worst
            else ""
        )
        hints.append(
            f"{suspect:,} suspect{first}: their worker died; annoy run does them one at a time"
        )
    if at.in_batches:
        hints.append(f"{at.in_batches:,} calls are in batches: annoy batch status")
    if at.not_enabled:
        hints.append(
            f"{at.not_enabled:,} open of tasks that are not enabled, which no run does: annoy policy"
        )
    if at.not_compared:
        hints.append(
            f"{at.not_compared:,} pairs are not compared with their questions, so no run asks about "
            "them: annoy init"
        )
    if at.next_due is not None:
        later = at.total("deferred") - at.in_batches
        hints.append(f"{later:,} deferred: the next is due in {at.next_due:.0f} s")
    if stuck := at.worker_status.n_stuck:
        hints.append(
            f"{stuck:,} stuck: their worker is gone ({_claim(at.worker_status.stuck[0])}); "
            "any annoy run reclaims them"
        )
    return hints
