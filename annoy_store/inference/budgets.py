"""Budgets of money and tokens, which all workers of a store share and never exceed.

Decisions
- A budget covers what the store has cost in all, so a run that is started again goes on counting,
  and so does a run on many machines; each worker is to be given the same budget (in `annoy.toml`).
- A call reserves its maximum cost before it is sent (budgeted_backend.py), and what its usage
  leaves is released. So the cap holds; near the end fewer calls are in flight, and less than one
  maximum cost stays unspent.
- A worker takes blocks from the budget's row in transactions of their own: one block serves some
  hundred calls. The block of a worker that was killed stays reserved until no worker is active;
  the next to open the budget then recomputes spending from the attempts table.
- What a batch may cost at most is reserved when its calls are (batch/reserve.py), by the row of the
  batch, so no process has to wait for it: recomputing adds the open batches.
- When the budget is reached the call returns to pending. The run sends no more calls, and processes
  the answers that it has: what was paid for is verified.
"""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy import Connection, case, func, literal_column, select, update

from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.db.sql import now, upsert
from annoy_store.db.tables import batches, budgets, teachers
from annoy_store.errors import CallPostponed
from annoy_store.inference.prices import PER_TOKEN, Price, latest_price
from annoy_store.inference.spend import usage_since
from annoy_store.queue.workers import live_workers

logger = logging.getLogger(__name__)

CALLS_PER_BLOCK = 64
BLOCK_DIVISOR = 4  # a block is at most this part of what is left

# The row of a budget -------------------------------------------------------------------------


def open_budget(store: Database, name: str, cap: float) -> None:
    """Set the cap of a budget; recompute its spending unless a worker is active.

    Args:
        store: The store.
        name: `usd` or `tokens`.
        cap: The most that the store may cost in all, in USD or tokens.
    """
    store.transact(lambda connection: _open(connection, name, cap))


def _open(connection: Connection, name: str, cap: float) -> None:
    known = connection.execute(
        select(budgets.c.used, budgets.c.reserved).where(budgets.c.name == name).with_for_update()
    ).first()
    if known is None or not live_workers(connection):
        used, reserved = _spent(connection, name), _reserved_by_batches(connection, name)
    else:
        used, reserved = known
    row = {"name": name, "cap": cap, "used": used, "reserved": reserved}
    upsert(connection, budgets, {**row, "window_start": now(connection)})


def _spent(connection: Connection, name: str) -> float:
    usage = usage_since(connection, 0)
    if name == "usd":
        return usage.known_usd
    return float(usage.tokens["prompt"] + usage.tokens["completion"])


def _reserved_by_batches(connection: Connection, name: str) -> float:
    """Return what the open batches may use at most."""
    prompt, completion = batches.c.prompt_tokens, batches.c.completion_tokens
    chosen = select(teachers.c.model, func.sum(prompt), func.sum(completion)).join(teachers)
    is_open = batches.c.state != literal_column("'ended'")
    return sum(
        batch_price(connection, name, model).cost(int(p), 0, int(c))
        for model, p, c in connection.execute(chosen.where(is_open).group_by(teachers.c.model))
    )


def batch_price(connection: Connection, name: str, model: str) -> Price:
    """Return what the tokens of a batch count against a budget.

    Args:
        connection: The store.
        name: The budget, `usd` or `tokens`.
        model: The model that answers.

    Returns:
        The batch price in USD, 0 if it is unknown; for a budget of tokens 1 for each.
    """
    if name == "tokens":
        return PER_TOKEN
    price = latest_price(connection, model) or Price(0.0, 0.0, 0.0)
    return price.billed("batch")


def remaining_budget(connection: Connection, name: str) -> float:
    """Return what is neither used nor reserved of a budget, in USD or tokens; locks its row.

    Args:
        connection: A write transaction.
        name: Name of the budget, e.g. `usd`.
    """
    row = connection.execute(select(budgets).where(budgets.c.name == name).with_for_update()).one()
    return float(row.cap - row.used - row.reserved)


def adjust_budget(
    connection: Connection, name: str, used: float = 0.0, reserved: float = 0.0
) -> None:
    """Add to what is used and reserved of a budget; nothing happens if there is no such budget.

    Args:
        connection: The store.
        name: The budget.
        used: USD or tokens to add to what is used.
        reserved: USD or tokens to add to what is reserved; negative to release.
    """
    left = budgets.c.reserved + reserved
    connection.execute(
        update(budgets)
        .where(budgets.c.name == name)
        .values(used=budgets.c.used + used, reserved=case((left > 0.0, left), else_=0.0))
    )


def _exchange_block(
    connection: Connection, name: str, spent: float, back: float, least: float, most: float
) -> float:
    """Settle `spent` and `back` of a block; return a new block, 0 if there is less than `least`."""
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
    """What one worker may spend of a budget. Belongs to one event loop.

    Args:
        store: The store.
        name: `usd` or `tokens`.
        cap: The most that the store may cost in all, in USD or tokens.
    """

    def __init__(self, store: Database, name: str, cap: float) -> None:
        open_budget(store, name, cap)
        self._store, self.name, self._cap = store, name, cap
        self._available = 0.0  # of our blocks, neither spent nor reserved
        self._reserved = 0.0
        self._spent = 0.0  # since the last exchange with the store
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self._drained = False
        self.reached = False

    def __str__(self) -> str:
        return budget_reached_message(self.name, self._cap)

    async def reserve(self, amount: float) -> None:
        """Reserve `amount` USD or tokens, in the order of asking.

        Raises:
            CallPostponed: The budget is reached, or the share was drained.
        """
        async with self._lock:
            self._changed.clear()
            while not await self._is_available(amount):
                if self._drained or not (self._reserved or self._changed.is_set()):
                    self._note_reached()
                    raise CallPostponed(str(self))
                await self._changed.wait()
                self._changed.clear()
            self._available -= amount
            self._reserved += amount

    def settle(self, amount: float, used: float) -> None:
        """Release a reservation of `amount`, of which `used` was spent."""
        self._reserved = max(0.0, self._reserved - amount)
        self._available += amount - used
        self._spent += used
        self._changed.set()

    def drain(self) -> None:
        """End all waits: `reserve` raises CallPostponed from now on."""
        self._drained = True
        self._changed.set()

    async def close(self) -> None:
        """Record in the store what was spent, and release the rest of our blocks."""
        spent, self._spent = self._spent, 0.0
        back, self._available = self._available + self._reserved, 0.0
        await asyncio.to_thread(self._exchange_with_store, spent, back, 0.0, 0.0)

    def _note_reached(self) -> None:
        if not self._drained and not self.reached:
            logger.info("%s: no more calls are sent", self)
        self.reached = not self._drained

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
    """Open this worker's share of every budget that the settings name.

    Args:
        store: The store, where all workers book.
        settings: `budget_usd` in USD and `budget_tokens` in tokens; none means no share.
    """
    return [BudgetShare(store, name, cap) for name, cap in budget_caps(settings).items()]


def budget_caps(settings: RunSettings) -> dict[str, float]:
    """Return the caps of the budgets that the settings name: `usd` in USD, `tokens` in tokens."""
    known = {"usd": settings.budget_usd, "tokens": settings.budget_tokens}
    return {name: float(cap) for name, cap in known.items() if cap is not None}


def budget_reached_message(name: str, cap: float) -> str:
    """Return the message that a budget is reached."""
    return f"budget of {cap:,g} {'USD' if name == 'usd' else 'tokens'} reached"
