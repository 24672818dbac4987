"""What is out, for a person: batches that have not ended, and the command to come back with."""

from __future__ import annotations

import shlex
from collections import defaultdict
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection

from annoy_store.batch.rows import IS_OPEN, BatchRow, find_batches
from annoy_store.db.tables import batches


def list_batches(connection: Connection, ended: int = 20) -> list[BatchRow]:
    """Batches that are out, and the last ones that have ended; newest first."""
    out = find_batches(connection, IS_OPEN)
    past = find_batches(connection, batches.c.state == "ended")
    return sorted([*out, *past[-ended:]], key=lambda b: -b.id)


def as_dict(batch: BatchRow) -> dict[str, Any]:
    """A batch as JSON."""
    return asdict(batch)


def resume_command(batch: BatchRow) -> str:
    """The command that takes in what a batch has answered."""
    if batch.state == "exported":
        return "annoy batch import FILE"
    url = "" if "api.openai.com" in batch.base_url else f" --base-url {shlex.quote(batch.base_url)}"
    return f"annoy run --teacher batch --model {shlex.quote(batch.model)}{url}"


def open_batch_summary(connection: Connection) -> list[str]:
    """What is out, one line for each command to come back with."""
    groups: dict[str, list[BatchRow]] = defaultdict(list)
    for batch in find_batches(connection, IS_OPEN):
        groups[resume_command(batch)].append(batch)
    return [
        f"{sum(_n_open_calls(b) for b in out):,} calls wait in {_batch_names(out)}; come back with: {command}"
        for command, out in groups.items()
    ]


def _n_open_calls(batch: BatchRow) -> int:
    return batch.n_calls - batch.n_answered - batch.n_failed


def _batch_names(out: list[BatchRow]) -> str:
    if len(out) == 1:
        return f"batch {out[0].id} ({out[0].status or out[0].state})"
    return f"{len(out)} batches"
