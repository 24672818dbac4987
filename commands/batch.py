"""Manage batches: calls that are submitted together, answered within a day, at half the price.

`annoy run --teacher batch` submits all pending calls and imports the results of earlier batches;
nothing needs to keep running meanwhile. These commands show batches, cancel them, and exchange them
by file with `vllm run-batch`, Azure, or an upload by hand. Calls in a batch are sent by no other
run until their results are imported or the batch is cancelled. Answers that a batch has when it
expires or is cancelled are kept.

\b
Examples:
  annoy run --teacher batch --model gpt-5-mini
  annoy batch status
  annoy batch cancel 3
  annoy batch export requests.jsonl -m my-model --base-url http://host:8000/v1
  vllm run-batch -i requests.jsonl -o results.jsonl --model my-model
  annoy batch import results.jsonl
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annoy_store.db.states import ENDED_STATES
from annoy_store.errors import AnnoyError, UsageError

from ._options import GroupedCommand, option_group
from ._settings import BUDGET, MODEL, TRANSFORM, settings_options
from ._shared import json_option, load_settings, print_json, print_table, say, store_of, warn

if TYPE_CHECKING:
    from annoy_store.batch.rows import BatchRow
    from annoy_store.config import RunSettings
    from annoy_store.db.engine import Database

scope = option_group("Scope")
COLUMNS = (
    "batch",
    "state",
    "provider status",
    "model",
    "calls",
    "answered",
    "failed",
    "created",
    "note",
)


@click.group(help=__doc__)
def command() -> None:
    pass


@command.command("status")
@click.option("--local", is_flag=True, help="Show the last known states; query no provider.")
@json_option
@click.pass_context
def status_(ctx: click.Context, local: bool, as_json: bool) -> None:
    """Show open batches, with their states in the store and at the provider, and recent ones."""
    from annoy_store.batch.status import as_dict, list_batches, open_batch_summary

    store, settings = store_of(ctx), load_settings(ctx)
    if not local:
        _refresh(store, settings)
    with store.read() as connection:
        known, summary = list_batches(connection), open_batch_summary(connection)
    if as_json:
        print_json([as_dict(batch) for batch in known])
        return
    if not known:
        say(ctx, "no batch yet: annoy run --teacher batch --model MODEL")
        return
    print_table(COLUMNS, [_row(batch) for batch in known])
    for line in summary:
        say(ctx, line)


@command.command("cancel")
@click.argument("batch", nargs=-1, type=int)
@click.option("--all", "cancel_all", is_flag=True, help="All open batches.")
@json_option
@click.pass_context
def cancel_(ctx: click.Context, batch: tuple[int, ...], cancel_all: bool, as_json: bool) -> None:
    """Cancel batches at the provider, and release those that are in a file.

    Answers that the provider has by then are paid, and imported by the next run. All other calls
    are pending again.
    """
    if bool(batch) == cancel_all:
        raise click.UsageError("name a batch by its number (annoy batch status), or use --all")
    store, settings = store_of(ctx), load_settings(ctx)
    with store.read() as connection:
        chosen = _chosen(connection, batch)
    statuses = {one.id: _cancel(store, settings, one) for one in chosen}
    if as_json:
        print_json([{"batch": key, "status": status} for key, status in statuses.items()])
        return
    for key, status in statuses.items():
        click.echo(f"batch {key}: {status}")
    if "cancelling" in statuses.values():
        say(ctx, "finished answers are kept; import them with: annoy run --teacher batch")


@command.command("export", cls=GroupedCommand)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@settings_options(
    MODEL.without("teacher", "replay"),
    TRANSFORM.only("transform_model"),
    BUDGET.only("budget_usd", "budget_tokens"),
)
@scope("-n", "--limit", type=click.IntRange(1), metavar="N", help="At most N calls.")
@scope("--batch", type=int, metavar="ID", help="Write the file of this batch again.")
@json_option
@click.pass_context
def export_(
    ctx: click.Context,
    /,
    file: Path,
    limit: int | None,
    batch: int | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Write pending calls to FILE, and reserve them until their results are imported."""
    from annoy_store.batch.files import export_again, export_requests
    from annoy_store.inference.prices import insert_prices

    settings, store = load_settings(ctx, **{**flags, "teacher": "batch"}), store_of(ctx)
    insert_prices(store, settings)
    if batch is not None:
        written = export_again(store, settings, batch, file)
    elif (found := export_requests(store, settings, file, limit)) is not None:
        written = found
    else:
        say(ctx, "no calls are pending for this model: see annoy batch status, annoy status")
        return
    if as_json:
        print_json(written.as_dict())
        return
    click.echo(f"batch {written.batch_id}: {written.n_lines:,} calls in {file}")
    if written.exhausted_budget:
        say(ctx, f"{written.exhausted_budget}; the other calls stay pending")
    say(ctx, "import the results with: annoy batch import FILE")


