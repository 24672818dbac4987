"""The host side of one zygote: starts it, sends requests, reads its frames, ends it.

A zygote is a warm interpreter that forks a child for each call.

Decisions
- All zygotes of a sandbox are started by one thread that lives as long as the sandbox: Linux
  signals a child when the *thread* that started it ends.
- Every wait has a deadline. A zygote that is late, gone or inconsistent raises ZygoteError; the
  caller kills it and tries once more in a fresh one.
- Standard error is kept in a file only until the first message: it says why the isolation could
  not be set up.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any

from annoy_store.errors import UsageError
from annoy_store.interfaces import Limits, Program
from annoy_store.sandbox.interpreter import (
    RUNNER,
    Interpreter,
    environment_variables,
    readable_paths,
)

START_SECONDS = 180.0
COMPILE_SECONDS = 10.0
GRACE_SECONDS = 15.0
MAX_FRAME_BYTES = 1 << 28


# What an option of `ulimit` limits, its unit in bytes or seconds, and the policy that needs it.
ULIMITS = {
    "v": ("MB of address space", 1 << 20, "memory_mb"),
    "d": ("MB of data", 1 << 20, "memory_mb"),
    "t": ("s of CPU time", 1, "cpu_seconds"),
}


class ZygoteError(Exception):
    """The zygote failed; nothing is known about the code that it ran."""


class LimitTooLow(UsageError):
    """A hard limit that this process inherited gives a call less than its policy says."""

    def __init__(self, option: str, allowed: int, needed: int) -> None:
        """Say what to change.

        Args:
            option: The option of `ulimit` that shows the limit: a key of `ULIMITS`.
            allowed: What it allows, in bytes or seconds.
            needed: What a call may need, in the same unit.
        """
        what, unit, policy = ULIMITS[option]
        super().__init__(
            f"a call may need {-(-needed // unit)} {what}, and this process may have"
            f" {allowed // unit} (ulimit -{option}): raise that limit where this process is"
            f" started, or lower the policy: annoy policy {policy}=.."
        )


@dataclass(frozen=True)
class IsolationLevel:
    """How a zygote is isolated.

    Attributes:
        name: `strong`, `fallback` or `minimum`.
        command: The command that precedes the interpreter, such as bubblewrap with its options.
        runner_path: Path of the runner as the zygote sees it.
        tmpfs_paths: Writable folders inside; once they were used, the zygote is replaced.
        subprocesses: Whether code may start processes.
    """

    name: str
    command: tuple[str, ...] = ()
    runner_path: str = str(RUNNER)
    tmpfs_paths: tuple[str, ...] = ()
    subprocesses: bool = False


@dataclass(frozen=True)
class SandboxRequest:
    """A program and the tasks that a zygote has to run.

    Attributes:
        program: The untrusted code.
        limits: Limits of each task.
        tasks: Inputs as JSON texts, or random seeds if `known_inputs` is given.
        known_inputs: Canonical JSON of inputs that were drawn before; None if tasks are inputs.
        share_process: Whether tasks may share a process while they succeed.
        only_together: Whether the request ends at the first task that fails in a shared process.
        draw_only: Whether inputs are drawn and not called.
    """

    program: Program
    limits: Limits
    tasks: Sequence[Any]
    known_inputs: Sequence[str] | None = None
    share_process: bool = False
    only_together: bool = False
    draw_only: bool = False


@dataclass(frozen=True)
class ZygoteReply:
    """One frame: `header` is the process state, seen by the zygote; `payload` is untrusted."""

    header: Mapping[str, Any]
    payload: bytes


class ZygoteProcess:
    """One warm interpreter process. Not thread-safe: one slot at a time uses it.

    Attributes:
        n_calls: How many tasks it has run.
        environment_seed: Selects its hash seed, random seed and clock.
        kill_blocked: Whether code in it cannot send SIGKILL to itself.
    """

    def __init__(
        self,
        level: IsolationLevel,
        interpreter: Interpreter,
        preload: Sequence[str],
        environment_seed: int,
        spawner: ThreadPoolExecutor,
    ) -> None:
        """Start the process and wait until it is ready.

        Args:
            level: The isolation level.
            interpreter: The interpreter that runs the samples.
            preload: Modules to import in advance.
            environment_seed: Selects hash seed, random seed and clock; 0 for first runs.
            spawner: The executor whose single thread starts processes.

        Raises:
            ZygoteError: It did not become ready.
            OSError: It could not be started.
        """
        self.n_calls = 0
        self.environment_seed = environment_seed
        self._socket, child_socket = socket.socketpair()
        with tempfile.TemporaryFile() as errors:
            try:
                with child_socket:
                    self._process = spawner.submit(
                        _spawn, level, interpreter, environment_seed, child_socket, errors
                    ).result()
                self._handshake(level, interpreter, preload)
            except BaseException as error:
                self.kill()
                raise _with_errors(error, errors) from error

    def _handshake(
        self, level: IsolationLevel, interpreter: Interpreter, preload: Sequence[str]
    ) -> None:
        setup = {
            "rung": level.name,
            "readable": readable_paths(interpreter),
            "preload": list(preload),
            "world": self.environment_seed,
            "scratch": level.tmpfs_paths,
            "subprocesses": level.subprocesses,
        }
        self._send(setup)
        header = self._receive(START_SECONDS).header
        self.kill_blocked = bool(header["guarded"])

    def run(self, request: SandboxRequest, compile_in_child: bool = False) -> Iterator[ZygoteReply]:
        """Run each task of a request and yield the replies, in order.

        Ends early when the zygote asks to be replaced, and where tasks run only together at the
        first that fails.

        Args:
            request: The program and its tasks.
            compile_in_child: Keep the program away from the zygote's own compiler.

        Raises:
            LimitTooLow: The zygote cannot have what the request's limits say; it has ended.
            ZygoteError: The zygote is late, gone or inconsistent.
        """
        self._send(
            {**_to_message(request), "careful": compile_in_child, "world": self.environment_seed}
        )
        self._receive(COMPILE_SECONDS)
        for _ in request.tasks:
            reply = self._receive(request.limits.ceiling_seconds + GRACE_SECONDS)
            if "ended_early" in reply.header:
                return
            self.n_calls += 1
            yield reply
            if reply.header.get("recycle"):
                self.n_calls = 1 << 30
                return

    def measure(self, forks: int = 0) -> Mapping[str, Any]:
        """Return the resources that this zygote has used: descriptors, peak memory, time per fork.

        Args:
            forks: How many bare forks to make and time; 0 for none.

        Raises:
            ZygoteError: The zygote is late, gone or inconsistent.
        """
        self._send({"measure": forks})
        return self._receive(START_SECONDS).header

    def close(self) -> None:
        """End an idle zygote: it exits by itself when the connection is closed."""
        self._socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        self.kill()

    def kill(self) -> None:
        """End a zygote that may be busy, with all processes that it started."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        process: subprocess.Popen[bytes] | None = getattr(self, "_process", None)
        if process is not None:
            process.kill()
            process.wait()

    def _send(self, message: Mapping[str, Any]) -> None:
        data = json.dumps(message).encode()
        try:
            self._socket.settimeout(START_SECONDS)
            self._socket.sendall(struct.pack("<I", len(data)) + data)
        except OSError as error:
            raise ZygoteError(f"the zygote does not accept requests ({error})") from error

    def _receive(self, seconds: float) -> ZygoteReply:
        deadline = time.monotonic() + seconds
        header_size, payload_size = struct.unpack("<II", self._read_exactly(8, deadline))
        if header_size + payload_size > MAX_FRAME_BYTES:
            raise ZygoteError("the zygote sent too large a frame")
        header = json.loads(self._read_exactly(header_size, deadline))
        if "too_low" in header:
            raise LimitTooLow(**header["too_low"])
        if "trouble" in header:
            raise ZygoteError(header["trouble"])
        return ZygoteReply(header, self._read_exactly(payload_size, deadline))

    def _read_exactly(self, length: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < length:
            left = deadline - time.monotonic()
            if left <= 0:
                raise ZygoteError("the zygote did not answer in time")
            try:
                self._socket.settimeout(left)
                chunk = self._socket.recv(length - len(data))
            except OSError as error:
                raise ZygoteError(f"the zygote did not answer ({error})") from error
            if not chunk:
                raise ZygoteError("the zygote is gone")
            data += chunk
        return bytes(data)


def _spawn(
    level: IsolationLevel,
    interpreter: Interpreter,
    environment_seed: int,
    child_socket: socket.socket,
    errors: IO[bytes],
) -> subprocess.Popen[bytes]:
    python = [
        interpreter.path,
        "-S",
        "-s",
        "-B",
        level.runner_path,
        str(child_socket.fileno()),
        process_label(),
    ]
    return subprocess.Popen(
        [*level.command, *python],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        cwd="/",
        env=environment_variables(environment_seed),
        pass_fds=[child_socket.fileno()],
        start_new_session=True,
    )


def process_label() -> str:
    """Return the argument that marks the processes started by this process in `ps`."""
    return f"host={os.getpid()}"


def _with_errors(error: BaseException, errors: IO[bytes]) -> BaseException:
    errors.seek(0)
    text = errors.read(2000).decode(errors="replace").strip()
    if not text or not isinstance(error, ZygoteError | OSError):
        return error
    return ZygoteError(f"{error}: {text.splitlines()[-1]}")


def _to_message(request: SandboxRequest) -> dict[str, Any]:
    program, limits, is_draw = request.program, request.limits, request.known_inputs is not None
    return {
        "code": program.code,
        "entry": program.entry,
        "generator": program.generator,
        "seeds" if is_draw else "inputs": list(request.tasks),
        "inputs" if is_draw else "seeds": None,
        "known": list(request.known_inputs or ()),
        "together": request.share_process,
        "only_together": request.only_together,
        "draw_only": request.draw_only,
        "cpu": limits.cpu_seconds,
        "wall": limits.wall_seconds,
        "ceiling": limits.ceiling_seconds,
        "memory_mb": limits.memory_mb,
        "output_bytes": limits.output_bytes,
        "lines": limits.lines,
    }
