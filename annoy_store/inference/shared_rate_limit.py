"""Rate limits (requests and tokens per minute) that all workers of a store share.

Decisions
- The rate limit of one endpoint and model is a row of `budgets`: `cap` units a minute, `used` in
  all, and `window_start`, the moment up to which it is reserved. One UPDATE reserves an interval
  and returns how far ahead it is, by the database's clock; the machines' clocks may differ.
- The first worker that reserves inserts the row; each worker reserves at the rate that its settings
  name.
- A moment too far ahead to be plausible (a clock was set back) is ignored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import Connection, Double, bindparam, case, update
from sqlalchemy.exc import DBAPIError

from annoy_store.db.engine import Database
from annoy_store.db.sql import clock, insert_new
from annoy_store.db.tables import budgets
from annoy_store.errors import CallPostponed
from annoy_store.inference.client.rate_limit import BURST_SECONDS, Reservation
from annoy_store.interfaces import TeacherIdentity

_MAX_AHEAD_SECONDS = 3600.0
_END, _EARLIEST = budgets.c.window_start, clock() - BURST_SECONDS
_RESERVE = (
    update(budgets)
    .where(budgets.c.name == bindparam("of_name"))
    .values(
        cap=bindparam("per_minute", type_=Double),
        used=budgets.c.used + bindparam("units", type_=Double),
        window_start=bindparam("seconds", type_=Double)
        + case((_END.between(_EARLIEST, clock() + _MAX_AHEAD_SECONDS), _END), else_=_EARLIEST),
    )
    .returning((_END - clock()).label("ahead"))
)


class SharedRateLimit:
    """The rate limits of one endpoint and model, kept in the store."""

    def __init__(self, store: Database, identity: TeacherIdentity) -> None:
        self._store = store
        self._endpoint = f"{identity.model} at {identity.base_url}"

    async def reserve(self, wanted: Sequence[Reservation]) -> list[float]:
        """Reserve the next interval of each limit.

        Args:
            wanted: What to reserve of which limit.

        Returns:
            In how many seconds each interval begins; negative if it has begun.

        Raises:
            CallPostponed: The store cannot be reached.
        """
        try:
            return await asyncio.to_thread(self._store.transact, lambda c: self._reserve(c, wanted))
        except DBAPIError as error:
            raise CallPostponed("the store cannot be reached") from error

    def _reserve(self, connection: Connection, wanted: Sequence[Reservation]) -> list[float]:
        return [self._reserve_one(connection, one) - one.seconds for one in wanted]

    def _reserve_one(self, connection: Connection, reservation: Reservation) -> float:
        """Move the end of a limit; return how many seconds ahead it is then."""
        name = f"{reservation.unit} per minute: {self._endpoint}"
        values = {"of_name": name, "per_minute": reservation.per_minute}
        values |= {"units": reservation.amount, "seconds": reservation.seconds}
        ahead = connection.scalar(_RESERVE, values)
        if ahead is None:
            row = {"name": name, "cap": reservation.per_minute, "reserved": 0.0, "used": 0.0}
            insert_new(connection, budgets, [{**row, "window_start": 0.0}])
            ahead = connection.scalar(_RESERVE, values)
        return float(ahead or 0.0)
