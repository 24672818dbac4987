"""Budgets of money and tokens, which all workers of a store share, and nobody exceeds.

Decisions
- A budget covers what the store has cost in all, so a run that is started again goes on counting,
  and so does a fleet; each of its workers is to be given the same budget (in `annoy.toml`).
- A call sets its worst case aside before it is sent (budgeted_backend.py) and gives back what its
  usage leaves. So the cap holds; towards the end fewer calls are in flight, and less than one worst
  case stays unspent.
- A worker takes blocks from its row of `budgets` in transactions of their own: one serves some
  hundred calls. The block of a worker that was killed stays set aside until nobody is at work;
  the next to open the budget then counts afresh from `attempts`, which never lie.
- What a batch may cost at worst is set aside when its calls are bound (batching/), by the row of
  the batch, so no process has to wait for it: whoever counts afresh adds what is out.
- When the budget is reached the call goes back as it was. The run asks nothing more, and works on
  what it has: what was paid for is judged.
"""

from __future__ import annotations

import asyncio
from dataclasses import astuple

from sqlalchemy import Connection, and_, case, func, literal_column, select, update

from annoy_store.config import RunSettings
from annoy_store.db.engine import Store
from annoy_store.db.sql import clock, now, put
from annoy_store.db.tables import batches, budgets, teachers, workers
from annoy_store.db.views import BATCH_PART
from annoy_store.errors import NotNow
from annoy_store.inference.prices import PER_TOKEN, Price, latest_price
from annoy_store.inference.spend import usage_above
from annoy_store.queue.workers import ALIVE, vanished

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
    used, reserved = (
        (_spent(connection, name), _out(connection, name)) if known is None or afresh else known
    )
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


def _out(connection: Connection, name: str) -> float:
    """What the batches that are out may use at worst."""
    prompt, completion = batches.c.prompt_tokens, batches.c.completion_tokens
    chosen = select(teachers.c.model, func.sum(prompt), func.sum(completion)).join(teachers)
    out = chosen.where(batches.c.state != literal_column("'ended'")).group_by(teachers.c.model)
    return sum(
        batch_price(connection, name, model).of(int(p), 0, int(c))
        for model, p, c in connection.execute(out)
    )


def batch_price(connection: Connection, name: str, model: str) -> Price:
    """What tokens of a model, asked by batch, count against a budget; 0 if nobody knows."""
    if name == "tokens":
        return PER_TOKEN
    price = latest_price(connection, model) or Price(0.0, 0.0, 0.0)
    return Price(*(BATCH_PART * part for part in astuple(price)))


def room(connection: Connection, name: str) -> float:
    """What is left of a budget, neither spent nor set aside; locks its row."""
    row = connection.execute(select(budgets).where(budgets.c.name == name).with_for_update()).one()
    return float(row.cap - row.used - row.reserved)


def book(connection: Connection, name: str, used: float = 0.0, aside: float = 0.0) -> None:
    """Add to what a budget has used, and to what is set aside; nothing if there is no such budget."""
    left = budgets.c.reserved + aside
    connection.execute(
        update(budgets)
        .where(budgets.c.name == name)
        .values(used=budgets.c.used + used, reserved=case((left > 0.0, left), else_=0.0))
    )


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
        return told_reached(self.name, self._cap)

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
    return [Purse(store, name, cap) for name, cap in caps(settings).items()]


def caps(settings: RunSettings) -> dict[str, float]:
    """The budgets that the settings name."""
    known = {"usd": settings.budget_usd, "tokens": settings.budget_tokens}
    return {name: float(cap) for name, cap in known.items() if cap is not None}


def told_reached(name: str, cap: float) -> str:
    """Say that a budget is reached."""
    return f"budget of {cap:,g} {'USD' if name == 'usd' else 'tokens'} reached"
