"""Run the pipeline until no job is pending.

Start any number of runs, on every machine that can connect to the store: each job is done once.
Without STAGE all stages run. Finished work is never repeated or paid for again; the jobs of a run
that was killed are reclaimed by the next one.

\b
Examples:
  annoy run --teacher tracer
  annoy run --base-url http://localhost:8000/v1 --model my-model
  annoy run verify generate --slots 16 --watch
  annoy run --preset deepseek -m deepseek-flash --only-off-peak --budget-usd 9
  annoy run --preset openai --model gpt-5-mini --until-correct 10000
  annoy run verify generate --slots 16 --ray auto
  annoy run --teacher batch --model gpt-5-mini

A refusal is the fault of its call while other calls are answered; calls that are refused alike with
none answered between stop the run and stay pending. A call that is limited while others pass fails.

--teacher batch costs half the price and exits at once: repeat it, or use --watch.

An option of a setting can also be set by its environment variable (env), or in annoy.toml under its
name with underscores: `max_tokens = 2048`.

Exit code: 0 no job is left or the goal is reached, 1 the run stopped early, for example at a budget
(the message says what to do), 3 the run finished but a job failed (`annoy retry`), 130 interrupted.
Ctrl-C or SIGTERM once finishes calls in flight, for up to a minute, and releases the other jobs;
twice stops at once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import click

from annoy_store.db.states import ENDED_STATES, OPEN_STATES, STAGE_NAMES

from ._options import GroupedCommand, option_group
from ._settings import BUDGET, LIMITS, MODEL, SANDBOX, TRANSFORM, settings_options
from ._shared import json_option, load_settings, print_json, print_table, say, store_of, warn
from ._signals import drain_on_signal

if TYPE_CHECKING:
    from annoy_store.db.engine import Database
    from annoy_store.worker.display import Display
    from annoy_store.worker.outlook import Outlook
    from annoy_store.worker.run import RunResult

MADE = {  # what a done job of a stage makes
    "complete": "answers",
    "generate": "samples with checked pairs",
    "predict": "questions",
    "revise": "second turns",
}

scope = option_group("Scope")


@click.command(help=__doc__, cls=GroupedCommand)
@click.argument("stage", nargs=-1, metavar="[STAGE]..", type=click.Choice(STAGE_NAMES))
@settings_options(MODEL, TRANSFORM, LIMITS, BUDGET, SANDBOX)
@scope(
    "--until-correct",
    type=click.IntRange(1),
    metavar="N",
    show_default="no goal",
    help="Stop when N chains are correct.",
)
@scope(
    "-n",
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    show_default="no limit",
    help="Run at most N jobs per stage.",
)
@scope("--watch", is_flag=True, help="Keep running, and run jobs that are added later.")
@scope(
    "--ray",
    metavar="ADDRESS",
    show_default="this machine only",
    help="Run on all nodes of this Ray cluster, one process per --slots cores.",
)
@scope("--dry-run", is_flag=True, help="Forecast only, as annoy plan does.")
@click.option(
    "--log",
    type=click.Choice(["auto", "plain", "json"]),
    default="auto",
    show_default=True,
    help="Progress on stderr: a live frame on a terminal and plain lines elsewhere, or always "
    "plain lines, or JSON lines.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    stage: tuple[str, ...],
    until_correct: int | None,
    limit: int | None,
    watch: bool,
    ray: str | None,
    dry_run: bool,
    log: Literal["auto", "plain", "json"],
    as_json: bool,
    **flags: Any,
) -> None:
    settings = load_settings(ctx, **flags)
    if dry_run:
        from .plan import command as plan

        ctx.invoke(plan, as_json=as_json)
        return
    from annoy_store.worker.display import Display

    goals: dict[str, Any] = {"watch": watch, "until_correct": until_correct}
    with Display(quiet=bool(ctx.find_root().params.get("quiet")), log=log) as display:
        store = store_of(ctx)
        work = _on_ray(ctx, ray, limit) if ray else _here(limit)
        on_signal = partial(_drain, display)
        done = work(store, settings, stage, **goals, display=display, on_signal=on_signal)
    if as_json:
        print_json(_as_dict(done))
    else:
        _print(ctx, done)
        _print_summary(ctx, done, store)
    if done.stop_condition:
        say(ctx, done.stop_condition)
    for words in done.batch_errors:
        warn(words)
    for words in done.open_batches:
        say(ctx, words)
    if done.stopped:
        say(ctx, f"{done.stopped}; raise it to continue: nothing that was paid for is lost")
    ctx.exit(130 if done.interrupted else 1 if done.stopped else 3 if done.failed else 0)


def _here(limit: int | None) -> Callable[..., RunResult]:
    from annoy_store.worker.run import run

    return partial(run, limit=limit)


def _on_ray(ctx: click.Context, address: str, limit: int | None) -> Callable[..., RunResult]:
    from annoy_store.worker.ray import run_on_ray

    if limit is not None:
        raise click.UsageError("--limit applies to one process; with --ray use --until-correct")
    return partial(run_on_ray, address, on_message=lambda words: say(ctx, words))


def _drain(display: Display, stop: Callable[[], None]) -> None:
    from annoy_store.worker.worker import DRAIN_SECONDS

    drain_on_signal(stop, DRAIN_SECONDS, display.say, display.leave)


def _as_dict(done: RunResult) -> dict[str, Any]:
    """Return the result of a run as JSON."""
    return {
        "ended": done.by_stage(),
        "handed_in": done.progress.submitted_calls,
        "waiting": list(done.open_batches),
        "seconds": round(done.seconds, 3),
        "verdicts": dict(done.outlook.verdicts) if done.outlook else {},
        "cost_usd": done.outlook.usage.cost_usd if done.outlook else 0.0,
        "tokens": dict(done.outlook.usage.tokens) if done.outlook else {},
    }


def _print(ctx: click.Context, done: RunResult) -> None:
    ended, n_submitted = done.by_stage(), done.progress.submitted_calls
    if not ended and not n_submitted:
        words = "nothing to do now" if done.open_batches else "nothing to do"
        say(ctx, "interrupted before any job ended" if done.interrupted else words)
        return
    states = (*ENDED_STATES, "deferred")
    rows = [
        [name, *(ended[name].get(state, 0) for state in states)]
        for name in STAGE_NAMES
        if name in ended
    ]
    if rows:
        print_table(["stage", *states], rows)
    say(ctx, f"{sum(sum(n.values()) for n in ended.values())} jobs in {done.seconds:.1f} s")
    if n_submitted:
        say(ctx, f"{n_submitted:,} calls submitted in batches")
    if any("failed" in states for states in ended.values()):
        say(ctx, "some jobs failed: see annoy failures, then annoy retry")


def _print_summary(ctx: click.Context, done: RunResult, store: Database) -> None:
    """Print what was made, what it cost, what is left, and the next command."""
    from annoy_store.analysis.status import store_status
    from annoy_store.stages import PIPELINE

    status = store_status(store, PIPELINE)
    if done.outlook and done.outlook.n_ended:
        for words in (_made(done.outlook), _cost(done.outlook)):
            say(ctx, words)
    left = {"open": status.total(*OPEN_STATES), "failed": status.total("failed")}
    left["new"] = sum(status.wanted.values())
    words = ", ".join(f"{n:,} {state}" for state, n in left.items() if n)
    say(ctx, f"left: {words} jobs" if words else "left: nothing")
    say(ctx, f"next: {status.next_step()}")


def _made(outlook: Outlook) -> str:
    """Return what all workers made since the run started."""
    made = {
        words: outlook.stages[stage].ended.get("done", 0)
        for stage, words in MADE.items()
        if stage in outlook.stages
    }
    parts = [f"{n:,} {words}" for words, n in made.items() if n]
    if checked := sum(outlook.verdicts.values()):
        correct = outlook.verdicts.get("correct", 0)
        parts.append(f"{correct:,} of {checked:,} verdicts correct ({correct / checked:.0%})")
    return f"made: {', '.join(parts) or 'nothing'}"


def _cost(outlook: Outlook) -> str:
    usage = outlook.usage
    usd = "unknown (no price is set)" if usage.cost_usd is None else f"{usage.cost_usd:,.4f} USD"
    n = usage.tokens["prompt"] + usage.tokens["completion"]
    return f"cost: {usd} for {usage.attempts:,} requests, {n:,} tokens"
