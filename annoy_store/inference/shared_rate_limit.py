"""Requests and tokens per minute, which all workers of a store share.

Decisions
- A budget of one endpoint and model is a row of `budgets`: `cap` units a minute, `used` in all,
  and `window_start`, the moment up to which it is given away. One UPDATE books a stretch and says
  how far away it is, by the database's clock; machines need not agree about the time.
- A row is made by the first who books; each worker books at the pace that its settings name.
- A moment too far ahead to be true (a clock was set back) is forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import Connection, Double, bindparam, case, update
from sqlalchemy.exc import DBAPIError

from annoy_store.db.engine import Store
from annoy_store.db.sql import clock, insert_new
from annoy_store.db.tables import budgets
from annoy_store.errors import NotNow
from annoy_store.inference.client.rate_limit import BURST_SECONDS, Stretch
from annoy_store.interfaces import TeacherIdentity

_FARTHEST = 3600.0
_END, _EARLIEST = budgets.c.window_start, clock() - BURST_SECONDS
_BOOK = (
    update(budgets)
    .where(budgets.c.name == bindparam("of_name"))
    .values(
        cap=bindparam("per_minute", type_=Double),
        used=budgets.c.used + bindparam("units", type_=Double),
        window_start=bindparam("seconds", type_=Double)
        + case((_END.between(_EARLIEST, clock() + _FARTHEST), _END), else_=_EARLIEST),
    )
    .returning((_END - clock()).label("ahead"))
)


class SharedTimeline:
    """The budgets of one endpoint and model, kept in the store."""

    def __init__(self, store: Store, who: TeacherIdentity) -> None:
        self._store = store
        self._place = f"{who.model} at {who.base_url}"

    async def book(self, wanted: Sequence[Stretch]) -> list[float]:
        """Give away the next stretch of each; return in how many seconds they begin (or began).

        Raises NotNow while the store is away.
        """
        try:
            return await asyncio.to_thread(self._store.transact, lambda c: self._book(c, wanted))
        except DBAPIError as error:
            raise NotNow("the store cannot be reached") from error

    def _book(self, connection: Connection, wanted: Sequence[Stretch]) -> list[float]:
        return [self._booked(connection, stretch) - stretch.seconds for stretch in wanted]

    def _booked(self, connection: Connection, stretch: Stretch) -> float:
        """Move the end of a budget; return how many seconds ahead it is then."""
        name = f"{stretch.what} per minute: {self._place}"
        values = {"of_name": name, "per_minute": stretch.per_minute}
        values |= {"units": stretch.units, "seconds": stretch.seconds}
        ahead = connection.scalar(_BOOK, values)
        if ahead is None:
            row = {"name": name, "cap": stretch.per_minute, "reserved": 0.0, "used": 0.0}
            insert_new(connection, budgets, [{**row, "window_start": 0.0}])
            ahead = connection.scalar(_BOOK, values)
        return float(ahead or 0.0)
