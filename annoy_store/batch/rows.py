"""Rows of `batches` and `batch_items`: which batches are open, and which run works on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, bindparam, literal_column, select, update

from annoy_store.db.engine import Database
from annoy_store.db.sql import clock, in_parameter
from annoy_store.db.tables import batch_items, batches, budgets, teachers
from annoy_store.db.timestamps import utc_now
from annoy_store.inference.budgets import adjust_budget, batch_price
from annoy_store.queue.lease import Lease
from annoy_store.queue.variants import StagePlan
from annoy_store.queue.workers import live_workers

IS_OPEN = batches.c.state != literal_column("'ended'")
PAGE = 2_000
T = TypeVar("T")


@dataclass(frozen=True)
class BatchRow:
    """A batch as the store has it, with the columns of `batches` and of its teacher."""

    id: int
    name: str
    teacher_id: int
    model: str
    base_url: str
    state: str  # bound | exported | sent | ended
    status: str | None  # the last that the provider reported
    remote_id: str | None
    input_file: str | None
    output_file: str | None
    error_file: str | None
    n_calls: int
    n_answered: int
    n_failed: int
    prompt_tokens: int
    completion_tokens: int
    refusals: int
    due_at: float | None
    created_at: str
    polled_at: str | None
    error: str | None


def input_file_name(batch: BatchRow) -> str:
    """Return the name of a batch's input file at the provider."""
    return f"annoy-{batch.name}.jsonl"


_COLUMNS = [
    teachers.c[name] if name in ("model", "base_url") else batches.c[name]
    for name in BatchRow.__dataclass_fields__
]


@dataclass(frozen=True)
class BatchContext:
    """Store, worker lease and stage plan for one batch pass.

    Attributes:
        store: The store.
        lease: The lease of the worker that the pass is.
        plan: The active variants.
        tries: How many counted tries a call has.
        max_tokens: The longest answer, in tokens.
    """

    store: Database
    lease: Lease
    plan: StagePlan
    tries: int
    max_tokens: int

    @property
    def worker_id(self) -> int:
        """Id of the worker that holds the lease."""
        return self.lease.worker_id

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in one transaction that renews the lease, and return its result.

        Raises:
            LeaseLost: Other workers have declared this one dead.
        """

        def renewed(connection: Connection) -> T:
            self.lease.renew(connection)
            return work(connection)

        return self.store.transact(renewed)


def find_batches(connection: Connection, *where: ColumnElement[bool]) -> list[BatchRow]:
    """Return the batches that fulfil all conditions, oldest first."""
    chosen = select(*_COLUMNS).join(teachers, teachers.c.id == batches.c.teacher_id)
    rows = connection.execute(chosen.where(*where).order_by(batches.c.id))
    return [BatchRow(*row) for row in rows]


def update_batch(
    connection: Connection, batch_id: int, *where: ColumnElement[bool], **values: Any
) -> bool:
    """Change columns of a batch, if all conditions still hold; return whether they did."""
    mine = batches.c.id == batch_id
    return connection.execute(update(batches).where(mine, *where).values(**values)).rowcount == 1


def acquire_batch(connection: Connection, batch_id: int, worker_id: int) -> bool:
    """Take an open batch for a worker, unless another live one has it; return whether it has it."""
    others = [w for w in live_workers(connection) if w != worker_id]
    free = batches.c.worker_id.is_(None) | batches.c.worker_id.not_in(others)
    return update_batch(connection, batch_id, IS_OPEN, free, worker_id=worker_id)


def open_calls(
    connection: Connection, batch_id: int, after: int = 0, most: int = PAGE
) -> list[int]:
    """Return the calls of a batch without a result, in the order of its file.

    Args:
        connection: The store.
        batch_id: The batch.
        after: Only calls with a higher id.
        most: At most this many.

    Returns:
        Ids of `calls`.
    """
    chosen = select(batch_items.c.call_id).where(
        batch_items.c.batch_id == batch_id,
        batch_items.c.is_open == 1,
        batch_items.c.call_id > after,
    )
    return list(connection.scalars(chosen.order_by(batch_items.c.call_id).limit(most)))


def open_call_pages(store: Database, batch_id: int) -> Iterator[list[int]]:
    """Yield all calls of a batch without a result, each page read in a transaction of its own."""
    after = 0
    while True:
        with store.read() as connection:
            page = open_calls(connection, batch_id, after)
        if not page:
            return
        yield page
        after = page[-1]


def rows_of_calls(chosen: Select[Any], connection: Connection, calls: Sequence[int]) -> list[Any]:
    """Return the rows of a SELECT over `batch_items` that belong to some calls."""
    narrowed = chosen.where(in_parameter(batch_items.c.call_id, "of_calls"))
    return list(connection.execute(narrowed, {"of_calls": list(calls)}))


def close_items(connection: Connection, batch_id: int, calls: Sequence[int]) -> None:
    """Mark calls of a batch as no longer open in it."""
    connection.execute(
        update(batch_items)
        .where(batch_items.c.batch_id == bindparam("of_batch"))
        .where(in_parameter(batch_items.c.call_id, "of_calls"))
        .values(is_open=0),
        {"of_batch": batch_id, "of_calls": list(calls)},
    )


def end_batch(connection: Connection, batch: BatchRow, **values: Any) -> None:
    """Mark a batch as ended and release what the budgets have reserved for it."""
    if not update_batch(
        connection, batch.id, IS_OPEN, state="ended", due_at=None, polled_at=utc_now(), **values
    ):
        return
    for name in connection.scalars(select(budgets.c.name)).all():
        price = batch_price(connection, name, batch.model)
        most = price.cost(batch.prompt_tokens, 0, batch.completion_tokens)
        adjust_budget(connection, name, reserved=-most)


def is_due() -> ColumnElement[bool]:
    """Return the condition that a batch need not wait any longer."""
    return batches.c.due_at.is_(None) | (batches.c.due_at <= clock())
