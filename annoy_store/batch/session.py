"""One account at one endpoint: who answers by batch there, how it is talked to, and one visit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement

from annoy_store.batch.rows import OPEN, Held, Office, change, held
from annoy_store.config import RunSettings
from annoy_store.db.engine import Store
from annoy_store.inference.backends import choice
from annoy_store.inference.backends.batch import BatchTeacher
from annoy_store.inference.budgeted_backend import LONGEST_ANSWER
from annoy_store.inference.budgets import caps, open_budget
from annoy_store.inference.client.errors import Fault
from annoy_store.inference.client.providers import normal_url, resolve
from annoy_store.inference.prices import price_of
from annoy_store.interfaces import TURN_KINDS
from annoy_store.queue.enqueue import plan_page
from annoy_store.queue.lease import Lease
from annoy_store.queue.variants import draw_up
from annoy_store.records.teachers import BATCH, enter_teacher
from annoy_store.stages import PIPELINE
from annoy_store.stages.complete import STAGE

Teachers = Mapping[int, BatchTeacher]


def batch_teachers(store: Store, settings: RunSettings) -> dict[int, BatchTeacher]:
    """The teachers by batch that the settings name, entered in the store, by id."""
    chosen = (choice(settings, kind) for kind in TURN_KINDS)
    models = sorted({model for backend, model in chosen if backend == BATCH}, key=str)
    opened = [BatchTeacher(settings, model) for model in models]
    return {enter_teacher(store, teacher): teacher for teacher in opened}


def answered_by(
    settings: RunSettings, teachers: Teachers, teacher_id: int
) -> Callable[[Mapping[str, object]], bool]:
    """Tell which cases a teacher answers: those pinned to it, and kinds that name it."""
    mine = BATCH, teachers[teacher_id].identity.model

    def answers(only: Mapping[str, object]) -> bool:
        pinned = only.get("pinned_teacher_id")
        return pinned == teacher_id or (
            pinned == 0 and choice(settings, str(only.get("kind"))) == mine
        )

    return answers


def budgets_of(store: Store, settings: RunSettings, teachers: Teachers) -> dict[str, float]:
    """Open the budgets that the settings name. Raises UsageError if a price is unknown."""
    for teacher in teachers.values() if settings.budget_usd else ():
        price_of(store, teacher.identity.model)
    for name, cap in caps(settings).items():
        open_budget(store, name, cap)
    return caps(settings)


@contextmanager
def office_of(store: Store, settings: RunSettings) -> Iterator[Office]:
    """Open a place to work at for one visit; jobs that are wanted and missing are entered."""
    longest = settings.max_tokens or LONGEST_ANSWER
    with Lease(store, [STAGE.name], settings.lease_seconds, lambda: None) as lease:
        agenda = store.transact(lambda c: draw_up(c, PIPELINE))
        while store.transact(lambda c: plan_page(c, agenda, lease.worker_id))[1]:
            continue
        yield Office(store, lease, agenda, settings.tries, longest)


class Account:
    """What a clerk works with. Raises UsageError for what is missing.

    Without teachers it can look after what is out, and hand in nothing.
    """

    def __init__(self, store: Store, settings: RunSettings, teachers: Teachers) -> None:
        from annoy_store.inference.client.batch_api import (
            BatchWire,  # `openai`: slow, and rarely needed
        )

        self.store, self.settings, self.teachers = store, settings, teachers
        endpoint = resolve(settings, next((t.identity.model for t in teachers.values()), "any"))
        self.url, self._key_env = normal_url(endpoint.base_url), endpoint.key_env
        self.wire = BatchWire(endpoint)
        self.caps = budgets_of(store, settings, teachers)
        self.stopping: Callable[[], bool] = lambda: False

    def found(self, *where: ColumnElement[bool]) -> list[Held]:
        """Our batches where all of that holds, oldest first."""
        with self.store.read() as connection:
            return [b for b in held(connection, *where) if b.base_url == self.url]

    def note(self, batch: Held, *where: ColumnElement[bool], **values: Any) -> bool:
        """Change a batch that has not ended, if all of that holds; say whether it did."""
        return self.store.transact(lambda c: change(c, batch.id, OPEN, *where, **values))

    @contextmanager
    def visit(self) -> Iterator[Visit]:
        """One visit, with a lease of its own."""
        budgets_of(self.store, self.settings, self.teachers)
        with office_of(self.store, self.settings) as office:
            yield Visit(self, office)

    def told(self, words: str) -> str:
        """Say that nobody gets an answer, and what to do."""
        return f"{self.url} answers nobody ({words}): mend that, then run again"

    def advice(self, fault: Fault) -> str:
        """Say what happened and what to do, in one line."""
        if fault.kind == "unreachable":
            return f"{self.url} cannot be reached ({fault.words}): nothing is lost, run again later"
        if fault.status in (404, 405):
            return (
                f"{self.url} has no Batch API ({fault.reason}): use --teacher openai, or hand a "
                "file in yourself: annoy batch export FILE"
            )
        if fault.status in (401, 403):
            return f"{self.url} refuses the key in {self._key_env} ({fault.reason})"
        return self.told(fault.reason)


@dataclass
class Visit:
    """One visit and what it did: jobs that ended, calls handed in, what it could not do."""

    account: Account
    office: Office
    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    sent: int = 0
    moved: bool = False  # something is otherwise than it was
    troubles: list[str] = field(default_factory=list)
    spent: str | None = None  # a budget that is reached
    stop: str | None = None  # why nobody gets an answer
    away: str | None = None  # why nobody is there

    @property
    def is_over(self) -> bool:
        return bool(self.account.stopping() or self.stop or self.away)

    def note(self, states: Mapping[str, int]) -> None:
        """Add how jobs of calls ended."""
        self.ended += Counter({(STAGE.name, s): n for s, n in states.items() if s != "pending"})

    def each(self, found: Sequence[Held], do: Callable[[Visit, Held], None]) -> None:
        """Deal with batches one by one; trouble with one is no trouble of the next."""
        for batch in found:
            if self.is_over:
                return
            try:
                do(self, batch)
            except Fault as fault:
                self.troubles.append(f"batch {batch.id}: {fault.reason}")
                if fault.kind == "unreachable":
                    self.away = self.account.advice(fault)
                elif not fault.again:
                    self.stop = self.account.advice(fault)
