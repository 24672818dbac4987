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

from annoy_store.db.engine import Store
from annoy_store.errors import LostClaim
from annoy_store.queue import workers
from annoy_store.queue.counters import fold_counters

BEATS = 3  # in the time of one lease
LEAVING_SECONDS = 5.0  # a worker that cannot say goodbye is found dead by the others


class Lease:
    """One process's place in the workforce of a store."""

    def __init__(
        self, store: Store, stages: Sequence[str], seconds: float, on_loss: Callable[[], None]
    ) -> None:
        self._store, self._seconds, self._on_loss = store, seconds, on_loss
        self.lost = threading.Event()
        self._over = threading.Event()
        self.worker_id = store.transact(lambda c: workers.enlist(c, stages, seconds))
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def renew(self, connection: Connection) -> None:
        """Lengthen the lease within a transaction. Raises LostClaim."""
        workers.renew(connection, self.worker_id, self._seconds)

    def _beat(self) -> None:
        while not self._over.wait(self._seconds / BEATS):
            try:
                self._store.transact(self.renew, patience=self._seconds)
            except LostClaim:
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
        self._store.transact(self._retire, patience=LEAVING_SECONDS)

    def _retire(self, connection: Connection) -> None:
        workers.retire(connection, self.worker_id)
        fold_counters(connection)
