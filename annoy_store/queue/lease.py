"""A worker's lease: its row in the workforce, and the thread that keeps it alive.

The heartbeat has a thread of its own, so that a long commit or a slow inline job does not look
like a death. Whoever was declared dead finds out at the next beat or claim, and stops.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Self

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from annoy_store.db.engine import Database
from annoy_store.errors import LeaseLost
from annoy_store.queue import workers
from annoy_store.queue.counters import fold_counters

BEATS_PER_LEASE = 3  # in the time of one lease
UNREGISTER_SECONDS = 5.0  # a worker that cannot say goodbye is found dead by the others


class Lease:
    """One process's place in the workforce of a store."""

    def __init__(
        self, store: Database, stages: Sequence[str], seconds: float, on_loss: Callable[[], None]
    ) -> None:
        self._store, self._seconds, self._on_loss = store, seconds, on_loss
        self.lost = threading.Event()
        self._over = threading.Event()
        self.worker_id = store.transact(lambda c: workers.register_worker(c, stages, seconds))
        self._thread = threading.Thread(target=self._heartbeat, name="heartbeat", daemon=True)
        self._thread.start()

    def renew(self, connection: Connection) -> None:
        """Lengthen the lease within a transaction. Raises LostClaim."""
        workers.renew_lease(connection, self.worker_id, self._seconds)

    def _heartbeat(self) -> None:
        while not self._over.wait(self._seconds / BEATS_PER_LEASE):
            try:
                self._store.transact(self.renew, timeout_seconds=self._seconds)
            except LeaseLost:
                self.lost.set()
                self._on_loss()
                return
            except DBAPIError:
                continue  # the lease goes on running out; the next beat tells

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave in good order."""
        self._over.set()
        self._thread.join()
        self._store.transact(self._unregister, timeout_seconds=UNREGISTER_SECONDS)

    def _unregister(self, connection: Connection) -> None:
        workers.unregister_worker(connection, self.worker_id)
        fold_counters(connection)
