"""Objects of System V and POSIX IPC that belong to this process, as victims of hostile code."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

IPC_PRIVATE, IPC_RMID, IPC_STAT, IPC_CREAT, IPC_EXCL, IPC_NOWAIT = 0, 0, 2, 0o1000, 0o2000, 0o4000
GETVAL, SETVAL = 12, 16
TEXT, NUMBER = b"shared by nobody", 42


@dataclass(frozen=True)
class SharedObjects:
    """A shared memory, a message queue and a semaphore of System V, and files and a queue of POSIX.

    Attributes:
        key: The key of the shared memory.
        memory: The id of the shared memory, attached at `address`.
        address: Where it is attached in this process.
        messages: The id of a message queue with one message.
        semaphore: The id of a set of one semaphore with the value `NUMBER`.
        queue: The name of a POSIX message queue, without the slash; "" if there is none here.
        posix: The name of a file and of a semaphore in /dev/shm.
    """

    key: int
    memory: int
    address: int
    messages: int
    semaphore: int
    queue: str
    posix: str

    def names(self) -> dict[str, object]:
        """Return what a snippet needs to find them."""
        return {
            "KEY": self.key,
            "SHM": self.memory,
            "MSG": self.messages,
            "SEM": self.semaphore,
            "MQ": self.queue or "annoy-none",
            "POSIX": self.posix,
        }

    def harm(self) -> list[str]:
        """Return which of them were changed."""
        buffer = (ctypes.c_char * 512)()
        left = {
            "shared memory": ctypes.string_at(self.address, len(TEXT)) == TEXT
            and _libc().shmctl(self.memory, IPC_STAT, buffer) == 0,
            "message": _messages(self.messages) == 1,
            "semaphore": _libc().semctl(self.semaphore, 0, GETVAL, 0) == NUMBER,
            "file": Path("/dev/shm", self.posix).read_bytes() == TEXT,
            "POSIX semaphore": Path("/dev/shm", f"sem.{self.posix}").exists(),
            "POSIX queue": not self.queue or _queue_exists(self.queue),
        }
        return [f"the {what} was changed" for what, same in left.items() if not same]


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _messages(queue: int) -> int:
    """Return how many messages wait: the sixth word behind permissions and times, on 64 bit."""
    buffer = (ctypes.c_ulong * 64)()
    if _libc().msgctl(queue, IPC_STAT, buffer) != 0:
        return -1
    return int(buffer[10])


def _queue_exists(name: str) -> bool:
    handle = _libc().mq_open(b"/" + name.encode(), os.O_RDONLY)
    if handle < 0:
        return False
    os.close(handle)
    return True


@contextmanager
def shared_objects() -> Iterator[SharedObjects]:
    """Create them, and remove them at the end."""
    libc = _libc()
    libc.shmat.restype = ctypes.c_void_p
    name = f"annoy-{os.getpid()}-{threading.get_ident() % 1_000_000}"
    key = 0x7E000000 | os.getpid() & 0xFFFFFF
    memory = libc.shmget(key, 4096, 0o666 | IPC_CREAT | IPC_EXCL)
    messages = libc.msgget(IPC_PRIVATE, 0o666)
    semaphore = libc.semget(IPC_PRIVATE, 1, 0o666)
    address = libc.shmat(memory, None, 0)
    ctypes.memmove(address, TEXT, len(TEXT))
    libc.msgsnd(messages, (ctypes.c_long * 2)(1, NUMBER), 8, IPC_NOWAIT)
    libc.semctl(semaphore, 0, SETVAL, NUMBER)
    handle = libc.mq_open(b"/" + name.encode(), os.O_CREAT | os.O_RDWR, 0o666, None)
    queue = name if handle >= 0 else ""  # some kernels have none
    Path("/dev/shm", name).write_bytes(TEXT)
    libc.sem_open.restype = ctypes.c_void_p
    libc.sem_open(b"/" + name.encode(), os.O_CREAT, 0o666, 1)
    try:
        yield SharedObjects(key, memory, address, messages, semaphore, queue, name)
    finally:
        libc.shmdt(ctypes.c_void_p(address))
        libc.shmctl(memory, IPC_RMID, None)
        libc.msgctl(messages, IPC_RMID, None)
        libc.semctl(semaphore, 0, IPC_RMID, 0)
        if queue:
            os.close(handle)
            libc.mq_unlink(b"/" + name.encode())
        for path in (name, f"sem.{name}"):
            with suppress(OSError):
                os.unlink(f"/dev/shm/{path}")
