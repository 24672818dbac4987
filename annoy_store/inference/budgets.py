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
from annoy_store.db.engine import Database
from annoy_store.db.sql import clock, now, upsert
from annoy_store.db.tables import batches, budgets, teachers, workers
from annoy_store.db.views import BATCH_PRICE_FACTOR
from annoy_store.errors import CallPostponed
from annoy_store.inference.prices import PER_TOKEN, Price, latest_price
from annoy_store.inference.spend import usage_since
from annoy_store.queue.workers import IS_ALIVE, dead_local_workers

CALLS_PER_BLOCK = 64
BLOCK_DIVISOR = 4  # a block is at most this part of what is left

# The row -------------------------------------------------------------------------------------


def open_budget(store: Database, name: str, cap: float) -> None:
    """Set the cap of a budget; count afresh what was spent unless somebody is at work."""
    store.transact(lambda connection: _open(connection, name, cap))


def _open(connection: Connection, name: str, cap: float) -> None:
    known = connection.execute(
        select(budgets.c.used, budgets.c.reserved).where(budgets.c.name == name).with_for_update()
    ).first()
    afresh = known is None or not _n_live_workers(connection)
    used, reserved = (
        (_spent(connection, name), _reserved_by_batches(connection, name))
        if known is None or afresh
        else known
    )
    row = {"name": name, "cap": cap, "used": used, "reserved": reserved}
    upsert(connection, budgets, {**row, "window_start": now(connection)})


def _n_live_workers(connection: Connection) -> int:
    at_work = and_(IS_ALIVE, workers.c.lease_until >= clock())
    gone = dead_local_workers(connection)
    chosen = select(func.count()).select_from(workers).where(at_work, workers.c.id.not_in(gone))
    return int(connection.scalar(chosen) or 0)


def _spent(connection: Connection, name: str) -> float:
    usage = usage_since(connection, 0)
    if name == "usd":
        return usage.known_usd
    return float(usage.tokens["prompt"] + usage.tokens["completion"])


def _reserved_by_batches(connection: Connection, name: str) -> float:
    """What the batches that are out may use at worst."""
    prompt, completion = batches.c.prompt_tokens, batches.c.completion_tokens
    chosen = select(teachers.c.model, func.sum(prompt), func.sum(completion)).join(teachers)
    out = chosen.where(batches.c.state != literal_column("'ended'")).group_by(teachers.c.model)
    return sum(
        batch_price(connection, name, model).cost(int(p), 0, int(c))
        for model, p, c in connection.execute(out)
    )


def batch_price(connection: Connection, name: str, model: str) -> Price:
    """What tokens of a model, asked by batch, count against a budget; 0 if nobody knows."""
    if name == "tokens":
        return PER_TOKEN
    price = latest_price(connection, model) or Price(0.0, 0.0, 0.0)
    return Price(*(BATCH_PRICE_FACTOR * part for part in astuple(price)))


def remaining_budget(connection: Connection, name: str) -> float:
    """What is left of a budget, neither spent nor set aside; locks its row."""
    row = connection.execute(select(budgets).where(budgets.c.name == name).with_for_update()).one()
    return float(row.cap - row.used - row.reserved)


def adjust_budget(
    connection: Connection, name: str, used: float = 0.0, reserved: float = 0.0
) -> None:
    """Add to what a budget has used, and to what is set aside; nothing if there is no such budget."""
    left = budgets.c.reserved + reserved
    connection.execute(
        update(budgets)
        .where(budgets.c.name == name)
        .values(used=budgets.c.used + used, reserved=case((left > 0.0, left), else_=0.0))
    )


def _exchange_block(
    connection: Connection, name: str, spent: float, back: float, least: float, most: float
) -> float:
    """Book `spent` and `back` out of a block; return a new block, 0 if `least` is not there."""
    mine = budgets.c.name == name
    row = connection.execute(select(budgets).where(mine).with_for_update()).one()
    used, reserved = row.used + spent, max(0.0, row.reserved - spent - back)
    left = row.cap - used - reserved
    block = (
        0.0 if left < least or not most else min(left, max(least, min(most, left / BLOCK_DIVISOR)))
    )
    connection.execute(update(budgets).where(mine).values(used=used, reserved=reserved + block))
    return float(block)


# One worker's share --------------------------------------------------------------------------


class BudgetShare:
    """What one worker may spend of a budget. Belongs to one event loop."""

    def __init__(self, store: Database, name: str, cap: float) -> None:
        open_budget(store, name, cap)
        self._store, self.name, self._cap = store, name, cap
        self._available = 0.0  # of our blocks, neither spent nor set aside
        self._reserved = 0.0
        self._spent = 0.0  # since it was last booked
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self._drained = False
        self.reached = False

    def __str__(self) -> str:
        return budget_reached_message(self.name, self._cap)

    async def reserve(self, amount: float) -> None:
        """Set `amount` aside, in the order of asking. Raises NotNow when it is not to be had."""
        async with self._lock:
            self._changed.clear()
            while not await self._is_available(amount):
                if self._drained or not (self._reserved or self._changed.is_set()):
                    self.reached = not self._drained
                    raise CallPostponed(str(self))
                await self._changed.wait()
                self._changed.clear()
            self._available -= amount
            self._reserved += amount

    def settle(self, amount: float, used: float) -> None:
        """Give back `amount` that was set aside, less what was used."""
        self._reserved = max(0.0, self._reserved - amount)
        self._available += amount - used
        self._spent += used
        self._changed.set()

    def drain(self) -> None:
        """Let nobody wait any more."""
        self._drained = True
        self._changed.set()

    async def close(self) -> None:
        """Book what was spent and give the rest of our blocks back."""
        spent, self._spent = self._spent, 0.0
        back, self._available = self._available + self._reserved, 0.0
        await asyncio.to_thread(self._exchange_with_store, spent, back, 0.0, 0.0)

    async def _is_available(self, amount: float) -> bool:
        if self._available < amount and not self._drained and not self.reached:
            spent, self._spent = self._spent, 0.0
            least = amount - self._available
            most = max(least, CALLS_PER_BLOCK * amount)
            block = await asyncio.to_thread(self._exchange_with_store, spent, 0.0, least, most)
            self._available += block  # not before: calls settle meanwhile
        return self._available >= amount and not self._drained

    def _exchange_with_store(self, spent: float, back: float, least: float, most: float) -> float:
        return self._store.transact(
            lambda c: _exchange_block(c, self.name, spent, back, least, most)
        )


def budget_shares(store: Database, settings: RunSettings) -> list[BudgetShare]:
    """Open the budgets that the settings name."""
    return [BudgetShare(store, name, cap) for name, cap in budget_caps(settings).items()]


def budget_caps(settings: RunSettings) -> dict[str, float]:
    """The budgets that the settings name."""
    known = {"usd": settings.budget_usd, "tokens": settings.budget_tokens}
    return {name: float(cap) for name, cap in known.items() if cap is not None}


def budget_reached_message(name: str, cap: float) -> str:
    """Say that a budget is reached."""
    return f"budget of {cap:,g} {'USD' if name == 'usd' else 'tokens'} reached"
