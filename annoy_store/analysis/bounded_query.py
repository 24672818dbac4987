"""A query that somebody typed, run in a process of its own with limits that the kernel keeps.

A database checks its time limit between steps, and one step may be a function that runs for minutes
and takes gigabytes. So the process that runs the query has limits of memory and CPU time, and is
killed when its time is over.

Decisions
- The rows come back as Arrow batches over a pipe, never as pickles. A column whose values have
  several types, or one that Arrow would change, is sent as JSON.
- The snapshot is refreshed before, in the caller's process: that is the package's own work.
- The process gets a new folder for temporary files, which is removed when it is killed, too.
- Queries of the package itself need no such process, nor does a query that a program passes to
  `run_query`: it runs in the user's own process.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

import pyarrow as pa

from annoy_store.analysis.snapshot.query import NotInSnapshot, refresh_snapshot
from annoy_store.analysis.sql import QueryResult, Value
from annoy_store.db.engine import Database
from annoy_store.errors import UsageError

MEMORY_BYTES = 4 << 30  # more than DuckDB's own limit, which covers its buffers only
GRACE_SECONDS = 0.5  # for the database to stop at its own time limit, with its own message
_ERRORS = {"NotInSnapshot": NotInSnapshot}
_CHILD = "annoy_store.analysis.bounded_query_child"
TOO_MUCH_MEMORY = "the query needs too much memory and was stopped; narrow it"


@contextmanager
def run_bounded(
    store: Database,
    query: str,
    values: Mapping[str, Value] | None = None,
    seconds: float = 600.0,
    *,
    live: bool = False,
    memory_bytes: int = MEMORY_BYTES,
) -> Iterator[QueryResult]:
    """Run one read-only statement in a process with limits, and stream its rows.

    Args:
        store: the store.
        query: one SELECT, or another statement that only reads.
        values: values of named parameters; `:name` in the query stands for `values[name]`.
        seconds: time limit.
        live: query the store itself, not its snapshot.
        memory_bytes: address space that the query may use.

    Raises:
        NotInSnapshot: the query names a text that only the store has.
        UsageError: the text is not one reading statement, has a mistake, takes longer than
            `seconds`, or needs too much memory; here or while the rows are read.
    """
    if not live:
        refresh_snapshot(store)
    request = {
        "url": store.url.render_as_string(hide_password=False),
        "query": query,
        "values": dict(values or {}),
        "seconds": seconds,
        "live": live,
        "memory_bytes": memory_bytes,
    }
    with (
        tempfile.TemporaryDirectory(prefix="annoy-", ignore_cleanup_errors=True) as folder,
        _process(folder) as process,
    ):
        timer = _Timer(process, seconds + GRACE_SECONDS)
        try:
            frames = _frames(process, json.dumps(request).encode(), timer)
            columns = tuple(json.loads(next(frames)))
            yield QueryResult(columns, _rows(frames))
        finally:
            timer.cancel()


@contextmanager
def _process(folder: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start the process, and kill it at the end; Ctrl-C reaches this process only."""
    with subprocess.Popen(
        [sys.executable, "-m", _CHILD, folder, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


class _Timer:
    """Kills a process when its time is over."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self.seconds = seconds - GRACE_SECONDS
        self.is_over = False
        self._process = process
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._timer.start()

    def _end(self) -> None:
        self.is_over = True
        self._process.kill()

    def cancel(self) -> None:
        self._timer.cancel()
        self._timer.join()


def _frames(process: subprocess.Popen[bytes], request: bytes, timer: _Timer) -> Iterator[bytes]:
    """Send the request and yield the frames of the answer: its columns, then its batches.

    Raises:
        UsageError: the process says what is wrong with the query, or ended before its last frame.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(request)
        process.stdin.close()
    except BrokenPipeError:
        pass
    while frame := read_frame(process.stdout):
        kind, body = frame[:1], frame[1:]
        if kind == b"E":
            error = json.loads(body)
            raise _ERRORS.get(error["type"], UsageError)(error["message"])
        if kind == b"D":
            return
        yield body
    code = process.wait()
    if timer.is_over or code == -signal.SIGXCPU:
        raise UsageError(
            f"the query took longer than {timer.seconds:g} s and was stopped; "
            "narrow it or raise --seconds"
        )
    raise UsageError(TOO_MUCH_MEMORY if code < 0 else f"the query ended with exit code {code}")


def _rows(frames: Iterator[bytes]) -> Iterator[tuple[Any, ...]]:
    for body in frames:
        batch = pa.ipc.open_stream(body).read_all()
        columns = [_values(batch, i) for i in range(batch.num_columns)]
        yield from zip(*columns, strict=True)


def _values(batch: pa.Table, i: int) -> list[Any]:
    values: list[Any] = batch.column(i).to_pylist()
    if batch.schema.field(i).name != "json":
        return values
    return [None if value is None else json.loads(value) for value in values]


# Frames: 4 bytes of length, then a letter (C columns, B batch, E error, D done) and its body ----


def read_frame(stream: IO[bytes]) -> bytes:
    """Return the next frame; empty at the end of the stream, also inside a frame."""
    head = stream.read(4)
    if len(head) < 4:
        return b""
    (length,) = struct.unpack(">I", head)
    body = stream.read(length)
    return body if len(body) == length else b""


def write_frame(stream: IO[bytes], kind: bytes, body: bytes = b"") -> None:
    """Write a frame."""
    stream.write(struct.pack(">I", len(body) + 1) + kind + body)
    stream.flush()
