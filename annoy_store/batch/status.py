"""Open batches for display, and the command that imports their results."""

from __future__ import annotations

import shlex
from collections import defaultdict
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection

from annoy_store.batch.rows import IS_OPEN, BatchRow, find_batches
from annoy_store.db.tables import batches


def list_batches(connection: Connection, ended: int = 20) -> list[BatchRow]:
    """Return the open batches, and the last `ended` that have ended; newest first."""
    is_open = find_batches(connection, IS_OPEN)
    past = find_batches(connection, batches.c.state == "ended")
    return sorted([*is_open, *past[-ended:]], key=lambda b: -b.id)


def as_dict(batch: BatchRow) -> dict[str, Any]:
    """Return a batch as `annoy batch status --json` prints it."""
    return asdict(batch)


def resume_command(batch: BatchRow) -> str:
    """Return the command that imports the results of a batch."""
    if batch.state == "exported":
        return "annoy batch import FILE"
    url = "" if "api.openai.com" in batch.base_url else f" --base-url {shlex.quote(batch.base_url)}"
    return f"annoy run --teacher batch --model {shlex.quote(batch.model)}{url}"


def open_batch_summary(connection: Connection) -> list[str]:
    """Return one line for each command that imports results: its open batches and their calls."""
    groups: dict[str, list[BatchRow]] = defaultdict(list)
    for batch in find_batches(connection, IS_OPEN):
        groups[resume_command(batch)].append(batch)
    return [
        f"{sum(_n_open_calls(b) for b in group):,} calls wait in {_batch_names(group)}; "
        f"import the results with: {command}"
        for command, group in groups.items()
    ]


def _n_open_calls(batch: BatchRow) -> int:
    return batch.n_calls - batch.n_answered - batch.n_failed


def _batch_names(group: list[BatchRow]) -> str:
    if len(group) == 1:
        return f"batch {group[0].id} ({group[0].status or group[0].state})"
    return f"{len(group)} batches"
