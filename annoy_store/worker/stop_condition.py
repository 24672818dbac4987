"""The stop condition of a run: a number of chains whose last answer is correct.

Decision: the view is counted once at the start and once more before the condition counts as met.
In between only new verdicts are counted, so a check costs the same however large the store is.
"""

from __future__ import annotations

import time

from sqlalchemy import Connection, func, select, text

from annoy_store.db.engine import Database
from annoy_store.db.tables import verdicts

CHECK_SECONDS = 1.0
_CORRECT_CHAINS = text("SELECT COUNT(*) FROM v_chains WHERE last_status = 'correct'")


class StopCondition:
    """Whether a store has enough correct chains; checked again and again during a run.

    Args:
        store: the store.
        wanted: the number of correct chains at which a run stops.
    """

    def __init__(self, store: Database, wanted: int) -> None:
        self._store, self._wanted = store, wanted
        with store.read() as connection:
            self._recount(connection)
        self._check_at = time.monotonic() + CHECK_SECONDS

    @property
    def is_met(self) -> bool:
        """Whether the chains known to be correct are enough."""
        return self._correct >= self._wanted

    def counts(self) -> tuple[int, int]:
        """Return how many chains are known to be correct, and how many are wanted."""
        return self._correct, self._wanted

    def recount(self) -> None:
        """Count all correct chains again, those included that ended after the condition was met."""
        with self._store.read() as connection:
            self._recount(connection)

    def __str__(self) -> str:
        return f"{self._correct:,} chains are correct; {self._wanted:,} were wanted"

    def check(self) -> bool:
        """Return whether the condition is met; queries the store once per `CHECK_SECONDS`."""
        if time.monotonic() < self._check_at:
            return self.is_met
        with self._store.read() as connection:
            self._correct += self._new(connection)
            if self.is_met:
                self._recount(connection)
        self._check_at = time.monotonic() + CHECK_SECONDS
        return self.is_met

    def _recount(self, connection: Connection) -> None:
        self._mark = int(connection.scalar(select(func.max(verdicts.c.id))) or 0)
        self._correct = int(connection.scalar(_CORRECT_CHAINS) or 0)

    def _new(self, connection: Connection) -> int:
        """The answers found correct since the last check."""
        new = verdicts.c.id > self._mark
        correct = func.count(verdicts.c.response_id.distinct()).filter(
            verdicts.c.status == "correct"
        )
        n, mark = connection.execute(select(correct, func.max(verdicts.c.id)).where(new)).one()
        self._mark = mark or self._mark
        return int(n)
