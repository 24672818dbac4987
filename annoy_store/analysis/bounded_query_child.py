"""The process that runs one query within limits; started by `bounded_query.py`, which reads it."""

from __future__ import annotations

import ctypes
import json
import math
import os
import re
import resource
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import IO, Any

import pyarrow as pa

from annoy_store.analysis.bounded_query import TOO_MUCH_MEMORY, write_frame
from annoy_store.analysis.snapshot import query as snapshot
from annoy_store.analysis.sql import run_query
from annoy_store.db.duckdb_session import prevent_pandas_import
from annoy_store.db.engine import connect
from annoy_store.errors import UsageError

BATCH_ROWS = 1_000
_PR_SET_PDEATHSIG = 1  # prctl(2)
_ARROW_TYPES: dict[type, pa.DataType] = {
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    bytes: pa.binary(),
    bool: pa.bool_(),
}


def main() -> None:
    """Run the query of the request on stdin and write frames to stdout.

    Arguments: a folder for temporary files, and the process id of the caller.
    """
    tempfile.tempdir = sys.argv[1]
    _die_with_parent(int(sys.argv[2]))
    prevent_pandas_import()
    out, request = os.fdopen(os.dup(1), "wb"), json.loads(sys.stdin.buffer.read())
    set_limits(request["seconds"], request["memory_bytes"])
    try:
        _answer(out, request)
    except UsageError as error:
        body = {"type": type(error).__name__, "message": str(error)}
        write_frame(out, b"E", json.dumps(body).encode())
    except Exception as error:  # whatever a database makes of memory that it is not given
        body = {"type": "UsageError", "message": _failure(error)}
        write_frame(out, b"E", json.dumps(body).encode())


def _failure(error: Exception) -> str:
    words = f"{type(error).__name__}: {error}"
    if re.search(r"memory|bad_alloc|start new thread|Resource temporarily", words, re.IGNORECASE):
        return TOO_MUCH_MEMORY
    return f"the query failed: {words}"


def _die_with_parent(parent: int) -> None:
    """End this process with its parent, also when that has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def set_limits(seconds: float, memory_bytes: int) -> None:
    """Limit the CPU time and the address space of this process.

    Args:
        seconds: how long the query may take; the CPU time is that of all cores.
        memory_bytes: what may be added to the address space that is in use now.
    """
    cpu = math.ceil(seconds * (os.cpu_count() or 1)) + 5
    _lower(resource.RLIMIT_CPU, cpu)
    _lower(resource.RLIMIT_AS, _address_space() + memory_bytes)
    _lower(resource.RLIMIT_CORE, 0)


def _lower(kind: int, limit: int) -> None:
    """Set a limit, never above the one that is in force."""
    soft, hard = resource.getrlimit(kind)
    known = [n for n in (soft, hard, limit) if n != resource.RLIM_INFINITY]
    resource.setrlimit(kind, (min(known), hard))


def _address_space() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 1 << 30


def _answer(out: IO[bytes], request: Mapping[str, Any]) -> None:
    store = connect(request["url"])
    arguments = store, request["query"], request["values"], request["seconds"]
    running = run_query(*arguments) if request["live"] else snapshot.query(*arguments, fresh=False)
    with running as found:
        write_frame(out, b"C", json.dumps(found.columns).encode())
        while rows := list(islice(found.rows, BATCH_ROWS)):
            write_frame(out, b"B", batch_bytes(rows))
    write_frame(out, b"D")


def batch_bytes(rows: Sequence[tuple[Any, ...]]) -> bytes:
    """Return rows as one Arrow IPC stream; the field of a column of JSON is named `json`."""
    columns = [_column(values) for values in zip(*rows, strict=True)]
    schema = pa.schema([pa.field(name, array.type) for name, array in columns])
    batch = pa.RecordBatch.from_arrays([array for _, array in columns], schema=schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def _column(values: Sequence[Any]) -> tuple[str, pa.Array]:
    types = {type(value) for value in values if value is not None}
    kind = next(iter(types)) if len(types) == 1 else None
    if not types:
        return "null", pa.nulls(len(values))
    if kind in _ARROW_TYPES and not (kind is int and _is_wide(values)):
        return "value", pa.array(values, type=_ARROW_TYPES[kind])
    return "json", pa.array([None if v is None else _json(v) for v in values], type=pa.string())


def _is_wide(values: Iterator[Any] | Sequence[Any]) -> bool:
    return any(value is not None and not -(2**63) <= value < 2**63 for value in values)


def _json(value: Any) -> str:
    return json.dumps(value, default=lambda v: v.hex() if isinstance(v, bytes) else str(v))


if __name__ == "__main__":
    main()
