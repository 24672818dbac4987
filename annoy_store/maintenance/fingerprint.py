"""Compare stores by content, whatever their ids are.

A row's content is its columns without its id, without timestamps and durations, and with the ids of
other rows replaced by the digests of those rows. Jobs count by stage, subject, variant and state.
The number of an answer (`sample_no`) is left out, because it tells which store was merged into
which. Equal stores have equal contents, on any database.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, select

from annoy_store.db.introspect import referenced_table, row_pages
from annoy_store.db.tables import NATURAL_KEYS, attempts, jobs, metadata, variants
from annoy_store.hashing import digest
from annoy_store.interfaces import Stage
from annoy_store.queue.selection import subject_column
from annoy_store.records.policy import load_policy

COMPARED_TABLES = (*NATURAL_KEYS, "executions", "attempts")
IGNORED_COLUMNS = {
    "created_at",
    "started_at",
    "latency_ms",
    "cpu_ms",
    "wall_ms",
    "worker_id",
    "active",
}
IGNORED_COLUMNS |= {"cached_tokens"}  # depends on a provider's cache
IGNORED_COLUMNS |= {"omitted"}  # depends on what an endpoint was asked
IGNORED_COLUMNS |= {"sample_no"}


def content_digests(connection: Connection, stages: Sequence[Stage]) -> dict[str, Counter[str]]:
    """Return how often each content occurs, by table.

    Args:
        connection: A connection to the store; the ids of all rows are held in memory.
        stages: All stages of the pipeline.
    """
    known: dict[str, dict[int, str]] = {}
    found: dict[str, Counter[str]] = {}
    for table in metadata.sorted_tables:
        if table.name in COMPARED_TABLES:
            known[table.name] = _digests(connection, table, known)
            found[table.name] = Counter(known[table.name].values())
    found["jobs"] = _jobs(connection, stages, known)
    return found


def _digests(
    connection: Connection, table: Table, known: Mapping[str, Mapping[int, str]]
) -> dict[int, str]:
    ignored = IGNORED_COLUMNS | ({"id", "digest"} if table is attempts else {"id"})
    columns = [c for c in table.c if c.name not in ignored]
    parents = {c.name: referenced_table(c) for c in columns}
    digests: dict[int, str] = {}
    for page in row_pages(connection, table):
        for row in page:
            content = [
                row[c.name]
                if (parent := parents[c.name]) is None
                else known[parent.name].get(row[c.name], row[c.name])
                for c in columns
            ]
            digests[row.get("id", len(digests))] = digest(table.name, *content)
    return digests


def _jobs(
    connection: Connection, stages: Sequence[Stage], known: Mapping[str, Mapping[int, str]]
) -> Counter[str]:
    policy = load_policy(connection)
    subjects = {s.name: known[subject_column(s, policy).table.name] for s in stages}
    names = dict(connection.execute(select(variants.c.id, variants.c.digest)).all())
    counts: Counter[str] = Counter()
    for page in row_pages(connection, jobs):
        for row in page:
            subject = subjects.get(row["stage"], {}).get(row["subject_id"], row["subject_id"])
            variant = names.get(row["variant_id"])
            counts[digest("job", row["stage"], subject, variant, row["state"], row["reason"])] += 1
    return counts


def content_differences(
    left: Mapping[str, Counter[str]], right: Mapping[str, Counter[str]]
) -> dict[str, tuple[int, int]]:
    """Return by table how many rows only the one and only the other store has.

    Args:
        left: Contents of the one store.
        right: Contents of the other.

    Returns:
        Two counts by table; equal tables are left out.
    """
    counts = {
        name: ((left[name] - right[name]).total(), (right[name] - left[name]).total())
        for name in left
    }
    return {name: pair for name, pair in counts.items() if pair != (0, 0)}


class Fingerprint:
    """A digest of the rows of one table with their ids, independent of the order of the rows."""

    def __init__(self) -> None:
        self.rows, self._sum = 0, 0

    def add(self, page: Sequence[tuple[Any, ...]]) -> None:
        """Add a page of rows: their values in the order of the table's columns."""
        for row in page:
            text = repr(row).encode("utf-8", "surrogatepass")
            self._sum += int.from_bytes(hashlib.sha256(text).digest()[:16], "big")
        self.rows += len(page)

    @property
    def value(self) -> str:
        """The digest, 32 hex digits."""
        return f"{self._sum % 2**128:032x}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fingerprint) and (self.rows, self.value) == (
            other.rows,
            other.value,
        )

    __hash__ = None  # type: ignore[assignment]
