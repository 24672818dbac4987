"""Forecast what a run would do and cost.

Counts open jobs and those that a run would enqueue, and extrapolates the rest from the history of
this store: the yield of each stage, and the tokens of each kind of question. KEY=VALUE forecasts a
changed policy: what new rows would follow it, and what `annoy rerun STAGE` (or `annoy reverify` for
verify) would repeat. Nothing is written, not even the policy.

\b
Examples:
  annoy plan
  annoy plan -m deepseek-flash
  annoy plan pairs_per_sample=5
  annoy plan tolerance=0.01 --rerun verify
  annoy plan template_transform=@mine.md --rerun transform --json
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import click

from annoy_store.analysis.expected_usage import latest_prices
from annoy_store.analysis.forecast import Forecast, forecast
from annoy_store.analysis.yields import read_yields
from annoy_store.db.states import STAGE_NAMES
from annoy_store.inference import backends
from annoy_store.records.policy import load_policy
from annoy_store.tasks.policy import changed_policy

from ._policy import policy_change
from ._screen import Toned, counted, toned
from ._settings import MODEL, settings_options
from ._shared import json_option, load_settings, print_json, print_table, say, store_of

STAGES = tuple(name for name in STAGE_NAMES if name != "complete")


@click.command(help=__doc__)
@click.argument("changes", nargs=-1, metavar="[KEY=VALUE]..")
@settings_options(MODEL.only("teacher", "model"))
@click.option(
    "--rerun",
    multiple=True,
    type=click.Choice(STAGES),
    help="Forecast as if `annoy rerun STAGE` had been run first; may be repeated.",
)
@click.option(
    "--replan", multiple=True, type=click.Choice(STAGES), hidden=True, help="Same as --rerun."
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    changes: tuple[str, ...] = (),
    teacher: str | None = None,
    model: str | None = None,
    rerun: tuple[str, ...] = (),
    replan: tuple[str, ...] = (),
    as_json: bool = False,
) -> None:
    again = (*rerun, *replan)
    settings = load_settings(ctx, teacher=teacher, model=model)
    store = store_of(ctx)
    with store.read() as connection:
        history = read_yields(connection)
        before = load_policy(connection)
        after = changed_policy(before, dict(map(policy_change, changes)))
        known = latest_prices(connection, settings.prices)
        found = forecast(
            connection,
            history,
            before,
            after,
            lambda kind: backends.backend_and_model(settings, kind),
            known,
            dict.fromkeys(again),
        )
    if as_json:
        print_json(as_dict(found))
    else:
        show(ctx, found)
        if found.calls:
            say(ctx, f"next: {', then '.join(_next_commands(changes, again, teacher, model))}")


def _next_commands(
    changes: Sequence[str], again: Sequence[str], teacher: str | None, model: str | None
) -> Iterator[str]:
    """Yield the commands that do what was forecast."""
    if changes:
        yield f"annoy policy {shlex.join(changes)}"
    for stage in again:
        yield "annoy reverify" if stage == "verify" else f"annoy rerun {stage}"
    given = {"--teacher": teacher, "--model": model}
    options = [word for name, value in given.items() if value for word in (name, value)]
    yield shlex.join(["annoy", "run", *options])


def as_dict(found: Forecast) -> dict[str, Any]:
    """Return a forecast as JSON; null means unknown."""
    return {
        "stages": {
            name: {
                "open": dict(of.open),
                "new": of.new,
                "again": of.rerun,
                "expected": round(found.expected[name], 1),
            }
            for name, of in found.work.items()
        },
        "asking": [vars(one) for one in found.call_forecasts],
        "calls": round(found.calls, 1),
        "tokens": found.tokens,
        "cost_usd": found.usd,
        "notes": list(found.notes),
    }


def show(ctx: click.Context, found: Forecast) -> None:
    """Print a forecast as tables, with notes on stderr.

    Args:
        ctx: Context of the command.
        found: The forecast; costs in USD.
    """
    if not any(found.expected.values()) and not any(of.rerun for of in found.work.values()):
        click.echo("nothing to do")
        return
    print_table(
        ("stage", "open", "new", "expected in total", "only by rerun"),
        [
            (
                name,
                counted(sum(of.open.values())),
                counted(of.new),
                counted(round(found.expected[name]), "strong"),
                counted(of.rerun, "warning"),
            )
            for name, of in found.work.items()
        ],
    )
    if found.call_forecasts:
        click.echo()
        print_table(
            ("question", "turn", "calls", "prompt tokens", "answer tokens", "USD"),
            [
                (
                    one.kind,
                    one.turn,
                    f"{one.calls:,.0f}",
                    _whole(one.prompt_tokens),
                    _whole(one.completion_tokens),
                    _usd(one.usd),
                )
                for one in found.call_forecasts
            ],
        )
        click.echo(f"\nexpected cost: {toned(_total(found), 'strong')}")
    for note in found.notes:
        say(ctx, f"note: {note}")
    if any(of.rerun for of in found.work.values()):
        say(ctx, "rows of an older variant are kept unless you run: annoy rerun STAGE")


UNKNOWN = Toned("unknown", "warning")


def _whole(n: float | None) -> str | Toned:
    return UNKNOWN if n is None else f"{n:,.0f}"


def _usd(usd: float | None) -> str | Toned:
    return UNKNOWN if usd is None else _money(usd)


def _money(usd: float) -> str:
    return f"{usd:,.4f}" if usd < 1 else f"{usd:,.2f}"


def _total(found: Forecast) -> str:
    tokens = "" if found.tokens is None else f", {found.tokens:,.0f} tokens"
    money = "unknown" if found.usd is None else f"{_money(found.usd)} USD"
    return f"{money} for {found.calls:,.0f} calls{tokens}"
