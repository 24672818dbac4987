"""Show the funnel, workers, tokens and cost.

Jobs are counted by stage and state: pending, claimed (in progress), done, rejected (because of the
subject, with a reason), failed (all attempts used; see `annoy retry`), deferred (retried later),
suspect (its last worker died). `wanted` is the number of jobs that the next run will enqueue, yield
the share of done among ended jobs. A claim is stuck when its worker is gone and no other worker is
running to reclaim it. An endpoint is named, with its own words, if some of the newest attempts
failed or were limited there.

\b
Examples:
  annoy status
  annoy status --watch
  annoy status --json
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import click

from annoy_store.analysis.endpoint_status import EndpointTrouble
from annoy_store.analysis.hints import attempt_hint
from annoy_store.analysis.status import StoreStatus, store_status
from annoy_store.db.engine import Database
from annoy_store.db.states import ENDED_STATES, OPEN_STATES
from annoy_store.inference.spend import Usage
from annoy_store.stages import PIPELINE

from ._screen import Toned, counted, show, table, text, watch
from ._shared import json_option, json_text, print_json, store_of
from ._text import on_terminal

STATES = (*OPEN_STATES, *ENDED_STATES)
TONES = {
    "claimed": "active",
    "deferred": "warning",
    "suspect": "bad",
    "done": "good",
    "rejected": "warning",
    "failed": "bad",
}
LABEL = 10  # columns of the words before a line of facts


@click.command(help=__doc__)
@click.option("--watch", "watching", is_flag=True, help="Refresh until Ctrl-C.")
@click.option("--every", default=2.0, show_default=True, help="Seconds between refreshes.")
@json_option
@click.pass_context
def command(ctx: click.Context, watching: bool, every: float, as_json: bool) -> None:
    store = store_of(ctx)
    if watching:
        _watch(store, every, as_json)
    elif as_json:
        print_json(store_status(store, PIPELINE).as_dict())
    else:
        show(_lines(store_status(store, PIPELINE)))


def _watch(store: Database, every: float, as_json: bool) -> None:
    usage = Usage()
    before: tuple[float, int] | None = None

    def draw() -> Iterator[str]:
        nonlocal usage, before
        at = store_status(store, PIPELINE, usage)
        usage, ended = at.usage, at.total(*ENDED_STATES)
        if as_json:
            yield json_text(at.as_dict())
            return
        yield from _lines(at)
        if before:
            rate = (ended - before[1]) / (time.monotonic() - before[0])
            yield from _fact("rate", f"{rate * 60:,.0f} jobs per minute")
        before = time.monotonic(), ended

    watch(draw, every, in_place=on_terminal() and not as_json)


def _lines(at: StoreStatus) -> Iterator[str]:
    """Yield the status of a store as it is printed."""
    counts = ", ".join(f"{n:,} {name}" for name, n in at.tables.items() if n)
    yield from _fact("store", f"{at.store}, schema {at.schema}")
    yield from _fact("rows", counts or "none")
    yield ""
    yield from funnel(at)
    yield from _workers(at)
    yield from _fact("tokens", _tokens(at.usage))
    yield from _fact("cost", _cost(at.usage))
    for trouble in at.troubles:
        yield from _trouble(trouble)
    for advice in _advice(at):
        yield from text(advice, indent=2, first="-")
    command, _, more = at.next_step().partition("   ")
    yield from _fact("next", command, "command")
    if more:
        yield from text(more, indent=LABEL)


def _fact(label: str, words: str, tone: str = "") -> Iterator[str]:
    return text(words, indent=LABEL, first=f"{label}:", tone=tone)


def funnel(at: StoreStatus) -> Iterator[str]:
    """Yield the jobs by stage and state in pipeline order; unused states get no column."""
    counts = {
        name: {"wanted": at.wanted[name], **{state: of.get(state, 0) for state in STATES}}
        for name, of in at.stages.items()
    }
    shown = [state for state in ("wanted", *STATES) if any(of[state] for of in counts.values())]
    rows = [
        [name, *(counted(of[state], TONES.get(state, "")) for state in shown), _yield(of)]
        for name, of in counts.items()
        if any(of.values())
    ]
    if rows:
        yield from table(["stage", *shown, "yield"], rows)
        yield ""


def _yield(counts: Mapping[str, int]) -> str:
    ended = sum(counts[state] for state in ENDED_STATES)
    return f"{counts['done'] / ended:.1%}" if ended else ""


def _workers(at: StoreStatus) -> Iterator[str]:
    if not at.workers:
        return
    columns = ["worker", "host", "pid", "jobs", "ended", "per minute", "lease", "stages"]
    yield from table(columns, map(_worker, at.workers))
    hosts = at.worker_status.hosts
    if len(hosts) > 1:
        parts = (f"{name} ({h['workers']} workers, {h['jobs']} jobs)" for name, h in hosts.items())
        yield from _fact("hosts", ", ".join(parts))
    rate = f"{at.worker_status.per_minute:,.0f} jobs per minute since they started"
    yield from _fact("rate", rate)
    for worker in at.workers:
        if worker["notice"]:
            words = f"worker {worker['id']}: {worker['notice']}"
            yield from text(words, indent=2, first="!", tone="warning")
    if oldest := at.worker_status.oldest_claim:
        yield from _fact("oldest claim", _claim(oldest))
    yield ""


def _worker(worker: Mapping[str, Any]) -> list[Any]:
    lease = f"{worker['lease_s']:.0f} s" if worker["alive"] else Toned("gone", "bad")
    counts = [f"{worker[name]:,.0f}" for name in ("jobs", "ended", "per_minute")]
    stages = " ".join(dict.fromkeys(worker["stages"]))
    return [worker["id"], worker["host"], worker["pid"], *counts, lease, stages]


def _claim(claim: Mapping[str, Any]) -> str:
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


def _trouble(trouble: EndpointTrouble) -> Iterator[str]:
    """Yield what an endpoint did lately in its own words, and the advice under it."""
    place = f"{trouble.model} at {trouble.base_url}" if trouble.base_url else trouble.model
    kinds = ", ".join(f"{n:,} {name}" for name, n in trouble.failed.items())
    words = f"{place}: {trouble.n_failed:,} of the newest {trouble.n_recent:,} attempts failed ({kinds})"
    said = f", the newest at {trouble.last_at}: {trouble.message}" if trouble.message else ""
    tone = "bad" if trouble.is_last else "warning"
    yield from text(words + said.replace("`", "'"), indent=2, first="!", tone=tone)
    if advice := attempt_hint(next(iter(trouble.failed)), "open"):
        yield from text(advice, indent=5, first="  ->")


def _advice(at: StoreStatus) -> Iterator[str]:
    if failed := at.total("failed"):
        yield f"{failed:,} failed: `annoy failures`, then `annoy retry`"
    if suspect := at.total("suspect"):
        worst = at.worker_status.suspects[0] if at.worker_status.suspects else None
        crashes = f"{worst['crashes']} crashes" if worst else ""
        first = f" ({worst['stage']} of {worst['subject']}: {crashes})" if worst else ""
        yield f"{suspect:,} suspect{first}: their worker died; `annoy run` does them one at a time"
    if at.in_batches:
        yield f"{at.in_batches:,} calls are in batches: `annoy batch status`"
    if at.not_enabled:
        n = at.not_enabled
        yield f"{n:,} open of tasks that are not enabled, which no run does: `annoy policy`"
    if at.not_compared:
        yield (
            f"{at.not_compared:,} pairs are not compared with their questions, so no run asks about "
            "them: `annoy init`"
        )
    if at.next_due is not None:
        later = at.total("deferred") - at.in_batches
        yield f"{later:,} deferred: the next is due in {at.next_due:.0f} s"
    if stuck := at.worker_status.n_stuck:
        yield (
            f"{stuck:,} stuck: their worker is gone ({_claim(at.worker_status.stuck[0])}); "
            "any `annoy run` reclaims them"
        )
