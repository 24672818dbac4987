"""Which tables hold the digest of their rows' content, and how it is computed from a row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Table

from annoy_store.db.tables import (
    annotation_log,
    attempts,
    io_pairs,
    prompts,
    responses,
    samples,
    sources,
    teachers,
)
from annoy_store.records.digests import (
    ANNOTATION_COLUMNS,
    ATTEMPT_COLUMNS,
    SAMPLE_COLUMNS,
    annotation_digest,
    attempt_digest,
    input_digest,
    prompt_digest,
    response_digest,
    sample_digest,
    source_digest,
    teacher_digest,
)


@dataclass(frozen=True)
class RowDigest:
    """The digest of the rows of a table.

    Attributes:
        column: The column that holds it; null in rows that `annoy init` has not filled yet.
        names: The columns that it covers.
        compute: Returns it for a row with these columns.
    """

    column: Column[Any]
    names: tuple[str, ...]
    compute: Callable[[Mapping[str, Any]], str]

    def wrong(self, rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the rows whose content has another digest than the stored one."""
        stored = self.column.name
        return [row for row in rows if row[stored] not in (None, self.compute(row))]


def _teacher_digest(row: Mapping[str, Any]) -> str:
    parameters = json.loads(row["parameters"])
    return teacher_digest(row["backend"], row["model"], row["base_url"], parameters)


ROW_DIGESTS: dict[Table, RowDigest] = {
    sources: RowDigest(
        sources.c.digest,
        ("language", "content"),
        lambda row: source_digest(row["language"], row["content"]),
    ),
    prompts: RowDigest(
        prompts.c.digest, ("messages",), lambda row: prompt_digest(json.loads(row["messages"]))
    ),
    teachers: RowDigest(
        teachers.c.digest, ("backend", "model", "base_url", "parameters"), _teacher_digest
    ),
    samples: RowDigest(samples.c.digest, SAMPLE_COLUMNS, sample_digest),
    io_pairs: RowDigest(
        io_pairs.c.input_digest, ("input",), lambda row: input_digest(json.loads(row["input"]))
    ),
    responses: RowDigest(
        responses.c.digest, ("finish_reason", "text", "reasoning"), response_digest
    ),
    attempts: RowDigest(attempts.c.digest, ("latency_ms", *ATTEMPT_COLUMNS), attempt_digest),
    annotation_log: RowDigest(annotation_log.c.digest, ANNOTATION_COLUMNS, annotation_digest),
}
"""By table; the digest of an origin covers that of its source, too, and is not listed."""
