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
DRY_SECONDS = (0.25, 2.0)


@dataclass
class Place:
    """One variant of a stage, and how far its pending jobs were taken.

    A place that gave less than was asked for is left alone for a while (`dry_until`).
    """

    stage: Stage
    variant_id: int
    cursor: tuple[int, int] = jobs.START
    pause: float = 0.0
    dry_until: float = 0.0

    @property
    def key(self) -> tuple[str, int]:
        return self.stage.name, self.variant_id

    @property
    def asks(self) -> bool:
        """Whether its jobs are calls to teachers, which cannot kill their worker."""
        return self.stage.lane == "asking"

    @property
    def is_open(self) -> bool:
        return time.monotonic() >= self.dry_until

    def refill(self) -> None:
        """There is something new."""
        self.pause = self.dry_until = 0.0


@dataclass(frozen=True)
class Taken:
    """What was claimed at a place when `asked` jobs were wanted, pending ones or suspects."""

    place: Place
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
            place.cursor, place.pause = (claims[-1].priority, claims[-1].subject_id), 0.0
            return
        shortest, longest = DRY_SECONDS
        place.cursor = jobs.START
        place.pause = min(longest, max(shortest, 2 * place.pause))
        place.dry_until = time.monotonic() + place.pause


def take(connection: Connection, worker_id: int, place: Place, asked: int, tally: Tally) -> Taken:
    """Claim pending jobs behind the place's cursor; from the start when there are none behind."""
    where = (connection, worker_id, *place.key, asked)
    claims = jobs.claim(*where, after=place.cursor, tally=tally)
    if not claims and place.cursor != jobs.START:
        claims = jobs.claim(*where, tally=tally)
    return Taken(place, asked, False, claims)


def take_suspects(
    connection: Connection, worker_id: int, place: Place, asked: int, tally: Tally
) -> Taken:
    """Claim jobs whose last holder died."""
    claims = jobs.claim_suspects(connection, worker_id, *place.key, asked, tally)
    return Taken(place, asked, True, claims)


def all_claims(taken: Sequence[Taken]) -> list[Claim]:
    return [claim for t in taken for claim in t.claims]
