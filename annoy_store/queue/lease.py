"""A worker's lease: its row in `workers`, and the thread that renews it.

Decision: the heartbeat has a thread of its own, so that a worker does not count as dead during a
long commit or a slow inline job. A worker that was declared dead learns it from the next heartbeat
or claim, and stops.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Self

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from annoy_store.db.engine import Database
from annoy_store.errors import LeaseLost
from annoy_store.queue import workers
from annoy_store.queue.counters import fold_counters

logger = logging.getLogger(__name__)

HEARTBEATS_PER_LEASE = 3
UNREGISTER_SECONDS = 5.0  # if unregistering fails, others reclaim the jobs when the lease expires


class Lease:
    """Registers this process as a worker and renews its lease until it is closed.

    A context manager; leaving it unregisters the worker.

    Args:
        store: the store.
        stages: names of the stages that this worker works on.
        seconds: seconds until the lease expires unless it is renewed.
        on_loss: called from the heartbeat's thread when this worker was declared dead, or the file of
            the store is gone.
    """

    def __init__(
        self, store: Database, stages: Sequence[str], seconds: float, on_loss: Callable[[], None]
    ) -> None:
        self._store, self._seconds, self._on_loss = store, seconds, on_loss
        self.lost = threading.Event()
        self._closed = threading.Event()
        self.worker_id = store.transact(lambda c: workers.register_worker(c, stages, seconds))
        self._thread = threading.Thread(target=self._heartbeat, name="heartbeat", daemon=True)
        self._thread.start()

    def renew(self, connection: Connection) -> None:
        """Renew the lease within a write transaction.

        Raises:
            LeaseLost: this worker was declared dead.
        """
        workers.renew_lease(connection, self.worker_id, self._seconds)

    def _heartbeat(self) -> None:
        while not self._closed.wait(self._seconds / HEARTBEATS_PER_LEASE):
            if self._store.is_lost:
                logger.warning("the file of %s is gone: this run stops", self._store)
                self._on_loss()
                return
            try:
                self._store.transact(self.renew, timeout_seconds=self._seconds)
            except LeaseLost:
                self.lost.set()
                self._on_loss()
                return
            except DBAPIError:
                logger.info("cannot renew the lease of worker %d", self.worker_id)
                continue  # the lease is still valid; the next heartbeat may succeed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the heartbeat and unregister the worker."""
        self._closed.set()
        self._thread.join()
        self._store.transact(self._unregister, timeout_seconds=UNREGISTER_SECONDS)

    def _unregister(self, connection: Connection) -> None:
        workers.unregister_worker(connection, self.worker_id)
        fold_counters(connection)
