"""Lanes: where claimed jobs are worked on, outside any transaction.

Decisions
- A lane takes jobs, works on them, and puts how each ended into the worker's queue, in the order
  in which they end. It never touches the store, so the store has one client per process.
- `sandbox` work blocks in as many threads as there are slots. `asking` work is one asyncio loop in
  a thread of its own: thousands of calls in flight cost one process and flat memory.
- What a lane holds but has not begun is given back on `drain`; what is in flight is waited for.
- Calls that are not asked now (`NotNow`) go back as they were, with the tries that they took. A
  limit of 0 closes the asking lane: it takes nothing and gives back what it has not begun.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Protocol, cast

from annoy_store.errors import CallPostponed, EndpointUnavailable, JobReturned, SandboxError
from annoy_store.interfaces import Outcome, Row, Stage, StageContext, failed
from annoy_store.queue.jobs import Claim, JobResult

SANDBOX_TRIES = 4
RETRY_SECONDS = 2.0


@dataclass(frozen=True)
class Task:
    """A claimed job with what its stage reads."""

    claim: Claim
    stage: Stage
    row: Row
    tools: StageContext


@dataclass(frozen=True)
class Stopped:
    """A job that was not done because the run has to end; it goes back as it was, but for `made`."""

    claim: Claim
    error: EndpointUnavailable

    @property
    def made(self) -> JobResult | None:
        """What was made for the job until then, to be kept as it goes back; None if nothing was."""
        return JobResult(self.claim, given_back(self.error)) if self.error.rows else None


Results = SimpleQueue[JobResult | Stopped]


class Executor(Protocol):
    """Works on tasks; results go to the queue it was made with."""

    def free_capacity(self) -> int:
        """How many more tasks it is worth handing over now."""

    def submit(self, tasks: list[Task]) -> None: ...

    def in_progress(self) -> int:
        """How many tasks it has that have not ended."""

    def is_idle(self) -> bool:
        """True when it will soon have nothing to begin."""

    def drain(self) -> list[Claim]:
        """Give back what has not begun; begin nothing any more."""

    def close(self) -> None: ...


def given_back(undone: JobReturned) -> Outcome:
    """The end of a job that goes back as it was, with what was made for it."""
    return Outcome("pending", undone.rows)


def ending(claim: Claim, error: BaseException) -> JobResult | Stopped:
    """How a job ends whose work raised: the run stops, it is tried again, or it failed."""
    if isinstance(error, EndpointUnavailable):
        return Stopped(claim, error)
    if isinstance(error, CallPostponed):
        return JobResult(claim, given_back(error))
    detail = str(error) or None
    if isinstance(error, SandboxError) and claim.attempts < SANDBOX_TRIES:
        again = Outcome("deferred", (), "sandbox_error", detail)
        return JobResult(claim, again, RETRY_SECONDS * 4 ** (claim.attempts - 1))
    word = "sandbox_error" if isinstance(error, SandboxError) else type(error).__name__
    return JobResult(claim, failed(word, detail=detail))


def work_on(task: Task) -> JobResult | Stopped:
    """Do one job of a stage whose work is a plain function."""
    try:
        return JobResult(task.claim, cast(Outcome, task.stage.run(task.row, task.tools)))
    except Exception as error:
        return ending(task.claim, error)


class ThreadExecutor:
    """Blocking work in threads, as many as the sandbox has slots."""

    def __init__(self, results: Results, threads: int) -> None:
        self._results, self._threads = results, threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="sandbox-lane")
        self._waiting: deque[Task] = deque()
        self._running = 0
        self._lock = threading.Lock()

    def free_capacity(self) -> int:
        return max(0, 4 * self._threads - self.in_progress())

    def in_progress(self) -> int:
        return self._running + len(self._waiting)

    def is_idle(self) -> bool:
        return len(self._waiting) < self._threads

    def submit(self, tasks: list[Task]) -> None:
        with self._lock:
            self._waiting.extend(tasks)
        self._start()

    def _start(self) -> None:
        with self._lock:
            while self._waiting and self._running < self._threads:
                self._running += 1
                self._pool.submit(self._run, self._waiting.popleft())

    def _run(self, task: Task) -> None:
        self._results.put(work_on(task))  # before it counts as ended: nobody may miss it
        with self._lock:
            self._running -= 1
        self._start()

    def drain(self) -> list[Claim]:
        with self._lock:
            back = [task.claim for task in self._waiting]
            self._waiting.clear()
        return back

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


class AsyncExecutor:
    """Calls to teachers: one asyncio loop, at most `limit()` calls in flight.

    `drain` tells the teachers to begin no more tries.
    """

    def __init__(
        self, results: Results, limit: Callable[[], int], drain: Callable[[], None] = lambda: None
    ) -> None:
        self._results, self._limit, self._drain_teachers = results, limit, drain
        self._waiting: deque[Task] = deque()
        self._running = 0
        self._handed = self._ended = 0
        self._drained = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="asking-lane")
        self._thread.start()

    def free_capacity(self) -> int:
        limit = self._limit()
        return max(0, 2 * limit + 16 - self.in_progress()) if limit else 0

    def in_progress(self) -> int:
        return self._handed - self._ended

    def is_idle(self) -> bool:
        return 2 * len(self._waiting) < self._limit()

    def submit(self, tasks: list[Task]) -> None:
        self._handed += len(tasks)
        self._loop.call_soon_threadsafe(self._take, tasks)

    def _take(self, tasks: list[Task]) -> None:
        self._waiting.extend(tasks)
        self._start()

    def _start(self) -> None:
        limit = self._limit()
        while self._waiting and not self._drained and self._running < limit:
            self._running += 1
            self._loop.create_task(self._run(self._waiting.popleft()))
        if self._waiting and not limit:
            self._give_back()

    def _give_back(self) -> None:
        """Closed: what has not begun ends as it was."""
        for task in self._waiting:
            self._results.put(JobResult(task.claim, Outcome("pending")))
        self._ended += len(self._waiting)
        self._waiting.clear()

    async def _run(self, task: Task) -> None:
        try:
            asked = cast(Coroutine[Any, Any, Outcome], task.stage.run(task.row, task.tools))
            ended: JobResult | Stopped = JobResult(task.claim, await asked)
        except asyncio.CancelledError:
            ended = JobResult(task.claim, Outcome("pending"))
        except Exception as error:
            ended = ending(task.claim, error)
        self._results.put(ended)  # before it counts as ended: nobody may miss it
        self._running -= 1
        self._ended += 1
        self._start()

    def drain(self) -> list[Claim]:
        return asyncio.run_coroutine_threadsafe(self._drain(), self._loop).result()

    async def _drain(self) -> list[Claim]:
        self._drained = True
        self._drain_teachers()
        back = [task.claim for task in self._waiting]
        self._ended += len(back)
        self._waiting.clear()
        return back

    def call(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run something on the lane's loop and wait for it (teachers close there)."""
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def cancel(self) -> None:
        """Cancel what is in flight; each call ends as stopped."""
        asyncio.run_coroutine_threadsafe(self._cancel(), self._loop).result()

    async def _cancel(self) -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
