"""Budgets of money and tokens, which all workers of a store share, and nobody exceeds.

Decisions
- A budget covers what the store has cost in all, so a run that is started again goes on counting,
  and so does a fleet; each of its workers is to be given the same budget (in `annoy.toml`).
- A call sets its worst case aside before it is sent (thrift.py) and gives back what its usage
  leaves. So the cap holds; towards the end fewer calls are in flight, and less than one worst
  case stays unspent.
- A worker takes blocks from its row of `budgets` in transactions of their own: one serves some
  hundred calls. The block of a worker that was killed stays set aside until nobody is at work;
  the next to open the budget then counts afresh from `attempts`, which never lie.
- When the budget is reached the call goes back as it was. The run asks nothing more, and works on
  what it has: what was paid for is judged.
"""

from __future__ import annotations

import asyncio

from sqlalchemy import Connection, and_, func, select, update

from annoy_store.database import Store, clock, now, put
from annoy_store.errors import NotNow
from annoy_store.settings import RunSettings
from annoy_store.standing import usage_above
from annoy_store.tables import budgets, workers
from annoy_store.workforce import ALIVE, vanished

CALLS_OF_A_BLOCK = 64
SHARE_OF_A_BLOCK = 4  # a block is at most this part of what is left

# The row -------------------------------------------------------------------------------------


def open_budget(store: Store, name: str, cap: float) -> None:
    """Set the cap of a budget; count afresh what was spent unless somebody is at work."""
    store.transact(lambda connection: _open(connection, name, cap))


def _open(connection: Connection, name: str, cap: float) -> None:
    known = connection.execute(
        select(budgets.c.used, budgets.c.reserved).where(budgets.c.name == name).with_for_update()
    ).first()
    afresh = known is None or not _others(connection)
    used, reserved = (_spent(connection, name), 0.0) if known is None or afresh else known
    row = {"name": name, "cap": cap, "used": used, "reserved": reserved}
    put(connection, budgets, {**row, "window_start": now(connection)})


def _others(connection: Connection) -> int:
    at_work = and_(ALIVE, workers.c.lease_until >= clock())
    gone = vanished(connection)
    chosen = select(func.count()).select_from(workers).where(at_work, workers.c.id.not_in(gone))
    return int(connection.scalar(chosen) or 0)


def _spent(connection: Connection, name: str) -> float:
    usage = usage_above(connection, 0)
    if name == "usd":
        return usage.known_usd
    return float(usage.tokens["prompt"] + usage.tokens["completion"])


def _exchange(
    connection: Connection, name: str, spent: float, back: float, least: float, most: float
) -> float:
    """Book `spent` and `back` out of a block; return a new block, 0 if `least` is not there."""
    mine = budgets.c.name == name
    row = connection.execute(select(budgets).where(mine).with_for_update()).one()
    used, reserved = row.used + spent, max(0.0, row.reserved - spent - back)
    left = row.cap - used - reserved
    block = (
        0.0
        if left < least or not most
        else min(left, max(least, min(most, left / SHARE_OF_A_BLOCK)))
    )
    connection.execute(update(budgets).where(mine).values(used=used, reserved=reserved + block))
    return float(block)


# One worker's share --------------------------------------------------------------------------


class Purse:
    """What one worker may spend of a budget. Belongs to one event loop."""

    def __init__(self, store: Store, name: str, cap: float) -> None:
        open_budget(store, name, cap)
        self._store, self.name, self._cap = store, name, cap
        self._left = 0.0  # of our blocks, neither spent nor set aside
        self._aside = 0.0
        self._spent = 0.0  # since it was last booked
        self._turn = asyncio.Lock()
        self._change = asyncio.Event()
        self._drained = False
        self.reached = False

    def __str__(self) -> str:
        unit = "USD" if self.name == "usd" else "tokens"
        return f"budget of {self._cap:,g} {unit} reached"

    async def take(self, amount: float) -> None:
        """Set `amount` aside, in the order of asking. Raises NotNow when it is not to be had."""
        async with self._turn:
            self._change.clear()
            while not await self._has(amount):
                if self._drained or not (self._aside or self._change.is_set()):
                    self.reached = not self._drained
                    raise NotNow(str(self))
                await self._change.wait()
                self._change.clear()
            self._left -= amount
            self._aside += amount

    def settle(self, amount: float, used: float) -> None:
        """Give back `amount` that was set aside, less what was used."""
        self._aside = max(0.0, self._aside - amount)
        self._left += amount - used
        self._spent += used
        self._change.set()

    def drain(self) -> None:
        """Let nobody wait any more."""
        self._drained = True
        self._change.set()

    async def close(self) -> None:
        """Book what was spent and give the rest of our blocks back."""
        spent, self._spent = self._spent, 0.0
        back, self._left = self._left + self._aside, 0.0
        await asyncio.to_thread(self._book, spent, back, 0.0, 0.0)

    async def _has(self, amount: float) -> bool:
        if self._left < amount and not self._drained and not self.reached:
            spent, self._spent = self._spent, 0.0
            least = amount - self._left
            most = max(least, CALLS_OF_A_BLOCK * amount)
            block = await asyncio.to_thread(self._book, spent, 0.0, least, most)
            self._left += block  # not before: calls settle meanwhile
        return self._left >= amount and not self._drained

    def _book(self, spent: float, back: float, least: float, most: float) -> float:
        return self._store.transact(lambda c: _exchange(c, self.name, spent, back, least, most))


def purses_of(store: Store, settings: RunSettings) -> list[Purse]:
    """Open the budgets that the settings name."""
    caps = {"usd": settings.budget_usd, "tokens": settings.budget_tokens}
    return [Purse(store, name, float(cap)) for name, cap in caps.items() if cap is not None]
