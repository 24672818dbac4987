"""Look after batches: calls that are handed in together, answered within a day, at half the price.

`annoy run --teacher batch` hands in what waits and takes in what was answered; nobody has to stay
meanwhile. These commands show what is out, cancel it, and carry the same batches by file, for
`vllm run-batch`, Azure, or an upload by hand. What is in a batch is asked by nobody else until it
is taken in or cancelled. What was answered before a batch expired or was cancelled is kept.

\b
Examples:
  annoy run --teacher batch --model gpt-5-mini
  annoy batch status
  annoy batch cancel 3
  annoy batch export questions.jsonl --model my-model --base-url http://localhost:8000/v1
  vllm run-batch -i questions.jsonl -o answers.jsonl --model my-model
  annoy batch import answers.jsonl
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annoy_store.db.states import ENDED_STATES
from annoy_store.errors import AnnoyError, UsageError

from ._shared import json_option, load_settings, print_json, print_table, say, store_of, warn
from .run import bounds_options, settings_options

if TYPE_CHECKING:
    from annoy_store.batch.rows import BatchRow
    from annoy_store.config import RunSettings
    from annoy_store.db.engine import Database

COLUMNS = (
    "batch",
    "state",
    "provider says",
    "model",
    "calls",
    "answered",
    "failed",
    "made",
    "note",
)


@click.group(help=__doc__)
def command() -> None:
    pass


@command.command("status")
@click.option("--local", is_flag=True, help="Tell what the store knows; ask no provider.")
@json_option
@click.pass_context
def status_(ctx: click.Context, local: bool, as_json: bool) -> None:
    """Show what is out, as the store and the provider have it, and what has ended of late."""
    from annoy_store.batch.status import as_dict, list_batches, open_batch_summary

    store, settings = store_of(ctx), load_settings(ctx)
    if not local:
        _look(store, settings)
    with store.read() as connection:
        known, out = list_batches(connection), open_batch_summary(connection)
    if as_json:
        print_json([as_dict(batch) for batch in known])
        return
    if not known:
        say(ctx, "no batch yet: annoy run --teacher batch --model MODEL")
        return
    print_table(COLUMNS, [_row(batch) for batch in known])
    for words in out:
        say(ctx, words)


@command.command("cancel")
@click.argument("batch", nargs=-1, type=int)
@click.option("--all", "everything", is_flag=True, help="All that are out.")
@json_option
@click.pass_context
def cancel_(ctx: click.Context, batch: tuple[int, ...], everything: bool, as_json: bool) -> None:
    """Cancel batches at the provider, or let go of those that are in a file.

    What the provider has answered by then is paid, and taken in by the next run; the rest becomes
    pending.
    """
    if bool(batch) == everything:
        raise click.UsageError("say which: a number of `annoy batch status`, or --all")
    store, settings = store_of(ctx), load_settings(ctx)
    with store.read() as connection:
        chosen = _chosen(connection, batch)
    told = {one.id: _cancel(store, settings, one) for one in chosen}
    if as_json:
        print_json([{"batch": key, "status": words} for key, words in told.items()])
        return
    for key, words in told.items():
        click.echo(f"batch {key}: {words}")
    if any(words == "cancelling" for words in told.values()):
        say(ctx, "what was answered is kept: annoy run --teacher batch takes it in")


@command.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("-n", "--limit", type=click.IntRange(1), help="At most this many calls.")
@click.option("--batch", type=int, metavar="ID", help="Write the file of that batch once more.")
@settings_options
@bounds_options
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
    """Write pending calls to FILE, and bind them until their answers are imported."""
    from annoy_store.batch.files import export_again, export_requests
    from annoy_store.inference.prices import insert_prices

    settings, store = load_settings(ctx, **{**flags, "teacher": "batch"}), store_of(ctx)
    insert_prices(store, settings)
    if batch is not None:
        written = export_again(store, settings, batch, file)
    elif (found := export_requests(store, settings, file, limit)) is not None:
        written = found
    else:
        say(ctx, "nothing is pending for this model: annoy batch status, annoy status")
        return
    if as_json:
        print_json(written.as_dict())
        return
    click.echo(f"batch {written.batch_id}: {written.n_lines:,} calls in {file}")
    if written.exhausted_budget:
        say(ctx, f"{written.exhausted_budget}; the rest stays pending")
    say(ctx, "when it is answered: annoy batch import FILE")


@command.command("import")
@click.argument(
    "file", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option("--tries", type=int, help="Counted tries of one call.")
@json_option
@click.pass_context
def import_(ctx: click.Context, file: tuple[Path, ...], tries: int | None, as_json: bool) -> None:
    """Take in what came back: files of answers and of errors, in any order, also twice."""
    from annoy_store.batch.files import import_results

    backs, strangers = import_results(store_of(ctx), load_settings(ctx, tries=tries), file)
    if as_json:
        print_json({"batches": [back.as_dict() for back in backs], "strangers": strangers})
    elif backs:
        columns = ["batch", *ENDED_STATES, "pending again", "known", "no line yet"]
        rows = [
            [
                b.batch_id,
                *(b.job_states[s] for s in ENDED_STATES),
                b.n_pending,
                b.n_known,
                b.n_missing,
            ]
            for b in backs
        ]
        print_table(columns, rows)
    if strangers:
        warn(f"{strangers:,} lines are of no batch in this store")
    if not backs:
        raise UsageError("no line of a batch in this store: is it the file of answers?")
    for back in backs:
        if back.stop_reason:
            warn(f"batch {back.batch_id}: nobody gets an answer ({back.stop_reason})")
        if back.n_missing:
            say(
                ctx,
                f"batch {back.batch_id}: import its other file, or give {back.n_missing:,} calls "
                f"back: annoy batch cancel {back.batch_id}",
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


def _look(store: Database, settings: RunSettings) -> None:
    """Ask the providers how the batches are that they have."""
    from annoy_store.batch.client import batch_client_at
    from annoy_store.batch.rows import IS_OPEN, find_batches

    at: dict[str, list[BatchRow]] = defaultdict(list)
    with store.read() as connection:
        for batch in find_batches(connection, IS_OPEN):
            if batch.state == "sent":
                at[batch.base_url].append(batch)
    for url, there in at.items():
        try:
            clerk = batch_client_at(store, settings, url)
        except AnnoyError as error:
            warn(f"{url} was not asked: {error}")
            continue
        for batch in there:
            clerk.refresh_status(batch)
        clerk.close()


def _chosen(connection: Any, numbers: tuple[int, ...]) -> list[BatchRow]:
    from annoy_store.batch.rows import IS_OPEN, find_batches

    out = {batch.id: batch for batch in find_batches(connection, IS_OPEN)}
    if missing := [n for n in numbers if n not in out]:
        raise UsageError(f"no batch {missing[0]} is out: annoy batch status")
    return [out[n] for n in numbers] if numbers else list(out.values())


def _cancel(store: Database, settings: RunSettings, batch: BatchRow) -> str:
    """Cancel one batch where it is; return how it is then."""
    from annoy_store.batch.client import batch_client_at
    from annoy_store.batch.files import release

    if batch.state == "exported" or not (batch.remote_id or batch.input_file):
        release(store, settings, batch)
        return "let go"
    clerk = batch_client_at(store, settings, batch.base_url)
    try:
        return clerk.cancel(batch)
    finally:
        clerk.close()
