"""Claim cursors: a worker's position in the pending jobs, and when to query them again.

Decisions
- A cursor is a keyset position in the pending jobs of one variant of a stage, so a claim costs the
  same however many jobs have ended.
- Cursors are immutable: a transaction computes the next ones, and the job manager keeps them after
  the commit. So a transaction that is retried starts where the failed one started.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from annoy_store.interfaces import Row, Stage, StageContext
from annoy_store.queue import claims as job_claims
from annoy_store.queue.jobs import Claim, Tally

INLINE_BATCH = 128
EMPTY_PAUSE_SECONDS = (0.25, 2.0)


@dataclass(frozen=True)
class ClaimedJob:
    """A job that this worker holds, with all that its stage needs to run.

    Attributes:
        claim: the job and its fencing token.
        stage: the stage that runs it.
        row: the subject's row of the stage's SELECT; None when it is no longer selected.
        context: the policy and the resources that the stage runs with.
    """

    claim: Claim
    stage: Stage
    row: Row | None
    context: StageContext


@dataclass(frozen=True)
class ClaimCursor:
    """One variant of a stage, and how far its pending jobs have been claimed.

    Attributes:
        stage: the stage whose jobs are claimed.
        variant_id: the variant of that stage.
        position: (priority, subject id) after which the next claim starts.
        pause: seconds for which the last claim that found too few jobs paused this cursor.
        retry_at: monotonic time before which nothing is claimed here.
        has_suspects: whether there are jobs whose last worker died.
    """

    stage: Stage
    variant_id: int
    position: tuple[int, int] = job_claims.CURSOR_START
    pause: float = 0.0
    retry_at: float = 0.0
    has_suspects: bool = False

    @property
    def key(self) -> tuple[str, int]:
        """The stage's name and the variant's id."""
        return self.stage.name, self.variant_id

    @property
    def is_crash_safe(self) -> bool:
        """Whether its jobs are calls to teachers, which cannot crash their worker."""
        return self.stage.executor == "async"

    @property
    def is_open(self) -> bool:
        """Whether its pause is over."""
        return time.monotonic() >= self.retry_at

    def reset(self) -> ClaimCursor:
        """Return the cursor without its pause, because there are new jobs."""
        return replace(self, pause=0.0, retry_at=0.0)

    def claim(
        self, connection: Connection, worker_id: int, limit: int, tally: Tally
    ) -> tuple[list[Claim], ClaimCursor]:
        """Claim pending jobs after the position; from the start when there are none after it.

        Args:
            connection: a write transaction.
            worker_id: the worker that claims.
            limit: the maximum number of jobs to claim.
            tally: collects the changes of the job counters.

        Returns:
            The claims, and the cursor to use after the commit.
        """
        where = (connection, worker_id, *self.key, limit)
        claims = job_claims.claim(*where, after=self.position, tally=tally)
        if not claims and self.position != job_claims.CURSOR_START:
            claims = job_claims.claim(*where, tally=tally)
        return claims, self._after(claims, limit)

    def claim_suspects(
        self, connection: Connection, worker_id: int, limit: int, tally: Tally
    ) -> tuple[list[Claim], ClaimCursor]:
        """Claim jobs whose last worker died; arguments and result as in `claim`."""
        claims = job_claims.claim_suspects(connection, worker_id, *self.key, limit, tally)
        return claims, replace(self, has_suspects=bool(claims))

    def _after(self, claims: list[Claim], limit: int) -> ClaimCursor:
        if len(claims) == limit:
            last = claims[-1]
            return replace(self, position=(last.priority, last.subject_id), pause=0.0)
        shortest, longest = EMPTY_PAUSE_SECONDS
        pause = min(longest, max(shortest, 2 * self.pause))
        retry_at = time.monotonic() + pause
        return replace(self, position=job_claims.CURSOR_START, pause=pause, retry_at=retry_at)
