"""Places: where a worker claims jobs, and when it is worth looking there again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from annoy_store.interfaces import Row, Stage
from annoy_store.queue import jobs
from annoy_store.queue.jobs import Claim, Tally

INLINE_BATCH = 128
EMPTY_PAUSE_SECONDS = (0.25, 2.0)


@dataclass
class ClaimCursor:
    """One variant of a stage, and how far its pending jobs were taken.

    A place that gave less than was asked for is left alone for a while (`dry_until`).
    """

    stage: Stage
    variant_id: int
    position: tuple[int, int] = jobs.CURSOR_START
    pause: float = 0.0
    retry_at: float = 0.0

    @property
    def key(self) -> tuple[str, int]:
        return self.stage.name, self.variant_id

    @property
    def is_crash_safe(self) -> bool:
        """Whether its jobs are calls to teachers, which cannot kill their worker."""
        return self.stage.executor == "asking"

    @property
    def is_open(self) -> bool:
        return time.monotonic() >= self.retry_at

    def reset(self) -> None:
        """There is something new."""
        self.pause = self.retry_at = 0.0


@dataclass(frozen=True)
class ClaimedBatch:
    """What was claimed at a place when `asked` jobs were wanted, pending ones or suspects."""

    place: ClaimCursor
    asked: int
    suspects: bool
    claims: list[Claim] = field(default_factory=list)
    rows: dict[int, Row] = field(default_factory=dict)  # by subject, what the stage reads

    def remember(self) -> None:
        """Note at the place where to go on, or how long to stay away."""
        place, claims = self.place, self.claims
        if self.suspects:
            return
        if len(claims) == self.asked:
            place.position, place.pause = (claims[-1].priority, claims[-1].subject_id), 0.0
            return
        shortest, longest = EMPTY_PAUSE_SECONDS
        place.position = jobs.CURSOR_START
        place.pause = min(longest, max(shortest, 2 * place.pause))
        place.retry_at = time.monotonic() + place.pause


def claim_pending(
    connection: Connection, worker_id: int, place: ClaimCursor, asked: int, tally: Tally
) -> ClaimedBatch:
    """Claim pending jobs behind the place's cursor; from the start when there are none behind."""
    where = (connection, worker_id, *place.key, asked)
    claims = jobs.claim(*where, after=place.position, tally=tally)
    if not claims and place.position != jobs.CURSOR_START:
        claims = jobs.claim(*where, tally=tally)
    return ClaimedBatch(place, asked, False, claims)


def claim_suspects(
    connection: Connection, worker_id: int, place: ClaimCursor, asked: int, tally: Tally
) -> ClaimedBatch:
    """Claim jobs whose last holder died."""
    claims = jobs.claim_suspects(connection, worker_id, *place.key, asked, tally)
    return ClaimedBatch(place, asked, True, claims)


def all_claims(taken: Sequence[ClaimedBatch]) -> list[Claim]:
    return [claim for t in taken for claim in t.claims]