@command.command("import")
@click.argument(
    "file", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option("--tries", type=int, help="Counted tries of one call.")
@json_option
@click.pass_context
def import_(ctx: click.Context, file: tuple[Path, ...], tries: int | None, as_json: bool) -> None:
    """Import result files, of answers and of errors, in any order; repeated lines are skipped."""
    from annoy_store.batch.files import import_results

    imported, n_unknown = import_results(store_of(ctx), load_settings(ctx, tries=tries), file)
    if as_json:
        print_json({"batches": [results.as_dict() for results in imported], "strangers": n_unknown})
    elif imported:
        columns = ["batch", *ENDED_STATES, "pending again", "known", "missing"]
        rows = [
            [
                b.batch_id,
                *(b.job_states[s] for s in ENDED_STATES),
                b.n_pending,
                b.n_known,
                b.n_missing,
            ]
            for b in imported
        ]
        print_table(columns, rows)
    if n_unknown:
        warn(f"{n_unknown:,} lines belong to no batch in this store")
    if not imported:
        raise UsageError("no line belongs to a batch in this store: is it a result file?")
    for results in imported:
        if results.stop_reason:
            warn(f"batch {results.batch_id}: no call can succeed ({results.stop_reason})")
        if results.n_missing:
            say(
                ctx,
                f"batch {results.batch_id}: {results.n_missing:,} calls have no result: import its "
                f"other file, or release them: annoy batch cancel {results.batch_id}",
            )


def _row(batch: BatchRow) -> list[Any]:
    return [
        batch.id,
        batch.state,
        batch.status,
        batch.model,
        batch.n_calls,
        batch.n_answered,
        batch.n_failed,
        batch.created_at[:19],
        batch.error,
    ]


def _refresh(store: Database, settings: RunSettings) -> None:
    """Record the states that submitted batches have at their providers."""
    from annoy_store.batch.client import batch_client_at
    from annoy_store.batch.rows import IS_OPEN, find_batches

    by_url: dict[str, list[BatchRow]] = defaultdict(list)
    with store.read() as connection:
        for batch in find_batches(connection, IS_OPEN):
            if batch.state == "sent":
                by_url[batch.base_url].append(batch)
    for url, submitted in by_url.items():
        try:
            client = batch_client_at(store, settings, url)
        except AnnoyError as error:
            warn(f"{url} was not queried: {error}")
            continue
        for batch in submitted:
            client.refresh_status(batch)
        client.close()


def _chosen(connection: Any, numbers: tuple[int, ...]) -> list[BatchRow]:
    from annoy_store.batch.rows import IS_OPEN, find_batches

    is_open = {batch.id: batch for batch in find_batches(connection, IS_OPEN)}
    if missing := [n for n in numbers if n not in is_open]:
        raise UsageError(f"batch {missing[0]} is not open: see annoy batch status")
    return [is_open[n] for n in numbers] if numbers else list(is_open.values())


def _cancel(store: Database, settings: RunSettings, batch: BatchRow) -> str:
    """Cancel a batch at its provider, or release it; return its status then."""
    from annoy_store.batch.client import batch_client_at
    from annoy_store.batch.files import release

    if batch.state == "exported" or not (batch.remote_id or batch.input_file):
        release(store, settings, batch)
        return "released"
    client = batch_client_at(store, settings, batch.base_url)
    try:
        return client.cancel(batch)
    finally:
        client.close()
