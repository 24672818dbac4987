"""Executors: where claimed jobs run, outside any transaction.

Decisions
- An executor takes jobs, runs them, and puts how each ended into the worker's queue, in the order
  in which they end. It never uses the store, so the store has one client per process.
- Jobs of `sandbox` stages block in as many threads as the sandbox has slots. Jobs of `async` stages
  run on one asyncio loop in a thread of its own: thousands of calls in flight cost one process and
  constant memory.
- Jobs that an executor holds but has not begun are returned on `drain`; those in flight finish.
- Calls that are postponed (`CallPostponed`) are returned unchanged, with the attempts made so far.
  A limit of 0 closes the asyncio executor: it takes no jobs and returns those it has not begun.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Protocol, cast

from annoy_store.errors import EndpointUnavailable, JobReturned, SandboxError
from annoy_store.interfaces import Outcome, failed, rejected
from annoy_store.queue.jobs import Claim, JobResult
from annoy_store.worker.claim_cursor import ClaimedJob

SANDBOX_TRIES = 4
RETRY_SECONDS = 2.0
RESTART_SECONDS = 0.05  # a limit that rises while no job ends is seen after that

Results = SimpleQueue[JobResult]


class Executor(Protocol):
    """Runs jobs; results go to the queue that it was made with."""

    def free_capacity(self) -> int:
        """Return how many more jobs should be submitted now."""

    def submit(self, jobs: list[ClaimedJob]) -> None:
        """Take jobs to run; returns at once."""

    def in_progress(self) -> int:
        """Return how many submitted jobs have not ended."""

    def is_idle(self) -> bool:
        """Return whether it will soon have no job to start."""

    def drain(self) -> list[Claim]:
        """Return the claims of jobs that have not started, and start no more."""

    def close(self) -> None:
        """End its threads."""


def error_result(claim: Claim, error: BaseException) -> JobResult:
    """Return the result of a job whose stage raised an exception.

    Args:
        claim: the job.
        error: what the stage raised. A `JobReturned` returns the job with the rows made so far, and
            `EndpointUnavailable` also ends the run; a `SandboxError` defers it, with a growing
            delay, until `SANDBOX_TRIES` attempts are used; any other error fails it.
    """
    if isinstance(error, JobReturned):
        stop = error if isinstance(error, EndpointUnavailable) else None
        return JobResult(claim, Outcome("pending", error.rows), stop=stop)
    detail = str(error) or None
    if isinstance(error, SandboxError) and claim.attempts < SANDBOX_TRIES:
        again = Outcome("deferred", (), "sandbox_error", detail)
        return JobResult(claim, again, RETRY_SECONDS * 4 ** (claim.attempts - 1))
    reason = "sandbox_error" if isinstance(error, SandboxError) else type(error).__name__
    return JobResult(claim, failed(reason, detail=detail))


def _call(job: ClaimedJob) -> Outcome | Awaitable[Outcome]:
    """Call the job's stage; a subject that it no longer selects is rejected without a call."""
    return rejected("not_wanted") if job.row is None else job.stage.run(job.row, job.context)


def run_job(job: ClaimedJob) -> JobResult:
    """Run a job of a stage whose `run` is a plain function, and return how it ended."""
    try:
        return JobResult(job.claim, cast(Outcome, _call(job)))
    except Exception as error:
        return error_result(job.claim, error)


