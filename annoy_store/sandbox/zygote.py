"""The host's end of one zygote: start it, hand it a request, read its frames, end it.

Decisions
- All zygotes of a sandbox are started by one thread that lives as long as the sandbox: Linux
  tells a child of its parent's death when the *thread* that started it dies.
- Every wait has a deadline. A zygote that is late, gone or odd is Trouble: the caller ends it and
  tries once more in a fresh one.
- Standard error is kept in a file only until the hello: it says why a wall could not be built.
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


class ZygoteError(Exception):
    """The zygote failed us; nothing is known about the code that it ran."""


@dataclass(frozen=True)
class IsolationLevel:
    """How a zygote is walled in: the command before the interpreter, and what it is told."""

    name: str
    command: tuple[str, ...] = ()
    runner_path: str = str(RUNNER)
    tmpfs_paths: tuple[str, ...] = ()
    subprocesses: bool = False


@dataclass(frozen=True)
class SandboxRequest:
    """What a zygote is to do: run a program with each input, or with one drawn for each seed.

    `known` lists the inputs that were drawn before, and says that tasks are seeds. Tasks that may
    stand `together` share a process while they succeed.
    """

    program: Program
    limits: Limits
    tasks: Sequence[Any]
    known_inputs: Sequence[str] | None = None
    share_process: bool = False


@dataclass(frozen=True)
class ZygoteReply:
    """One frame: what the zygote vouches for, and the child's own words, which nobody does."""

    header: Mapping[str, Any]
    payload: bytes


class ZygoteProcess:
    """One warm interpreter. Not thread-safe: a slot has it to itself."""

    def __init__(
        self,
        rung: IsolationLevel,
        interpreter: Interpreter,
        preload: Sequence[str],
        world: int,
        spawner: ThreadPoolExecutor,
    ) -> None:
        self.n_calls = 0
        self.environment_seed = world
        self._socket, theirs = socket.socketpair()
        with tempfile.TemporaryFile() as errors:
            try:
                with theirs:
                    self._process = spawner.submit(
                        _spawn, rung, interpreter, world, theirs, errors
                    ).result()
                self._greet(rung, interpreter, preload)
            except BaseException as error:
                self.kill()
                raise _with_errors(error, errors) from error

    def _greet(
        self, rung: IsolationLevel, interpreter: Interpreter, preload: Sequence[str]
    ) -> None:
        setup = {
            "rung": rung.name,
            "readable": readable_paths(interpreter),
            "preload": list(preload),
            "world": self.environment_seed,
            "scratch": rung.tmpfs_paths,
            "subprocesses": rung.subprocesses,
        }
        self._send(setup)
        hello = self._receive(START_SECONDS).header
        self.kill_blocked = bool(hello["guarded"])

    def run(self, order: SandboxRequest, compile_in_child: bool = False) -> Iterator[ZygoteReply]:
        """Run each task of an order; yield the replies.

        Ends early when the zygote wants to be replaced. `careful` keeps the program away from the
        zygote's own compiler. Raises Trouble.
        """
        self._send({**_request(order), "careful": compile_in_child, "world": self.environment_seed})
        self._receive(COMPILE_SECONDS)
        for _ in order.tasks:
            reply = self._receive(order.limits.ceiling_seconds + GRACE_SECONDS)
            self.n_calls += 1
            yield reply
            if reply.header.get("recycle"):
                self.n_calls = 1 << 30
                return

    def measure(self, forks: int = 0) -> Mapping[str, Any]:
        """Return what this zygote has used; `forks` bare forks are made and timed on the way."""
        self._send({"measure": forks})
        return self._receive(START_SECONDS).header

    def close(self) -> None:
        """End an idle zygote: it leaves by itself when nobody listens any more."""
        self._socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        self.kill()

    def kill(self) -> None:
        """End a zygote that may be busy, with all that it started."""
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
            raise ZygoteError(f"the zygote does not listen ({error})") from error

    def _receive(self, seconds: float) -> ZygoteReply:
        deadline = time.monotonic() + seconds
        words, rest = struct.unpack("<II", self._exactly(8, deadline))
        if words + rest > MAX_FRAME_BYTES:
            raise ZygoteError("the zygote sent a frame without end")
        head = json.loads(self._exactly(words, deadline))
        if "trouble" in head:
            raise ZygoteError(head["trouble"])
        return ZygoteReply(head, self._exactly(rest, deadline))

    def _exactly(self, length: int, deadline: float) -> bytes:
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
    rung: IsolationLevel,
    interpreter: Interpreter,
    world: int,
    theirs: socket.socket,
    errors: IO[bytes],
) -> subprocess.Popen[bytes]:
    python = [
        interpreter.path,
        "-S",
        "-s",
        "-B",
        rung.runner_path,
        str(theirs.fileno()),
        process_label(),
    ]
    return subprocess.Popen(
        [*rung.command, *python],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        cwd="/",
        env=environment_variables(world),
        pass_fds=[theirs.fileno()],
        start_new_session=True,
    )


def process_label() -> str:
    """Return the word by which `ps` tells the processes that this process has started."""
    return f"host={os.getpid()}"


def _with_errors(error: BaseException, errors: IO[bytes]) -> BaseException:
    errors.seek(0)
    said = errors.read(2000).decode(errors="replace").strip()
    if not said or not isinstance(error, ZygoteError | OSError):
        return error
    return ZygoteError(f"{error}: {said.splitlines()[-1]}")


def _request(order: SandboxRequest) -> dict[str, Any]:
    program, limits, draws = order.program, order.limits, order.known_inputs is not None
    return {
        "code": program.code,
        "entry": program.entry,
        "generator": program.generator,
        "seeds" if draws else "inputs": list(order.tasks),
        "inputs" if draws else "seeds": None,
        "known": list(order.known_inputs or ()),
        "together": order.share_process,
        "cpu": limits.cpu_seconds,
        "wall": limits.wall_seconds,
        "ceiling": limits.ceiling_seconds,
        "memory_mb": limits.memory_mb,
        "output_bytes": limits.output_bytes,
        "lines": limits.lines,
    }
