"""Endpoints that failed lately, with their own words.

Decision: only the newest `RECENT` attempts are read, by their ids, so the status costs the same
however many there are. Attempts are written as they are made, before their calls have ended.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select

from annoy_store.db.tables import attempts, teachers

RECENT = 200
FAULTS_OF_THE_REQUEST = (400, 403, 409, 413, 422)  # HTTP statuses
WITHHELD = ("content_filter", "refused")  # error classes of answers that are not given


@dataclass(frozen=True)
class EndpointTrouble:
    """The failed attempts among the newest ones at an endpoint.

    Attributes:
        model: Name of the model.
        base_url: URL of the endpoint; empty for a program.
        n_recent: How many of the newest attempts were made there.
        failed: How many of them failed, by error class, the most frequent first.
        last_at: When the newest failure was, as stored.
        message: What the endpoint said then; empty if nothing.
        is_last: Whether the newest attempt there failed.
    """

    model: str
    base_url: str
    n_recent: int
    failed: Mapping[str, int]
    last_at: str
    message: str
    is_last: bool

    @property
    def n_failed(self) -> int:
        """How many of the attempts failed."""
        return sum(self.failed.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the values as `annoy status --json` prints them."""
        return {**vars(self), "failed": dict(self.failed), "n_failed": self.n_failed}


def endpoint_troubles(connection: Connection) -> list[EndpointTrouble]:
    """Return the endpoints of the newest attempts at which some failed."""
    by_endpoint: defaultdict[tuple[str, str], list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(_newest(connection)):
        by_endpoint[row.model, row.base_url].append(row)
    troubles = (_trouble(*key, rows) for key, rows in by_endpoint.items())
    return [trouble for trouble in troubles if trouble is not None]


def _newest(connection: Connection) -> Any:
    """The newest attempts, the newest first."""
    last = connection.scalar(select(func.max(attempts.c.id))) or 0
    chosen = select(
        attempts.c.status,
        attempts.c.error_class,
        attempts.c.http_status,
        attempts.c.error_message,
        attempts.c.started_at,
        teachers.c.model,
        teachers.c.base_url,
    ).join(teachers, teachers.c.id == attempts.c.teacher_id)
    return chosen.where(attempts.c.id > last - RECENT).order_by(attempts.c.id.desc())


def _trouble(model: str, base_url: str, rows: Sequence[Row[Any]]) -> EndpointTrouble | None:
    failed = [row for row in rows if _is_trouble(row)]
    if not failed:
        return None
    counts = Counter(row.error_class or row.status for row in failed)
    return EndpointTrouble(
        model,
        base_url,
        len(rows),
        dict(counts.most_common()),
        failed[0].started_at,
        failed[0].error_message or "",
        _is_trouble(rows[0]),
    )


def _is_trouble(row: Row[Any]) -> bool:
    """Whether an attempt failed by what its endpoint is or does, not by the request."""
    if row.status == "stopped" and row.http_status is None:  # by an interrupted run
        return False
    is_failed = row.status in ("failed", "limited", "retry", "stopped")
    is_of_request = row.http_status in FAULTS_OF_THE_REQUEST or row.error_class in WITHHELD
    return is_failed and not is_of_request