class ThreadExecutor:
    """Runs blocking jobs in threads, as many as the sandbox has slots."""

    def __init__(self, results: Results, threads: int) -> None:
        self._results, self._threads = results, threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="sandbox-executor")
        self._waiting: deque[ClaimedJob] = deque()
        self._running = 0
        self._lock = threading.Lock()

    def free_capacity(self) -> int:
        """Return how many more jobs may be submitted."""
        return max(0, 4 * self._threads - self.in_progress())

    def in_progress(self) -> int:
        """Return how many jobs are submitted and not ended."""
        return self._running + len(self._waiting)

    def is_idle(self) -> bool:
        """Return whether more jobs are needed to keep the executor busy."""
        return len(self._waiting) < self._threads

    def submit(self, jobs: list[ClaimedJob]) -> None:
        """Queue jobs; each result is put into the results."""
        with self._lock:
            self._waiting.extend(jobs)
        self._start()

    def _start(self) -> None:
        with self._lock:
            while self._waiting and self._running < self._threads:
                self._running += 1
                self._pool.submit(self._run, self._waiting.popleft())

    def _run(self, job: ClaimedJob) -> None:
        self._results.put(run_job(job))  # before it counts as ended, so that it is never missed
        with self._lock:
            self._running -= 1
        self._start()

    def drain(self) -> list[Claim]:
        """Return the claims of jobs that have not started, and start no more."""
        with self._lock:
            returned = [job.claim for job in self._waiting]
            self._waiting.clear()
        return returned

    def close(self) -> None:
        """Wait for the running jobs, and end the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class AsyncExecutor:
    """Runs calls to teachers on one asyncio loop.

    Args:
        results: the queue for the results.
        limit: returns how many calls may be in flight now; 0 closes the executor.
        drain_teachers: tells the teachers to start no more attempts; called on the loop.
    """

    def __init__(
        self,
        results: Results,
        limit: Callable[[], int],
        drain_teachers: Callable[[], None] = lambda: None,
    ) -> None:
        self._results, self._limit, self._drain_teachers = results, limit, drain_teachers
        self._waiting: deque[ClaimedJob] = deque()
        self._running = 0
        self._submitted = self._ended = 0
        self._drained = False
        self._restart: asyncio.TimerHandle | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="async-executor")
        self._thread.start()

    def free_capacity(self) -> int:
        """Return how many more jobs may be submitted."""
        limit = self._limit()
        return max(0, 2 * limit + 16 - self.in_progress()) if limit else 0

    def in_progress(self) -> int:
        """Return how many jobs are submitted and not ended."""
        return self._submitted - self._ended

    def is_idle(self) -> bool:
        """Return whether more jobs are needed to keep the executor busy."""
        return 2 * len(self._waiting) < self._limit()

    def submit(self, jobs: list[ClaimedJob]) -> None:
        """Queue jobs; each result is put into the results."""
        self._submitted += len(jobs)
        self._loop.call_soon_threadsafe(self._add, jobs)

    def _add(self, jobs: list[ClaimedJob]) -> None:
        self._waiting.extend(jobs)
        self._start()

    def _start(self) -> None:
        limit = self._limit()
        while self._waiting and not self._drained and self._running < limit:
            self._running += 1
            self._loop.create_task(self._run(self._waiting.popleft()))
        if self._waiting and not limit:
            self._return_waiting()
        if self._restart is not None:
            self._restart.cancel()
        if self._waiting and not self._drained:
            self._restart = self._loop.call_later(RESTART_SECONDS, self._start)

    def _return_waiting(self) -> None:
        """The limit is 0: return the jobs that have not begun unchanged."""
        for job in self._waiting:
            self._results.put(JobResult(job.claim, Outcome("pending")))
        self._ended += len(self._waiting)
        self._waiting.clear()

    async def _run(self, job: ClaimedJob) -> None:
        try:
            outcome = _call(job)
            if not isinstance(outcome, Outcome):
                outcome = await outcome
            result = JobResult(job.claim, outcome)
        except asyncio.CancelledError:
            result = JobResult(job.claim, Outcome("pending"))
        except Exception as error:
            result = error_result(job.claim, error)
        self._results.put(result)  # before it counts as ended, so that it is never missed
        self._running -= 1
        self._ended += 1
        self._start()

    def drain(self) -> list[Claim]:
        """Return the claims of jobs that have not started, and start no more."""
        return asyncio.run_coroutine_threadsafe(self._drain(), self._loop).result()

    async def _drain(self) -> list[Claim]:
        self._drained = True
        self._drain_teachers()
        returned = [job.claim for job in self._waiting]
        self._ended += len(returned)
        self._waiting.clear()
        return returned

    def call(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the executor's loop and wait for it (teachers are closed there)."""
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def cancel(self) -> None:
        """Cancel the calls in flight; each of their jobs is returned unchanged."""
        asyncio.run_coroutine_threadsafe(self._cancel(), self._loop).result()

    async def _cancel(self) -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    def close(self) -> None:
        """Stop the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
