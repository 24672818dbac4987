"""The hands of a worker: its sandbox and its teachers, opened when first needed.

Decision: one sandbox and one teacher per (backend, model) serve the whole process, because a
sandbox knows its slots and a teacher's limiter knows its endpoint.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import cast

from sqlalchemy import select

from annoy_store import teachers as backends
from annoy_store.asking import teacher_digest
from annoy_store.contracts import TURN_KINDS, New, Sandbox, Teacher
from annoy_store.database import Store
from annoy_store.identity import canonical
from annoy_store.sandbox import open_sandbox
from annoy_store.settings import RunSettings
from annoy_store.tables import teachers
from annoy_store.writing import write


class Hands:
    """Opens the sandbox and the teachers that the settings name, once each."""

    def __init__(self, store: Store, settings: RunSettings) -> None:
        self._store, self._settings = store, settings
        self._lock = threading.Lock()
        self._sandbox: Sandbox | None = None
        self._teachers: dict[int, Teacher] = {}
        self._by_kind: dict[str, int] = {}

    def sandbox(self) -> Sandbox:
        """The sandbox. Raises UsageError when none works here."""
        with self._lock:
            if self._sandbox is None:
                self._sandbox = open_sandbox(
                    slots=self._settings.slots,
                    python=self._settings.python,
                    unsafe=self._settings.unsafe_no_sandbox,
                    allow_subprocess=self._settings.allow_subprocess,
                )
            return self._sandbox

    def open_teachers(self) -> None:
        """Open the teachers of all kinds of turn and enter them in the store."""
        opened: dict[tuple[str, str | None], int] = {}
        for kind in TURN_KINDS:
            choice = backends.choice(self._settings, kind)
            if choice not in opened:
                teacher = backends.open_backend(choice[0], self._settings, choice[1])
                if hasattr(teacher, "use_sandbox"):
                    teacher.use_sandbox(self.sandbox)
                opened[choice] = self._enter(teacher)
            self._by_kind[kind] = opened[choice]

    def _enter(self, teacher: Teacher) -> int:
        who = teacher.identity
        named = teacher_digest(who.backend, who.model, who.base_url, who.parameters)
        row = {
            "digest": named, "backend": who.backend, "model": who.model,
            "base_url": who.base_url, "parameters": canonical(dict(who.parameters)),
        }  # fmt: skip
        with self._store.write() as connection:
            write(connection, [New(teachers, row)])
            key = connection.scalar(select(teachers.c.id).where(teachers.c.digest == named))
        self._teachers[cast(int, key)] = teacher
        return cast(int, key)

    def teacher(self, kind: str, pinned_teacher_id: int) -> tuple[int, Teacher]:
        """The teacher of a kind of turn, or the pinned one, with its id."""
        chosen = pinned_teacher_id or self._by_kind[kind]
        return chosen, self._teachers[chosen]

    @property
    def teachers(self) -> Mapping[int, Teacher]:
        return self._teachers

    def answers(self, only: Mapping[str, object]) -> bool:
        """True when these teachers can answer calls narrowed to `only` (kind, pinned teacher)."""
        pinned = only.get("pinned_teacher_id")
        return pinned == 0 or pinned in self._teachers

    def limit(self) -> int:
        """How many calls may be in flight now."""
        capacity = sum(teacher.capacity for teacher in self._teachers.values())
        return min(self._settings.max_connections, max(1, capacity))

    def drain_teachers(self) -> None:
        """Begin no more tries; to be called on the loop that the teachers live in."""
        for teacher in self._teachers.values():
            teacher.drain()

    async def close_teachers(self) -> None:
        for teacher in self._teachers.values():
            await teacher.close()

    def close(self) -> None:
        if self._sandbox is not None:
            self._sandbox.close()
