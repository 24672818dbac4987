"""One account at one endpoint: who answers by batch there, how it is talked to, and one visit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement

from annoy_store.batch.rows import IS_OPEN, BatchContext, BatchRow, find_batches, update_batch
from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.inference.backends import backend_and_model
from annoy_store.inference.backends.batch import BatchTeacher
from annoy_store.inference.budgeted_backend import DEFAULT_MAX_TOKENS
from annoy_store.inference.budgets import budget_caps, open_budget
from annoy_store.inference.client.errors import CallError
from annoy_store.inference.client.providers import normalised_url, resolve_endpoint
from annoy_store.inference.prices import required_price
from annoy_store.interfaces import TURN_KINDS
from annoy_store.queue.enqueue import enqueue_page
from annoy_store.queue.lease import Lease
from annoy_store.queue.variants import load_plan
from annoy_store.records.teachers import BATCH_BACKEND, register_teacher
from annoy_store.stages import PIPELINE
from annoy_store.stages.complete import STAGE

Teachers = Mapping[int, BatchTeacher]


def batch_teachers(store: Database, settings: RunSettings) -> dict[int, BatchTeacher]:
    """The teachers by batch that the settings name, entered in the store, by id."""
    chosen = (backend_and_model(settings, kind) for kind in TURN_KINDS)
    models = sorted({model for backend, model in chosen if backend == BATCH_BACKEND}, key=str)
    opened = [BatchTeacher(settings, model) for model in models]
    return {register_teacher(store, teacher): teacher for teacher in opened}


def partition_filter(
    settings: RunSettings, teachers: Teachers, teacher_id: int
) -> Callable[[Mapping[str, object]], bool]:
    """Tell which cases a teacher answers: those pinned to it, and kinds that name it."""
    mine = BATCH_BACKEND, teachers[teacher_id].identity.model

    def answers(only: Mapping[str, object]) -> bool:
        pinned = only.get("pinned_teacher_id")
        return pinned == teacher_id or (
            pinned == 0 and backend_and_model(settings, str(only.get("kind"))) == mine
        )

    return answers


def open_budgets(store: Database, settings: RunSettings, teachers: Teachers) -> dict[str, float]:
    """Open the budgets that the settings name. Raises UsageError if a price is unknown."""
    for teacher in teachers.values() if settings.budget_usd else ():
        required_price(store, teacher.identity.model)
    for name, cap in budget_caps(settings).items():
        open_budget(store, name, cap)
    return budget_caps(settings)


@contextmanager
def open_context(store: Database, settings: RunSettings) -> Iterator[BatchContext]:
    """Open a place to work at for one visit; jobs that are wanted and missing are entered."""
    longest = settings.max_tokens or DEFAULT_MAX_TOKENS
    with Lease(store, [STAGE.name], settings.lease_seconds, lambda: None) as lease:
        agenda = store.transact(lambda c: load_plan(c, PIPELINE))
        while store.transact(lambda c: enqueue_page(c, agenda, lease.worker_id))[1]:
            continue
        yield BatchContext(store, lease, agenda, settings.tries, longest)


class BatchSession:
    """What a clerk works with. Raises UsageError for what is missing.

    Without teachers it can look after what is out, and hand in nothing.
    """

    def __init__(self, store: Database, settings: RunSettings, teachers: Teachers) -> None:
        from annoy_store.inference.client.batch_api import (
            BatchApi,  # `openai`: slow, and rarely needed
        )

        self.store, self.settings, self.teachers = store, settings, teachers
        endpoint = resolve_endpoint(
            settings, next((t.identity.model for t in teachers.values()), "any")
        )
        self.url, self._key_env = normalised_url(endpoint.base_url), endpoint.key_env
        self.api = BatchApi(endpoint)
        self.caps = open_budgets(store, settings, teachers)
        self.is_stopping: Callable[[], bool] = lambda: False

    def find(self, *where: ColumnElement[bool]) -> list[BatchRow]:
        """Our batches where all of that holds, oldest first."""
        with self.store.read() as connection:
            return [b for b in find_batches(connection, *where) if b.base_url == self.url]

    def update(self, batch: BatchRow, *where: ColumnElement[bool], **values: Any) -> bool:
        """Change a batch that has not ended, if all of that holds; say whether it did."""
        return self.store.transact(lambda c: update_batch(c, batch.id, IS_OPEN, *where, **values))

    @contextmanager
    def start_pass(self) -> Iterator[BatchPass]:
        """One visit, with a lease of its own."""
        open_budgets(self.store, self.settings, self.teachers)
        with open_context(self.store, self.settings) as office:
            yield BatchPass(self, office)

    def unavailable_message(self, words: str) -> str:
        """Say that nobody gets an answer, and what to do."""
        return f"{self.url} answers nobody ({words}): mend that, then run again"

    def error_message(self, fault: CallError) -> str:
        """Say what happened and what to do, in one line."""
        if fault.kind == "unreachable":
            return (
                f"{self.url} cannot be reached ({fault.message}): nothing is lost, run again later"
            )
        if fault.status in (404, 405):
            return (
                f"{self.url} has no Batch API ({fault.reason}): use --teacher openai, or hand a "
                "file in yourself: annoy batch export FILE"
            )
        if fault.status in (401, 403):
            return f"{self.url} refuses the key in {self._key_env} ({fault.reason})"
        return self.unavailable_message(fault.reason)


@dataclass
class BatchPass:
    """One visit and what it did: jobs that ended, calls handed in, what it could not do."""

    session: BatchSession
    context: BatchContext
    job_states: Counter[tuple[str, str]] = field(default_factory=Counter)
    submitted: int = 0
    changed: bool = False  # something is otherwise than it was
    problems: list[str] = field(default_factory=list)
    exhausted_budget: str | None = None  # a budget that is reached
    stop_reason: str | None = None  # why nobody gets an answer
    unreachable_reason: str | None = None  # why nobody is there

    @property
    def is_finished(self) -> bool:
        return bool(self.session.is_stopping() or self.stop_reason or self.unreachable_reason)

    def count(self, states: Mapping[str, int]) -> None:
        """Add how jobs of calls ended."""
        self.job_states += Counter(
            {(STAGE.name, s): n for s, n in states.items() if s != "pending"}
        )

    def for_each(
        self, found: Sequence[BatchRow], do: Callable[[BatchPass, BatchRow], None]
    ) -> None:
        """Deal with batches one by one; trouble with one is no trouble of the next."""
        for batch in found:
            if self.is_finished:
                return
            try:
                do(self, batch)
            except CallError as fault:
                self.problems.append(f"batch {batch.id}: {fault.reason}")
                if fault.kind == "unreachable":
                    self.unreachable_reason = self.session.error_message(fault)
                elif not fault.is_retryable:
                    self.stop_reason = self.session.error_message(fault)
