"""Rows of `batches` and `batch_items`: what is out, and in whose hands it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, bindparam, literal_column, select, update

from annoy_store.db.engine import Store
from annoy_store.db.sql import clock, listed
from annoy_store.db.tables import batch_items, batches, budgets, teachers
from annoy_store.db.timestamps import utc_now
from annoy_store.inference.budgets import batch_price, book
from annoy_store.queue.lease import Lease
from annoy_store.queue.variants import Agenda
from annoy_store.queue.workers import present

OPEN = batches.c.state != literal_column("'ended'")
PAGE = 2_000
T = TypeVar("T")


@dataclass(frozen=True)
class Held:
    """A batch as the store has it."""

    id: int
    name: str
    teacher_id: int
    model: str
    base_url: str
    state: str  # bound | exported | sent | ended
    status: str | None  # what the provider said last
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


def file_name(batch: Held) -> str:
    """How the file of a batch is called at the provider."""
    return f"annoy-{batch.name}.jsonl"


_COLUMNS = [
    teachers.c[name] if name in ("model", "base_url") else batches.c[name]
    for name in Held.__dataclass_fields__
]


@dataclass(frozen=True)
class Office:
    """Where one visit works: the store, a place in the workforce, and what rules there."""

    store: Store
    lease: Lease
    agenda: Agenda
    tries: int
    max_tokens: int

    @property
    def worker_id(self) -> int:
        return self.lease.worker_id

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in one transaction that renews the lease. Raises LostClaim."""

        def renewed(connection: Connection) -> T:
            self.lease.renew(connection)
            return work(connection)

        return self.store.transact(renewed)


def held(connection: Connection, *where: ColumnElement[bool]) -> list[Held]:
    """The batches where all of that holds, oldest first."""
    chosen = select(*_COLUMNS).join(teachers, teachers.c.id == batches.c.teacher_id)
    return [Held(*row) for row in connection.execute(chosen.where(*where).order_by(batches.c.id))]


def change(
    connection: Connection, batch_id: int, *where: ColumnElement[bool], **values: Any
) -> bool:
    """Change a batch, if all of that still holds; say whether it did."""
    mine = batches.c.id == batch_id
    return connection.execute(update(batches).where(mine, *where).values(**values)).rowcount == 1


def take_hold(connection: Connection, batch_id: int, worker_id: int) -> bool:
    """Take a batch into our hands unless somebody who is at work has it; say whether we have it."""
    others = [w for w in present(connection) if w != worker_id]
    free = batches.c.worker_id.is_(None) | batches.c.worker_id.not_in(others)
    return change(connection, batch_id, OPEN, free, worker_id=worker_id)


def open_calls(
    connection: Connection, batch_id: int, after: int = 0, most: int = PAGE
) -> list[int]:
    """The calls that a batch still has to answer, in the order of its file."""
    chosen = select(batch_items.c.call_id).where(
        batch_items.c.batch_id == batch_id, batch_items.c.open == 1, batch_items.c.call_id > after
    )
    return list(connection.scalars(chosen.order_by(batch_items.c.call_id).limit(most)))


def pages_of_calls(store: Store, batch_id: int) -> Iterator[list[int]]:
    """All calls that a batch still has to answer, page by page, each read by itself."""
    after = 0
    while True:
        with store.read() as connection:
            page = open_calls(connection, batch_id, after)
        if not page:
            return
        yield page
        after = page[-1]


def among_calls(chosen: Select[Any], connection: Connection, calls: Sequence[int]) -> list[Any]:
    """The rows of a SELECT over items that are of some calls."""
    narrowed = chosen.where(listed(batch_items.c.call_id, "of_calls"))
    return list(connection.execute(narrowed, {"of_calls": list(calls)}))


def close_items(connection: Connection, batch_id: int, calls: Sequence[int]) -> None:
    """Let a batch answer some calls no more."""
    connection.execute(
        update(batch_items)
        .where(batch_items.c.batch_id == bindparam("of_batch"))
        .where(listed(batch_items.c.call_id, "of_calls"))
        .values(open=0),
        {"of_batch": batch_id, "of_calls": list(calls)},
    )


def end(connection: Connection, batch: Held, **values: Any) -> None:
    """A batch is over: what was set aside for it is free again."""
    if not change(
        connection, batch.id, OPEN, state="ended", due_at=None, polled_at=utc_now(), **values
    ):
        return
    for name in connection.scalars(select(budgets.c.name)).all():
        price = batch_price(connection, name, batch.model)
        worst = price.of(batch.prompt_tokens, 0, batch.completion_tokens)
        book(connection, name, aside=-worst)


def due_now() -> ColumnElement[bool]:
    """True of batches that need not wait any longer."""
    return batches.c.due_at.is_(None) | (batches.c.due_at <= clock())
