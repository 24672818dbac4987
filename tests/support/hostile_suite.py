"""The hostile suite: snippets with their expected outcomes at each level, and victims outside.

A snippet is a file of `tests/sandbox/hostile/`; comment lines at its top give the expected outcome:
`# all: ..` at the levels strong and fallback, `# strong: ..` or `# fallback: ..` where they differ,
and `# minimum: ..` where it can be run without isolation at all. `ok 1` expects that output,
`exception X` that class, `*` any; ` or ` separates alternatives. `# needs: numpy` names a package.
`# calls: 2` makes the call twice: what it returns must not change.

Run as a program it runs the suite under another uid and prints the results as JSON.
"""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from annoy_store.interfaces import ExecutionResult, Limits, Program
from annoy_store.sandbox import LocalSandbox, open_sandbox, runner
from annoy_store.sandbox.zygote import process_label
from tests.support.shared_objects import SharedObjects, shared_objects

HOSTILE = Path(__file__).parents[1] / "sandbox" / "hostile"
LIMITS = Limits(cpu_seconds=0.25, wall_seconds=1.2, ceiling_seconds=30.0, memory_mb=256)
BENIGN = Program("def main_solution(n):\n    return sum(range(n))\n")
LANES = 4
CANARY = "CANARY_API_KEY"
DEVICES = [f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty", "ptmx")]
INTERPRETER = (os.__file__, json.__file__, os.path.dirname(os.__file__), sys.executable)
SHARED_FOLDERS = ("/tmp", "/dev/shm")  # others use them meanwhile


@dataclass(frozen=True)
class Snippet:
    """One hostile program; `expected` has the allowed outcomes by isolation level."""

    name: str
    code: str
    expected: dict[str, tuple[str, ...]]
    needs: str | None
    calls: int

    def allows(self, level: str, ran: ExecutionResult) -> bool:
        """Return whether a result is one of those expected at a level."""
        return any(_fits(expected, ran) for expected in self.expected[level])


def _fits(expected: str, ran: ExecutionResult) -> bool:
    outcome, _, detail = expected.partition(" ")
    if ran.outcome != outcome:
        return False
    if detail in ("", "*"):
        return True
    if outcome == "ok":
        assert ran.output is not None
        return bool(json.loads(ran.output) == json.loads(detail))
    return detail in (ran.error_type, ran.missing_module)


def snippets() -> list[Snippet]:
    """Return every snippet, by name."""
    return [_read(path) for path in sorted(HOSTILE.glob("*.py"))]


def _read(path: Path) -> Snippet:
    code = path.read_text()
    said = dict(re.findall(r"^# (all|strong|fallback|minimum|needs|calls): (.+)$", code, re.M))
    expected = {level: said.get(level, said.get("all")) for level in ("strong", "fallback")}
    expected["minimum"] = said.get("minimum")
    ways = {level: tuple(text.split(" or ")) for level, text in expected.items() if text}
    return Snippet(path.stem, code, ways, said.get("needs"), int(said.get("calls", 1)))


@dataclass
class Victims:
    """Resources of the host that no snippet may change: files, sockets, devices, IPC, processes."""

    folder: Path
    tcp: socket.socket
    udp: socket.socket
    stream: socket.socket
    datagram: socket.socket
    abstract: socket.socket
    ipc: SharedObjects
    before: dict[str, Any]

    def fill(self, code: str) -> str:
        """Return a snippet with the addresses of these victims filled in."""
        values: dict[str, Any] = {
            "OUTSIDE": self.folder,
            "HOME": Path.home(),
            "TCP": self.tcp.getsockname()[1],
            "UDP": self.udp.getsockname()[1],
            "UNIX": self.stream.getsockname(),
            "ABSTRACT": self.abstract.getsockname()[1:].decode(),
            "PID": os.getpid(),
            "NUL": "\0",
            "DEEP": "(" * 5000 + ")" * 5000,
            "LISTED": ", ".join(map(str, sorted(listed_system_calls()))),
            **self.ipc.names(),
        }
        return re.sub(r"@([A-Z]+)@", lambda found: str(values[found[1]]), code)

    def harm(self) -> list[str]:
        """Return what was done to them."""
        harm = [
            f"{name} was reached" for name in self.listeners() if self._reached(getattr(self, name))
        ]
        if sorted(os.listdir(self.folder)) != ["secret.txt", "unix", "unix.dgram"]:
            harm.append(f"files: {sorted(os.listdir(self.folder))}")
        secret = self.folder / "secret.txt"
        if secret.read_text() != "TOPSECRET" or secret.stat().st_mode & 0o777 != 0o644:
            harm.append("the secret was changed")
        after = state_of_the_host()
        harm += [
            f"{what}: {was}, {after[what]}"
            for what, was in self.before.items()
            if was != after[what]
        ]
        return harm + self.ipc.harm()

    @staticmethod
    def listeners() -> tuple[str, ...]:
        """Return the names of the sockets that must not be reached."""
        return ("tcp", "udp", "stream", "datagram", "abstract")

    @staticmethod
    def _reached(listener: socket.socket) -> bool:
        try:
            if listener.type == socket.SOCK_DGRAM:
                listener.recv(1)
            else:
                listener.accept()[0].close()
        except BlockingIOError:
            return False
        return True


def listed_system_calls() -> set[int]:
    """Return the numbers that the filter allows on this machine, at least with some arguments."""
    column = 1 if platform.machine() == "aarch64" else 0
    tables = (runner.ALLOWED, runner.GUARDED)
    return {numbers[column] for table in tables for numbers in table.values()}


def state_of_the_host() -> dict[str, Any]:
    """Return what a program must not change: devices, files of the interpreter, this process."""
    state: dict[str, Any] = {}
    for path in (*DEVICES, *INTERPRETER, "/tmp", "/dev/shm"):
        with suppress(OSError):
            found = os.stat(path)
            state[path] = (found.st_mode, found.st_uid, found.st_gid)
            if path not in SHARED_FOLDERS:
                state[path] += (found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return state | {
        "affinity": os.sched_getaffinity(0),
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "scheduler": os.sched_getscheduler(0),
        "limits": [resource.getrlimit(kind) for kind in range(16)],
        "host name": socket.gethostname(),
    }


@contextmanager
def victims(folder: Path) -> Iterator[Victims]:
    """Set up victims in an empty `folder`."""
    (folder / "secret.txt").write_text("TOPSECRET")
    (folder / "secret.txt").chmod(0o644)
    with ExitStack() as stack:

        def bound(family: int, kind: int, address: Any) -> socket.socket:
            made = stack.enter_context(socket.socket(family, kind))
            made.bind(address)
            if kind == socket.SOCK_STREAM:
                made.listen()
            made.setblocking(False)
            return made

        unix, inet = socket.AF_UNIX, socket.AF_INET
        yield Victims(
            folder,
            bound(inet, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            bound(inet, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            bound(unix, socket.SOCK_STREAM, str(folder / "unix")),
            bound(unix, socket.SOCK_DGRAM, str(folder / "unix.dgram")),
            bound(unix, socket.SOCK_STREAM, f"\0annoy-{os.getpid()}-{threading.get_ident()}"),
            stack.enter_context(shared_objects()),
            state_of_the_host(),
        )


@dataclass(frozen=True)
class Attack:
    """The result of one snippet, and of an ordinary call right after it in the same slot."""

    ran: ExecutionResult
    after: ExecutionResult


def attack(
    level: str, folder: Path, python: str | None = None, chosen: Sequence[Snippet] | None = None
) -> tuple[dict[str, Attack], list[str]]:
    """Run the snippets with an expectation at a level; return the results, and the harm."""
    chosen = [s for s in chosen or snippets() if level in s.expected]
    os.environ[CANARY] = "sk-canary"
    try:
        with victims(folder) as outside, ExitStack() as stack:
            lanes = [
                stack.enter_context(
                    open_sandbox(slots=1, python=python, isolation=level, unsafe=True)
                )
                for _ in range(LANES)
            ]
            found = lanes[0].describe()["packages"]
            able = [s for s in chosen if s.needs is None or s.needs in found]
            with ThreadPoolExecutor(LANES) as pool:
                done = pool.map(
                    lambda i: _lane(lanes[i], able[i::LANES], outside), range(len(lanes))
                )
                attacks = {name: result for lane in done for name, result in lane.items()}
            return attacks, outside.harm()
    finally:
        del os.environ[CANARY]


def _lane(sandbox: LocalSandbox, chosen: Sequence[Snippet], outside: Victims) -> dict[str, Attack]:
    results = {}
    for snippet in chosen:
        program = Program(outside.fill(snippet.code))
        ran, *again = sandbox.call(program, ["{}"] * snippet.calls, LIMITS)
        for other in again:
            if (other.outcome, other.output) != (ran.outcome, ran.output):
                ran = replace(other, outcome="changed", error_message=f"{ran.output} at first")
        results[snippet.name] = Attack(ran, sandbox.call(BENIGN, ['{"n": 4}'], LIMITS)[0])
    return results


def alive(host: int | None = None) -> set[int]:
    """Return the sandbox processes that `host` (default: this process) started, also dead ones."""
    word = process_label() if host is None else f"host={host}"
    found = set()
    for entry in os.listdir("/proc"):
        with suppress(OSError):
            if entry.isdigit() and word in Path("/proc", entry, "cmdline").read_text().split("\0"):
                found.add(int(entry))
    return found


def survivors(before: set[int], host: int | None = None, seconds: float = 10.0) -> set[int]:
    """Return the processes other than `before` that still exist after at most `seconds`."""
    deadline = time.monotonic() + seconds
    while (left := alive(host) - before) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


def unexpected(level: str, attacks: dict[str, Attack]) -> dict[str, str]:
    """Return the snippets that did not end as expected, with what happened."""
    known = {snippet.name: snippet for snippet in snippets()}
    wrong = {}
    for name, result in attacks.items():
        if not known[name].allows(level, result.ran):
            wrong[name] = f"{result.ran} instead of {known[name].expected[level]}"
        elif result.after.output != "6":
            wrong[name] = f"the next check gave {result.after}"
    return wrong


def main() -> None:
    """Give up root, run the suite as an unprivileged user, print what went wrong as JSON.

    Arguments: uid, level, interpreter, folder, and the names of some snippets (none: all).
    """
    uid, level, python, folder, names = int(sys.argv[1]), *sys.argv[2:6]
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    chosen = [s for s in snippets() if not names or s.name in names.split()]
    before = alive()
    attacks, harm = attack(level, Path(folder), python, chosen)
    left = {"harm": harm, "survivors": sorted(survivors(before))}
    print(json.dumps({"ran": len(attacks), "wrong": unexpected(level, attacks), **left}))


if __name__ == "__main__":
    main()
