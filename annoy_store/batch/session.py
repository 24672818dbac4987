"""One account at one endpoint: its batch teachers, its API client, and one pass over its batches."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement

from annoy_store.batch.rows import IS_OPEN, BatchContext, BatchRow, find_batches, update_batch
from annoy_store.config import RunSettings
from annoy_store.db.engine import Database
from annoy_store.inference.backends import ROLES, backend_and_model
from annoy_store.inference.backends.batch import BatchTeacher
from annoy_store.inference.budgeted_backend import DEFAULT_MAX_TOKENS
from annoy_store.inference.budgets import budget_caps, open_budget
from annoy_store.inference.client.base_url import normalised_url
from annoy_store.inference.client.errors import CONNECTION_ADVICE, CallError
from annoy_store.inference.client.providers import resolve_endpoint
from annoy_store.inference.prices import required_price
from annoy_store.queue.enqueue import enqueue_page
from annoy_store.queue.lease import Lease
from annoy_store.queue.variants import load_plan
from annoy_store.records.teachers import BATCH_BACKEND, OmittedParameters, register_teacher
from annoy_store.stages import PIPELINE
from annoy_store.stages.complete import STAGE

logger = logging.getLogger(__name__)

Teachers = Mapping[int, BatchTeacher]  # by their ids in `teachers`


def batch_teachers(store: Database, settings: RunSettings) -> dict[int, BatchTeacher]:
    """Enter the batch teachers that the settings name, and return them by id."""
    chosen = (backend_and_model(settings, kind) for kind in ROLES)
    models = sorted({model for backend, model in chosen if backend == BATCH_BACKEND}, key=str)
    opened = [BatchTeacher(settings, model) for model in models]
    teachers = {register_teacher(store, teacher): teacher for teacher in opened}
    share_omitted(store, teachers)
    return teachers


def share_omitted(store: Database, teachers: Teachers) -> None:
    """Tell the teachers which parameters their endpoints are known to refuse."""
    for teacher_id, teacher in teachers.items():
        teacher.share_omitted(OmittedParameters(store, teacher_id))


def partition_filter(
    settings: RunSettings, teachers: Teachers, teacher_id: int
) -> Callable[[Mapping[str, object]], bool]:
    """Return a function that decides which partitions of `complete` a teacher answers.

    These are the ones that are pinned to it, and the kinds of turn that the settings give to it.
    """
    mine = BATCH_BACKEND, teachers[teacher_id].identity.model

    def answers(columns: Mapping[str, object]) -> bool:
        pinned = columns.get("pinned_teacher_id")
        return pinned == teacher_id or (
            pinned == 0 and backend_and_model(settings, str(columns.get("kind"))) == mine
        )

    return answers


def open_budgets(store: Database, settings: RunSettings, teachers: Teachers) -> dict[str, float]:
    """Open the budgets that the settings name, and return their caps by name.

    Raises:
        UsageError: A budget is in USD and the price of a teacher's model is unknown.
    """
    for teacher in teachers.values() if settings.budget_usd else ():
        required_price(store, teacher.identity.model)
    for name, cap in budget_caps(settings).items():
        open_budget(store, name, cap)
    return budget_caps(settings)


@contextmanager
def open_context(store: Database, settings: RunSettings) -> Iterator[BatchContext]:
    """Register a worker for one pass, and enqueue missing jobs."""
    longest = settings.max_tokens or DEFAULT_MAX_TOKENS
    with Lease(store, [STAGE.name], settings.lease_seconds, lambda: None) as lease:
        plan = store.transact(lambda c: load_plan(c, PIPELINE))
        while store.transact(lambda c: enqueue_page(c, plan, lease.worker_id))[1]:
            continue
        yield BatchContext(store, lease, plan, settings.tries, longest)


class BatchSession:
    """One account at one endpoint.

    Without teachers it can manage open batches, and submit nothing.

    Args:
        store: The store.
        settings: The endpoint, budgets and limits.
        teachers: The teachers whose pending calls are to be submitted.

    Raises:
        UsageError: The settings lack something.
    """

    def __init__(self, store: Database, settings: RunSettings, teachers: Teachers) -> None:
        # Imported here, because `openai` is slow to import and rarely needed.
        from annoy_store.inference.client.batch_api import BatchApi

        self.store, self.settings, self.teachers = store, settings, teachers
        model = next((t.identity.model for t in teachers.values()), "any")
        endpoint = resolve_endpoint(settings, model)
        self.url, self._sent_key = normalised_url(endpoint.base_url), endpoint.sent_key
        self.api = BatchApi(endpoint)
        self.caps = open_budgets(store, settings, teachers)
        self.is_stopping: Callable[[], bool] = lambda: False

    def find(self, *where: ColumnElement[bool]) -> list[BatchRow]:
        """Return this endpoint's batches that fulfil all conditions, oldest first."""
        with self.store.read() as connection:
            return [b for b in find_batches(connection, *where) if b.base_url == self.url]

    def update(self, batch: BatchRow, *where: ColumnElement[bool], **values: Any) -> bool:
        """Change columns of an open batch, if all conditions hold; return whether they did."""
        return self.store.transact(lambda c: update_batch(c, batch.id, IS_OPEN, *where, **values))

    @contextmanager
    def start_pass(self) -> Iterator[BatchPass]:
        """Begin one pass, with a worker lease of its own."""
        open_budgets(self.store, self.settings, self.teachers)
        share_omitted(self.store, self.teachers)
        with open_context(self.store, self.settings) as context:
            yield BatchPass(self, context)

    def unavailable_message(self, reason: str) -> str:
        """Return the message that no call can succeed, and what to do."""
        return f"{self.url} rejected the request ({reason}): fix that, then run again"

    def error_message(self, error: CallError) -> str:
        """Return what happened and what to do, in one line."""
        if error.kind == "stop" and error.name in CONNECTION_ADVICE:
            advice = CONNECTION_ADVICE[error.name]
            return f"{self.url} cannot be reached ({error.message}): {advice}, then run again"
        if error.kind == "unreachable":
            return (
                f"{self.url} cannot be reached ({error.message}): nothing is lost, run again later"
            )
        if error.status in (404, 405):
            return (
                f"{self.url} has no Batch API ({error.reason}): use --teacher openai, or upload a "
                "file by hand: annoy batch export FILE"
            )
        if error.status in (401, 403):
            return f"{self.url} rejects the key ({error.reason}): {self._sent_key}"
        return self.unavailable_message(error.reason)


