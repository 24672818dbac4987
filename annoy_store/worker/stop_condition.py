"""A goal of a run: so many chains whose last answer is correct.

Decision: the view is counted once at the start and once more before the goal counts as reached;
in between only the verdicts that are new are, so looking costs the same however large the store.
"""

from __future__ import annotations

import time

from sqlalchemy import Connection, func, select, text

from annoy_store.db.engine import Database
from annoy_store.db.tables import verdicts

CHECK_SECONDS = 1.0
_CORRECT_CHAINS = text("SELECT COUNT(*) FROM v_chains WHERE last_status = 'correct'")


class StopCondition:
    """Whether a store has `wanted` correct chains; looks again and again while a run works."""

    def __init__(self, store: Database, wanted: int) -> None:
        self._store, self._wanted = store, wanted
        with store.read() as connection:
            self._recount(connection)
        self._look_at = time.monotonic() + CHECK_SECONDS

    @property
    def is_met(self) -> bool:
        return self._correct >= self._wanted

    def recount(self) -> None:
        """Count what is there now, for what was in flight when it was reached has come since."""
        with self._store.read() as connection:
            self._recount(connection)

    def __str__(self) -> str:
        return f"{self._correct:,} chains are correct; {self._wanted:,} were wanted"

    def check(self) -> bool:
        """Say whether it is reached, from what is known or, now and then, from the store."""
        if time.monotonic() < self._look_at:
            return self.is_met
        with self._store.read() as connection:
            self._correct += self._new(connection)
            if self.is_met:
                self._recount(connection)
        self._look_at = time.monotonic() + CHECK_SECONDS
        return self.is_met

    def _recount(self, connection: Connection) -> None:
        self._mark = int(connection.scalar(select(func.max(verdicts.c.id))) or 0)
        self._correct = int(connection.scalar(_CORRECT_CHAINS) or 0)

    def _new(self, connection: Connection) -> int:
        """The answers found correct since the last look."""
        new = verdicts.c.id > self._mark
        right = func.count(verdicts.c.response_id.distinct()).filter(verdicts.c.status == "correct")
        n, mark = connection.execute(select(right, func.max(verdicts.c.id)).where(new)).one()
        self._mark = mark or self._mark
        return int(n)
