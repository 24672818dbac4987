"""Repeat a stage for old rows with its current version, keeping the old results.

A changed template, parser, limit or checker applies to new rows only, so an upgrade never costs
anything by itself. This command enqueues old rows again, and forecasts the cost first; the next
`annoy run` does the work. It never requests answers again (see `annoy resample`); to judge answers
again, see `annoy reverify`. `generate` runs every stored pair again, drawn or imported, also when
nothing changed but the interpreter; a module that is missing now replaces no earlier result.

--where is SQL over the subjects of the stage: sources, responses (parse), samples (generate),
v_current_pairs (predict), v_answers (verify), v_current_verdicts (revise).

\b
Examples:
  annoy rerun transform --dry-run
  annoy rerun generate --where "funcname = 'main_solution' AND id > 100"
  annoy rerun predict --limit 100
"""

from __future__ import annotations

import click

from annoy_store.analysis.expected_usage import latest_prices
from annoy_store.analysis.forecast import Forecast, forecast
from annoy_store.analysis.yields import read_yields
from annoy_store.inference import backends
from annoy_store.maintenance.rerun import SUBJECT_VIEWS, count_rerun, enqueue_rerun, select_subjects
from annoy_store.records.policy import load_policy

from ._settings import MODEL, settings_options
from ._shared import json_option, load_settings, print_json, say, store_of
from .plan import as_dict
from .plan import show as show_forecast


@click.command(help=__doc__)
@click.argument("stage", type=click.Choice(list(SUBJECT_VIEWS)))
@click.option("-n", "--limit", type=click.IntRange(1), help="At most this many, oldest first.")
@click.option("--where", metavar="SQL", help="Only rows for which this condition is true.")
@click.option("--dry-run", is_flag=True, help="Forecast only; change nothing.")
@settings_options(MODEL.only("teacher", "model"))
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    stage: str,
    limit: int | None,
    where: str | None,
    dry_run: bool,
    teacher: str | None,
    model: str | None,
    as_json: bool,
) -> None:
    store = store_of(ctx)
    chosen = select_subjects(store, stage, where)
    n = count_rerun(store, stage, chosen)
    n = n if limit is None else min(n, limit)
    found = _forecast(ctx, stage, n, teacher, model)
    enqueued = 0 if dry_run else enqueue_rerun(store, stage, chosen, limit)
    if as_json:
        print_json(
            {
                "stage": stage,
                "jobs": n if dry_run else enqueued,
                "dry_run": dry_run,
                "forecast": as_dict(found),
            }
        )
        return
    click.echo(
        f"{n if dry_run else enqueued:,} {stage} jobs {'would be' if dry_run else 'were'} enqueued"
    )
    if n or enqueued:
        show_forecast(ctx, found)
        say(ctx, "nothing was changed" if dry_run else "next: annoy run")


def _forecast(
    ctx: click.Context, stage: str, n: int, teacher: str | None, model: str | None
) -> Forecast:
    """Forecast a run after `n` jobs of a stage have been enqueued."""
    settings, store = load_settings(ctx, teacher=teacher, model=model), store_of(ctx)
    with store.read() as connection:
        history = read_yields(connection)
        policy = load_policy(connection)
        known = latest_prices(connection, settings.prices)
        return forecast(
            connection,
            history,
            policy,
            policy,
            lambda kind: backends.backend_and_model(settings, kind),
            known,
            {stage: n},
        )