@dataclass
class BatchPass:
    """One pass over the batches of an account, and what it did.

    Attributes:
        session: The account.
        context: The store and the worker.
        job_states: Finished jobs, by stage and state.
        submitted: How many calls were submitted.
        changed: Whether any batch changed.
        problems: Messages about problems with single batches.
        exhausted_budget: The message of a budget that is reached.
        stop_reason: Why no call can succeed at the endpoint.
        unreachable_reason: Why the endpoint cannot be reached.
    """

    session: BatchSession
    context: BatchContext
    job_states: Counter[tuple[str, str]] = field(default_factory=Counter)
    submitted: int = 0
    changed: bool = False
    problems: list[str] = field(default_factory=list)
    exhausted_budget: str | None = None
    stop_reason: str | None = None
    unreachable_reason: str | None = None

    @property
    def is_finished(self) -> bool:
        """Return whether no more work should begin."""
        return bool(self.session.is_stopping() or self.stop_reason or self.unreachable_reason)

    def count(self, states: Mapping[str, int]) -> None:
        """Add how jobs of calls ended; those that are pending again have not."""
        finished = {(STAGE.name, state): n for state, n in states.items() if state != "pending"}
        self.job_states += Counter(finished)

    def for_each(
        self, batches: Sequence[BatchRow], do: Callable[[BatchPass, BatchRow], None]
    ) -> None:
        """Do something with batches one by one; an error of one does not affect the next."""
        for batch in batches:
            if self.is_finished:
                return
            try:
                do(self, batch)
            except CallError as error:
                logger.warning("batch %d: %s", batch.id, error.reason)
                self.problems.append(f"batch {batch.id}: {error.reason}")
                if error.kind == "unreachable":
                    self.unreachable_reason = self.session.error_message(error)
                elif not error.is_retryable:
                    self.stop_reason = self.session.error_message(error)
