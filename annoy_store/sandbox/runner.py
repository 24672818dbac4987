"""The program that runs inside the sandbox: a warm interpreter that forks once per call.

One file, standard library only, any CPython from 3.8 on: it runs under the interpreter that the
samples need, where nothing of this package is installed. Three layers, in this order below:
the *walls* (Landlock, seccomp, rlimits), the *child* (runs foreign code, reports once, exits),
the *zygote* (compiles, forks, measures, kills, sweeps, relays).

Decisions
- Nothing that a child says is believed: the zygote relays its bytes unread, adds what the kernel
  says (status, CPU, wall) and the host judges. A forged report can claim no more than the
  program could have returned, because the same code wrote both.
- The child's CPU clock decides about time. Wall time stops only a sleeper: a child that used less
  than a tenth of its CPU limit in a stretch as long as the wall limit, the first or a later one.
  At the ceiling the zygote uses its own CPU for a moment: where the machine gives enough to reach
  the CPU limit by then, the child slept; else it starved, and nothing is known about the code.
- A child that could not be made ready says so through a pipe that it closes before foreign code.
- RLIMIT_AS counts beyond the size of the warm interpreter, so that a call has the same room
  whatever was imported before it.
- No /proc anywhere: less to see, and it mounts in containers where a new procfs is refused.
- A result is JSON when `json.dumps` takes it without help. So `numpy.float64` (a float) passes,
  and `numpy.int64`, arrays, sets and bytes are refused by the name of their type. What cannot be
  read back as it was is refused too: keys that are equal as JSON (1 and "1"), lone surrogates.
- A generator has a namespace of its own and borrows from that of the function what it does not
  define; the function sees its own alone, as wherever it is run without the generator. Borrowing
  stands in for the builtins, because names in class bodies are looked up nowhere else.
- World 0 has the true clock. Any other world lives 396 days later per step, and each of its
  readings of `time`, `perf_counter` and `process_time` is 0.137 s after the last one, so that
  both dates and durations show, as each of `clock_gettime` is; `monotonic` is later and does not
  leap, because event loops schedule by it; so are the times of files that `os` tells.
  `datetime.now` follows once the module is loaded: compiled packages that are imported meanwhile
  need the true type. C code with a clock of its own (`numpy.datetime64("now")`) is out of reach.
- Programs that never say "random" are not seeded per call: they start from the state that the
  zygote was seeded with, for the price of nothing.
- Nothing writable outlives a call: a scratch folder that was so much as listed is not emptied but
  thrown away with its zygote, since times and inode numbers would tell the next call about it;
  and a child shares no open file with another.
- Tasks that may stand `together` share a child, which halves their price. Its reports count if it
  ends by itself, and only up to the first call that fails; the rest is run again, each alone.
  Such a result is good for a comparison with one that was got alone, and for programs that keep
  no state. A job may also end at the first that fails.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import gc
import importlib
import importlib.util
import inspect
import json
import linecache
import os
import platform
import re
import resource
import select
import signal
import site
import struct
import sys
import time
import types
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Job = dict[str, Any]
    Step = tuple[int, int, int, int]  # one BPF instruction: code, jump if true, if false, operand

FRAME = struct.Struct("<II")  # length of head, length of payload
SOLUTION, GENERATOR = "<solution>", "<generator>"
PROGRAMS_KEPT = 16
MESSAGE_CHARS, NAME_CHARS = 500, 100
NOT_READY = 71  # exit status of a child that told why through the zygote's pipe
STACK_BYTES = 8 << 20
START_OPTIONS = ("-S", "-s", "-B")


# The walls -----------------------------------------------------------------------------------

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP = 1, 4, 22
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38
ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
LOAD, EQUAL, AT_LEAST, BITS, AND, RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
CONSTANT, KEEP, KEPT, TO_X, SHIFT, SHIFT_BY_X, JUMP = 0x00, 0x02, 0x60, 0x07, 0x74, 0x7C, 0x05
OWN_PID = 0x7E57C0DE  # stands in a template for the pid of the child
NEWEST_SYSCALL = 462  # later ones did not exist when this list was made
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
MACHINES = tuple(AUDIT_ARCH)  # in the order of the numbers in the tables


def _table(text: str) -> dict[str, tuple[int, int]]:
    """Read system calls: name, number on x86_64, number on aarch64 (-1: it has none there)."""
    rows = (row.split() for row in text.split(","))
    return {name: (int(intel), int(arm)) for name, intel, arm in rows}


# What a program does with its own memory, threads, time and open files. Missing, besides what is
# plainly harmful: whatever changes the metadata of a file, locks one or drops it from the page
# cache, which works on files that can only be read; whatever names another process; IPC of System V
# and POSIX; `truncate` by path, which Landlock guards from its third version on.
ALLOWED = _table(
    """
    read 0 63, write 1 64, close 3 57, stat 4 -1, fstat 5 80, lstat 6 -1, newfstatat 262 79,
    statx 332 291, access 21 -1, faccessat 269 48, faccessat2 439 439,
    lseek 8 62, pread64 17 67, pwrite64 18 68, readv 19 65, writev 20 66, preadv 295 69,
    pwritev 296 70, preadv2 327 286, pwritev2 328 287,
    creat 85 -1, ftruncate 77 46, fallocate 285 47, fsync 74 82, fdatasync 75 83,
    sendfile 40 71, copy_file_range 326 285,
    dup 32 23, dup2 33 -1, dup3 292 24, close_range 436 436, pipe 22 -1, pipe2 293 59,
    eventfd 284 -1, eventfd2 290 19,
    getcwd 79 17, chdir 80 49, fchdir 81 50, mkdir 83 -1, mkdirat 258 34, rmdir 84 -1,
    unlink 87 -1, unlinkat 263 35, rename 82 -1, renameat 264 38, renameat2 316 276,
    link 86 -1, linkat 265 37, symlink 88 -1, symlinkat 266 36,
    readlink 89 -1, readlinkat 267 78, getdents 78 -1, getdents64 217 61, umask 95 166,
    statfs 137 43, fstatfs 138 44,
    getxattr 191 8, lgetxattr 192 9, fgetxattr 193 10, listxattr 194 11, llistxattr 195 12,
    flistxattr 196 13,
    mmap 9 222, munmap 11 215, mremap 25 216, mprotect 10 226, brk 12 214, msync 26 227,
    poll 7 -1, ppoll 271 73, select 23 -1, pselect6 270 72, epoll_create 213 -1,
    epoll_create1 291 20, epoll_ctl 233 21, epoll_wait 232 -1, epoll_pwait 281 22,
    epoll_pwait2 441 441,
    sendto 44 206, recvfrom 45 207, sendmsg 46 211, recvmsg 47 212, shutdown 48 210,
    getsockname 51 204, getpeername 52 205, getsockopt 55 209,
    rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, rt_sigpending 127 136,
    rt_sigtimedwait 128 137, rt_sigsuspend 130 133, sigaltstack 131 132, signalfd 282 -1,
    signalfd4 289 74, pause 34 -1,
    restart_syscall 219 128,
    nanosleep 35 101, clock_nanosleep 230 115, clock_gettime 228 113, clock_getres 229 114,
    gettimeofday 96 169, time 201 -1, times 100 153,
    alarm 37 -1, getitimer 36 102, setitimer 38 103, timerfd_create 283 85,
    timerfd_settime 286 86, timerfd_gettime 287 87,
    futex 202 98, set_robust_list 273 99, set_tid_address 218 96, rseq 334 293,
    membarrier 324 283, arch_prctl 158 -1, sched_yield 24 124,
    getpid 39 172, gettid 186 178, getppid 110 173, getpgid 121 155, getpgrp 111 -1,
    getsid 124 156, getuid 102 174, geteuid 107 175, getgid 104 176, getegid 108 177,
    getgroups 115 158, getresuid 118 148, getresgid 120 150,
    getrlimit 97 163, getrusage 98 165, getpriority 140 141, sched_getaffinity 204 123,
    sched_getparam 143 121, sched_getscheduler 145 120, sched_getattr 315 275,
    sched_get_priority_max 146 125,
    sched_get_priority_min 147 126, sched_rr_get_interval 148 127, getcpu 309 168,
    uname 63 160, sysinfo 99 179, getrandom 318 278, exit 60 93, exit_group 231 94,
    wait4 61 260, waitid 247 95
    """
)
# Allowed where code may start processes.
PROCESSES = _table(
    """
    fork 57 -1, vfork 58 -1, execve 59 221, setpgid 109 154, setsid 112 157, kill 62 129,
    tkill 200 130, tgkill 234 131, setrlimit 160 164,
    rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240
    """
)
# Allowed with some arguments.
GUARDED = _table(
    """
    open 2 -1, openat 257 56, socketpair 53 199, fcntl 72 25, ioctl 16 29, madvise 28 233,
    prctl 157 167, prlimit64 302 261, setrlimit 160 164,
    fork 57 -1, clone 56 220, clone3 435 435, kill 62 129, tkill 200 130, tgkill 234 131
    """
)
CAPSET = (126, 91)
CLONE_THREAD, CLONE_NAMESPACES = 0x10000, 0x7E020000
AF_UNIX, SOCK_STREAM = 1, 1
O_TRUNC, O_ACCMODE = 0x200, 3
FIXED = (resource.RLIMIT_CPU, resource.RLIMIT_AS)
FCNTLS = (
    0,
    1,
    2,
    3,
    4,
    1030,
    1032,
)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, .., F_GETPIPE_SZ
# TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX, FICLONE, TCGETS2
IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451, 0x40049409, 0x802C542A)
# PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_CAPBSET_READ, .., PR_SET_VMA
PRCTLS = (3, 15, 16, 23, 30, 39, 0x53564D41)
# Of one's own memory: none that names page cache (MADV_COLD, MADV_PAGEOUT), merges or poisons pages
MADVISES = (0, 1, 2, 3, 4, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 22, 23, 102, 103)


def _argument(position: int, high: bool = False) -> Step:
    return (LOAD, 0, 0, 16 + 8 * position + 4 * high)


def _verdict(test: int, operand: int, answer_if: int, answer_else: int) -> list[Step]:
    return [(test, 0, 1, operand), (RETURN, 0, 0, answer_if), (RETURN, 0, 0, answer_else)]


def _allow_values(position: int, values: tuple[int, ...]) -> list[Step]:
    tests = [(EQUAL, len(values) - place, 0, value) for place, value in enumerate(values)]
    return [_argument(position), *tests, (RETURN, 0, 0, EPERM), (RETURN, 0, 0, ALLOW)]


def _own_signals_only(signal_position: int) -> list[Step]:
    mine = [_argument(0), (EQUAL, 1, 0, OWN_PID), (RETURN, 0, 0, EPERM)]
    return [*mine, _argument(signal_position), *_verdict(EQUAL, signal.SIGKILL, EPERM, ALLOW)]


def _truncate_to_write(position: int) -> list[Step]:
    """Refuse to truncate a file that is not opened for writing: Landlock may not look at that."""
    return [
        *(_argument(position), (BITS, 1, 0, O_TRUNC), (RETURN, 0, 0, ALLOW)),
        *((AND, 0, 0, O_ACCMODE), (EQUAL, 1, 0, os.O_WRONLY)),
        *_verdict(EQUAL, os.O_RDWR, ALLOW, EPERM),
    ]


def _common_guards() -> dict[str, list[Step]]:
    """Return what is asked of arguments in the zygote, and so in every child."""
    in_this_namespace = [_argument(0), (BITS, 0, 1, CLONE_NAMESPACES), (RETURN, 0, 0, EPERM)]
    guards = {
        "open": _truncate_to_write(1),
        "openat": _truncate_to_write(2),
        "socketpair": [
            *(_argument(0), (EQUAL, 1, 0, AF_UNIX), (RETURN, 0, 0, EPERM)),
            *(_argument(1), (AND, 0, 0, 15), *_verdict(EQUAL, SOCK_STREAM, ALLOW, EPERM)),
        ],
        "fcntl": _allow_values(1, FCNTLS),
        "ioctl": _allow_values(1, IOCTLS),
        "madvise": _allow_values(2, MADVISES),
        "prctl": _allow_values(0, (*PRCTLS, PR_SET_PDEATHSIG, PR_SET_SECCOMP)),
        "clone": [*in_this_namespace, (RETURN, 0, 0, ALLOW)],
        "clone3": [(RETURN, 0, 0, ENOSYS)],
    }
    for name in ("fork", "prlimit64", "setrlimit", "kill", "tkill", "tgkill"):
        guards[name] = [(RETURN, 0, 0, ALLOW)]
    return guards


def _child_guards(subprocesses: bool) -> dict[str, list[Step]]:
    """Return what is asked of arguments in a child besides."""
    own_pid = [_argument(0), (EQUAL, 2, 0, 0), (EQUAL, 1, 0, OWN_PID), (RETURN, 0, 0, EPERM)]
    guards = {"prctl": _allow_values(0, PRCTLS)}
    if subprocesses:
        guards["prlimit64"] = [*own_pid, (RETURN, 0, 0, ALLOW)]
        return guards
    fixed = [(EQUAL, 2, 0, FIXED[0]), (EQUAL, 1, 0, FIXED[1]), (RETURN, 0, 0, ALLOW)]
    no_new = []
    for half in (False, True):
        no_new += [_argument(2, half), (EQUAL, 1, 0, 0), (RETURN, 0, 0, EPERM)]
    guards["prlimit64"] = [*own_pid, _argument(1), *fixed, *no_new, (RETURN, 0, 0, ALLOW)]
    guards["setrlimit"] = [
        *(_argument(0), (EQUAL, 1, 0, FIXED[0]), *_verdict(EQUAL, FIXED[1], EPERM, ALLOW)),
    ]
    guards["fork"] = [(RETURN, 0, 0, EPERM)]
    guards["clone"] = [_argument(0), *_verdict(BITS, CLONE_THREAD, ALLOW, EPERM)]
    guards.update(kill=_own_signals_only(1), tkill=_own_signals_only(1))
    guards["tgkill"] = _own_signals_only(2)
    return guards


def _guarded(guards: dict[str, list[Step]], column: int) -> list[Step]:
    steps: list[Step] = []
    for name, body in guards.items():
        if GUARDED[name][column] >= 0:
            steps += [(EQUAL, 0, len(body), GUARDED[name][column]), *body]
    return steps


def _allow_by_bitmap(numbers: list[int]) -> list[Step]:
    """Return steps that allow these system calls, and go on with the number loaded again.

    One test per 32 numbers instead of one per number. Besides, the kernel runs a filter made of
    plain comparisons once for every system call when it is installed, to remember its answers;
    it lets one with shifts be, which makes installing several times cheaper.
    """
    masks: dict[int, int] = {}
    for number in numbers:
        masks[number >> 5] = masks.get(number >> 5, 0) | 1 << (number & 31)
    choose: list[Step] = []
    for place, (word, mask) in enumerate(sorted(masks.items())):
        behind = 3 * (len(masks) - 1 - place) + 1
        choose += [(EQUAL, 0, 2, word), (CONSTANT, 0, 0, mask), (JUMP, 0, 0, behind)]
    return [
        *((KEEP, 0, 0, 0), (AND, 0, 0, 31), (TO_X, 0, 0, 0), (KEPT, 0, 0, 0), (SHIFT, 0, 0, 5)),
        *choose,
        (JUMP, 0, 0, 4),
        *((SHIFT_BY_X, 0, 0, 0), (AND, 0, 0, 1), (EQUAL, 0, 1, 1), (RETURN, 0, 0, ALLOW)),
        (KEPT, 0, 0, 0),
    ]


def common_filter(machine: str, subprocesses: bool) -> list[Step]:
    """Return the seccomp filter of the zygote on `machine`, as BPF steps; its children inherit it.

    What is not listed is refused. Numbers that are newer than the lists get the answer of a kernel
    that does not have them, so that a newer libc takes an older way.
    """
    column = MACHINES.index(machine)
    steps: list[Step] = [
        (LOAD, 0, 0, 4),
        (EQUAL, 1, 0, AUDIT_ARCH[machine]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, 0),
        (AT_LEAST, 0, 1, NEWEST_SYSCALL + 1),
        (RETURN, 0, 0, ENOSYS),
    ]
    allowed = {**ALLOWED, **(PROCESSES if subprocesses else {})}
    steps += _allow_by_bitmap([n[column] for n in allowed.values() if n[column] >= 0])
    return [*steps, *_guarded(_common_guards(), column), (RETURN, 0, 0, EPERM)]


def child_filter(machine: str, subprocesses: bool) -> list[Step]:
    """Return what a child adds to the filter of its zygote; its pid is OWN_PID in it.

    It is short, because each child pays for installing it, and refuses what the zygote has to do:
    start processes, end them, and limit them.
    """
    guards = _guarded(_child_guards(subprocesses), MACHINES.index(machine))
    return [(LOAD, 0, 0, 0), *guards, (RETURN, 0, 0, ALLOW)]


class Seccomp:
    """A filter made ready before the fork; a child only fills in its pid and installs it."""

    def __init__(self, steps: list[Step]) -> None:
        packed = b"".join(struct.pack("=HBBI", *step) for step in steps)
        self._code = ctypes.create_string_buffer(packed, len(packed))
        self._pids = [8 * i + 4 for i, step in enumerate(steps) if step[3] == OWN_PID]
        self._program = ctypes.create_string_buffer(
            struct.pack("@HP", len(steps), ctypes.addressof(self._code))
        )
        self._prctl = _libc().prctl
        self._arguments = (
            ctypes.c_int(PR_SET_SECCOMP),
            ctypes.c_ulong(2),
            ctypes.c_void_p(ctypes.addressof(self._program)),
            ctypes.c_ulong(0),
            ctypes.c_ulong(0),
        )

    def install(self) -> None:
        """Apply the filter to this process, for good."""
        for offset in self._pids:
            struct.pack_into("=I", self._code, offset, os.getpid())
        if self._prctl(*self._arguments) != 0:
            raise OSError(ctypes.get_errno(), "seccomp refused")


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    if _libc().prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) refused")


LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
READ_RIGHTS = 0b1101  # execute, read file, list folder
FILE_RIGHTS = 0b0101
DEVICES = {"/dev/null": 0b0110, "/dev/zero": 0b0100, "/dev/urandom": 0b0100, "/dev/random": 0b0100}


def landlock(readable: list[str]) -> None:
    """Give up every right on files but reading below `readable`, TCP, and foreign signals."""
    abi = _syscall(LANDLOCK_CREATE, None, 0, 1)
    rights = (1 << 13) - 1
    for least, bit in ((2, 13), (3, 14), (5, 15)):
        rights |= (1 << bit) if abi >= least else 0
    rules = struct.pack("=QQQ", rights, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = _syscall(LANDLOCK_CREATE, rules[:size], size, 0)
    for path in readable:
        _permit(ruleset, path, READ_RIGHTS if os.path.isdir(path) else FILE_RIGHTS)
    for path, allowed in DEVICES.items():
        _permit(ruleset, path, allowed)
    _syscall(LANDLOCK_RESTRICT, ruleset, 0, 0)
    os.close(ruleset)


def _permit(ruleset: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        _syscall(LANDLOCK_ADD, ruleset, 1, struct.pack("=Qi", rights, handle), 0)
    finally:
        os.close(handle)


def _syscall(number: int, *arguments: Any) -> int:
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = _libc().syscall(ctypes.c_long(number), *wide)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"system call {number} refused")
    return int(result)


def drop_capabilities() -> None:
    """Give up every capability of this process (root keeps only its uid)."""
    header = struct.pack("=Ii", 0x20080522, 0)
    number = CAPSET[platform.machine() == "aarch64"]
    _syscall(number, header, bytes(24))


def open_standard_streams() -> None:
    """Let the standard streams lead nowhere, by an open file that no earlier child knows."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    if null > 2:
        os.close(null)


def raise_walls(rung: str, readable: list[str]) -> None:
    """Do what has to be done once, before any foreign code, on `rung`."""
    open_standard_streams()
    os.closerange(4, 64)
    if not sys.platform.startswith("linux"):
        return
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    _prctl(PR_SET_DUMPABLE, 0)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    if rung != "strong":
        _prctl(PR_SET_CHILD_SUBREAPER, 1)
    if rung == "fallback":
        landlock(readable)
        drop_capabilities()


def address_space() -> int:
    """Return the bytes of address space in use, found by asking for one more page."""
    if not sys.platform.startswith("linux"):
        return 0
    libc, (soft, hard) = _libc(), resource.getrlimit(resource.RLIMIT_AS)
    page, private_anonymous = ctypes.c_size_t(4096), 0x22
    libc.mmap.restype = ctypes.c_ssize_t
    low, high = 0, capped(1 << 46, hard)
    while high - low > 1 << 20:
        middle = (low + high) // 2
        resource.setrlimit(resource.RLIMIT_AS, (middle, hard))
        found = libc.mmap(None, page, 0, private_anonymous, -1, ctypes.c_long(0))
        if found == -1:
            low = middle
        else:
            libc.munmap(ctypes.c_void_p(found), page)
            high = middle
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    return high


def capped(value: int, hard: int) -> int:
    """Return `value`, or the hard limit if that is lower: nobody may set a limit above it."""
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def limit(kind: int, value: int) -> None:
    """Set a limit for good, never above what this process may have."""
    value = capped(value, resource.getrlimit(kind)[1])
    with contextlib.suppress(OSError, ValueError):  # some systems have no such limit
        resource.setrlimit(kind, (value, value))


class LimitTooLow(Exception):
    """A hard limit that was inherited gives a call less than it may use."""

    def __init__(self, option: str, allowed: int, needed: int) -> None:
        super().__init__(f"ulimit -{option}: {allowed} < {needed}")
        self.words = {"option": option, "allowed": allowed, "needed": needed}


def demand(kind: int, option: str, needed: int) -> None:
    """Raise LimitTooLow unless this process may have that much; `option` is that of `ulimit`."""
    hard = resource.getrlimit(kind)[1]
    if capped(needed, hard) < needed:
        raise LimitTooLow(option, hard, needed)


def lift_soft_limits() -> None:
    """Give this process all that the hard limits allow, and the usual stack.

    The stack that threads get, and the layout of memory, follow from what an interpreter was
    started with: where that is not the usual one, it starts again.
    """
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_CPU):
        hard = resource.getrlimit(kind)[1]
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (hard, hard))
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    usual = capped(STACK_BYTES, hard)
    if soft != usual and sys.platform.startswith("linux"):
        resource.setrlimit(resource.RLIMIT_STACK, (usual, hard))
        os.execv(sys.executable, [sys.executable, *START_OPTIONS, __file__, *sys.argv[1:]])


# The other world's clock ---------------------------------------------------------------------

LATER = 396 * 86_400 + 3_661
LEAP = 0.137


def other_clock(world: int) -> None:
    """Make this process live later, in a time that leaps with every reading."""
    readings = [0]

    def shifted(name: str, unit: Any, leap: float) -> Callable[..., Any]:
        read = getattr(time, name)

        def reading(*clock: Any) -> Any:
            readings[0] += 1
            return read(*clock) + type(unit)(unit * (world * LATER + leap * readings[0]))

        return reading

    leaps = ("time", "perf_counter", "process_time", "thread_time", "clock_gettime")
    for name, leap in (*((name, LEAP) for name in leaps), ("monotonic", 0.0)):
        setattr(time, name, shifted(name, 1.0, leap))
        setattr(time, name + "_ns", shifted(name + "_ns", 1_000_000_000, leap))
    for name in ("localtime", "gmtime", "ctime"):
        setattr(time, name, _by_default_now(getattr(time, name)))
    _later_strings()
    for name in ("stat", "lstat", "fstat"):
        _later_files(name, world * LATER)


def _later_files(name: str, seconds: int) -> None:
    """Let a function of `os` tell the times of a file as later."""
    look = getattr(os, name)
    units = {"st_atime": 1, "st_mtime": 1, "st_ctime": 1}
    units.update({f"{field}_ns": 1_000_000_000 for field in units})

    def looking(*where: Any, **how: Any) -> Any:
        kind, (plain, fields) = look(*where, **how).__reduce__()
        fields = {field: value + seconds * units.get(field, 0) for field, value in fields.items()}
        return kind((*plain[:7], *(second + seconds for second in plain[7:])), fields)

    setattr(os, name, looking)
    for able in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
        if look in able:
            able.add(looking)


def _by_default_now(convert: Callable[[float], Any]) -> Callable[..., Any]:
    def of(seconds: float | None = None) -> Any:
        return convert(time.time() if seconds is None else seconds)

    return of


def _later_strings() -> None:
    strftime, asctime = time.strftime, time.asctime
    later: dict[str, Any] = {
        "strftime": lambda form, t=None: strftime(form, time.localtime() if t is None else t),
        "asctime": lambda t=None: asctime(time.localtime() if t is None else t),
    }
    vars(time).update(later)


def later_datetime() -> type:
    """Return a `datetime` that asks the changed clock. Compiled packages cannot live with it."""
    import datetime

    true, utc = datetime.datetime, datetime.timezone(datetime.timedelta(0))

    class Kind(type):
        def __instancecheck__(cls, thing: Any) -> bool:
            return isinstance(thing, true)

        def __subclasscheck__(cls, kind: Any) -> bool:
            return issubclass(kind, true)

    def now(cls: Any, tz: Any = None) -> Any:
        return cls.fromtimestamp(time.time(), tz)

    def utcnow(cls: Any) -> Any:
        return cls.fromtimestamp(time.time(), utc).replace(tzinfo=None)

    def written(self: Any) -> str:
        return re.sub(r"^[\w.]*\(", "datetime.datetime(", true.__repr__(self))

    body: dict[str, Any] = {
        "now": classmethod(now),
        "utcnow": classmethod(utcnow),
        "__repr__": written,
    }
    body.update(__module__="datetime", __qualname__="datetime")
    return Kind("datetime", (true,), body)


def _put_later(later: type, space: dict[str, Any]) -> None:
    """Give a loaded program the later `datetime`, under whatever names it knows the true one."""
    import datetime

    true = datetime.datetime
    vars(datetime)["datetime"] = later
    space.update({name: later for name, value in space.items() if value is true})


# The child -----------------------------------------------------------------------------------

_write, _exit, _loads = os.write, os._exit, json.loads
_find_spec, _signature, _monotonic = importlib.util.find_spec, inspect.signature, time.monotonic
_own_cpu, _clock = time.process_time, time.clock_gettime
_lone = re.compile("[\ud800-\udfff]").search


class _NotJson(Exception):
    """A value that JSON has no word for."""


def _name_type(value: Any) -> NoReturn:
    raise _NotJson(_name(type(value)))


def _name(kind: type) -> str:
    """Return the name of a class, "?" where the class says something else than a name."""
    name: Any = kind.__name__
    fits = type(name) is str and len(name) <= NAME_CHARS and name.isprintable()
    return name if fits else "?"


def _encoder(**more: Any) -> Callable[[Any], str]:
    plain: dict[str, Any] = {"ensure_ascii": False, "allow_nan": False, "separators": (",", ":")}
    plain.update(default=_name_type, **more)
    return json.JSONEncoder(**plain).encode


_encode, _canonical = _encoder(), _encoder(sort_keys=True)
_report = json.JSONEncoder().encode


class _Refused(Exception):
    """The attempt ends with this outcome; the rest is what to say about it."""

    def __init__(self, outcome: str, kind: str | None = None, message: str = "") -> None:
        super().__init__(outcome)
        self.words = {"outcome": outcome, "type": kind, "message": message[:MESSAGE_CHARS]}


def _as_json(value: Any, most: int) -> str:
    """Return `value` as compact JSON of at most `most` bytes, or refuse it."""
    try:
        text = _encode(value)
        if not text.isascii() and _lone(text):
            raise _Refused("not_json", "LossyJson", "a text has a lone surrogate")
        if "{" in text and len(text) <= most and _encode(_loads(text)) != text:
            raise _Refused("not_json", "LossyJson", "keys of an object collide as JSON")
    except _NotJson as error:
        kind = str(error)
        raise _Refused("not_json", kind, f"{kind} is not JSON") from None
    except (TypeError, ValueError, RecursionError) as error:
        message = str(error)
        kind = "NaN" if message.startswith("Out of range float") else type(error).__name__
        raise _Refused("not_json", kind, message) from None
    if len(text) > most or len(text.encode()) > most:
        raise _Refused("output_too_large", None, f"more than {most} bytes")
    return text


def _mutated(text: str, arguments: Any) -> bool:
    """Return whether `arguments` are no longer what `text` says."""
    try:
        return _encode(arguments) != text and _canonical(arguments) != _canonical(_loads(text))
    except Exception:
        return True


def seed_all(value: int | str) -> None:
    """Seed the generators of this process that have a shared state."""
    plain_random: Any = sys.modules["random"]
    plain_random.seed(value)
    numpy_random: Any = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(plain_random.getrandbits(32))


def _absent(error: ModuleNotFoundError) -> str | None:
    """Return the top-level name that is not installed here, if that is what `error` says."""
    try:
        top = str.partition(error.name or "", ".")[0]
        fits = top.isidentifier() and len(top) <= NAME_CHARS
        return top if fits and top not in sys.modules and _find_spec(top) is None else None
    except Exception:
        return None


def _explain(error: BaseException) -> dict[str, Any]:
    if isinstance(error, _Refused):
        return error.words
    words: dict[str, Any] = {"outcome": "exception", "type": "?"}
    try:
        words["type"] = _name(type(error))
        words["message"] = str(error)[:MESSAGE_CHARS]
    except BaseException:
        words["message"] = ""
    if isinstance(error, SystemExit):
        words["outcome"] = "exit"
    elif isinstance(error, MemoryError):
        words["outcome"] = "memory"
    elif isinstance(error, ModuleNotFoundError):
        top = _absent(error)
        words.update({"outcome": "missing_module", "module": top} if top else {})
    return words


FRAMES, EVENTS = (3, 1) if sys.version_info < (3, 12) else (2, 1)  # exact from 3.11 on
_get_limit, _set_limit = sys.getrecursionlimit, sys.setrecursionlimit


class _Room:
    """More room on the stack than a program knows of: for the frames and events of counting."""

    def __init__(self) -> None:
        self.levels = 0
        sys.getrecursionlimit = lambda: _get_limit() - self.levels
        sys.setrecursionlimit = lambda limit: _set_limit(limit + self.levels)

    def add(self, levels: int) -> None:
        self.levels += levels
        with contextlib.suppress(RecursionError):  # too deep in already to take room away
            _set_limit(_get_limit() + levels)

    def close(self) -> None:
        """Leave the limit as the next call in this process expects it."""
        self.add(-self.levels)
        sys.getrecursionlimit, sys.setrecursionlimit = _get_limit, _set_limit


def _counted(call: Callable[[], Any], most: int) -> tuple[Any, int]:
    """Call `call`; return its value and how many lines of the program it ran, at most `most`."""
    room = _Room()
    room.add(FRAMES + EVENTS)
    watch = getattr(sys, "monitoring", None)
    if watch is None:
        return _traced(call, most, room)
    tool, line = 4, watch.events.LINE
    count = 0

    def on_line(code: types.CodeType, _: int) -> Any:
        nonlocal count
        if code.co_filename != SOLUTION:
            return watch.DISABLE
        count += 1
        if count >= most:
            watch.set_events(tool, 0)
            room.add(-EVENTS)
        return None

    watch.use_tool_id(tool, "lines")
    watch.register_callback(tool, line, on_line)
    watch.set_events(tool, line)
    try:
        return call(), count
    finally:
        watch.set_events(tool, 0)
        watch.free_tool_id(tool)
        room.close()


def _traced(call: Callable[[], Any], most: int, room: _Room) -> tuple[Any, int]:
    count = 0
    stop = sys.settrace

    def on_line(frame: types.FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if event == "line":
            count += 1
            if count >= most:
                stop(None)
                room.add(-EVENTS)
        return on_line

    def on_call(frame: types.FrameType, event: str, _: Any) -> Any:
        return on_line if frame.f_code.co_filename == SOLUTION else None

    sys.settrace(on_call)
    try:
        return call(), count
    finally:
        sys.settrace(None)
        room.close()


def _load(job: Job, report: dict[str, Any]) -> dict[str, Any]:
    """Run the program's module, then its generator; return the namespace of the module."""
    code, generator = job["compiled"] or compiled(job)
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    exec(code, module.__dict__)
    if job["seeds"] is not None:
        report["phase"] = "generate"
        job["drawing"] = module.__dict__ if generator is None else _beside(module, generator)
    if job["later"] is not None:
        _put_later(job["later"], module.__dict__)
    return module.__dict__


class _Borrowed(dict):  # type: ignore[type-arg]  # Python 3.8 cannot subscript it
    """The builtins of a generator: the names of the program's module, then the true builtins."""

    def __init__(self, space: dict[str, Any]) -> None:
        super().__init__(vars(builtins))
        self._space = space

    def __getitem__(self, name: str) -> Any:
        return self._space[name] if name in self._space else super().__getitem__(name)


def _beside(module: types.ModuleType, generator: types.CodeType) -> dict[str, Any]:
    """Run a generator in a module of its own, which borrows the names that it does not define."""
    own = types.ModuleType("solution_generator")
    sys.modules[own.__name__] = own
    vars(own)["__builtins__"] = _Borrowed(module.__dict__)
    exec(generator, own.__dict__)
    return own.__dict__


def _drawn(job: Job, seed: int) -> str:
    """Return the JSON of one input that the program's generator makes of `seed`."""
    space = job["drawing"]
    if job["random"]:
        seed_all(seed)
    if "input_generator" not in space:
        raise NameError("name 'input_generator' is not defined")
    value = space["input_generator"]()
    text = _as_json(value, job["output_bytes"])
    if not isinstance(value, dict):
        kind = _name(type(value))
        raise _Refused("bad_args", kind, f"the generator returned {kind}, not a dict")
    return text


def _call(job: Job, space: dict[str, Any], text: str, report: dict[str, Any]) -> Any:
    arguments = _loads(text)
    if job["random"]:
        seed_all(f"{job['world']} {text}")
    entry = space.get(job["entry"])
    if not callable(entry):
        raise NameError(f"name {job['entry']!r} is not defined")
    try:
        if job["lines"]:
            value, lines = _counted(lambda: entry(**arguments), job["lines"])
            report["lines"] = min(lines, job["lines"])  # threads may pass the limit together
        else:
            value = entry(**arguments)
    except TypeError as error:
        _blame_arguments(entry, arguments, error)
        raise
    report["phase"] = "result"
    output = _as_json(value, job["output_bytes"])
    report["mutated"] = _mutated(text, arguments)
    return output


def _blame_arguments(entry: Any, arguments: dict[str, Any], error: TypeError) -> None:
    try:
        signature = _signature(entry)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(**arguments)
    except TypeError:
        message = _explain(error)["message"]
        raise _Refused("bad_args", "TypeError", message) from None


def attempt(job: Job, task: Any) -> dict[str, Any]:
    """Do one call or one draw; return the report of how it ended."""
    report: dict[str, Any] = {"phase": "load"}
    try:
        space = job["space"] = job.get("space") or _load(job, report)
        text = task
        if job["seeds"] is not None:
            text = report["input"] = _drawn(job, task)
            if job["draw_only"]:
                report["outcome"] = "drawn"
                return report
            if job["known"] and _canonical(_loads(text)) in job["known"]:
                raise _Refused("repeated", None, "was drawn before")
        report["phase"] = "call"
        report["output"] = _call(job, space, text, report)
        report["outcome"] = "ok"
    except BaseException as error:
        report.update(_explain(error))
    return report


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, however many calls it takes."""
    rest = memoryview(data)
    while rest:
        rest = rest[_write(descriptor, rest) :]


def attempts(job: Job, tasks: list[Any]) -> Iterator[dict[str, Any]]:
    """Do the tasks of one process; yield their reports, a failure only of a task that is alone."""
    for task in tasks:
        report = attempt(job, task)
        failed = report["outcome"] not in ("ok", "drawn")
        if failed and (len(tasks) > 1 or job["only_together"]):
            return
        yield report


def be_child(job: Job, tasks: list[Any], pipe: int, nonce: bytes) -> NoReturn:
    """Run tasks in this process and end it; never returns to the caller's code."""
    status = 70
    try:
        for report in attempts(job, tasks):
            payload = _report(report).encode()
            write_all(pipe, nonce + struct.pack("<I", len(payload)) + payload)
        status = 0
    finally:
        _exit(status)


# The zygote ----------------------------------------------------------------------------------


def compiled(job: Job) -> tuple[Any, Any]:
    """Compile a job's module and generator. Raises what compile() raises."""
    code = compile(job["code"], SOLUTION, "exec", dont_inherit=True)
    if job["seeds"] is None or job["generator"] is None:
        return code, None
    return code, compile(job["generator"], GENERATOR, "exec", dont_inherit=True)


class Programs:
    """The latest programs in compiled form, or why they do not compile."""

    def __init__(self) -> None:
        self._kept: dict[Any, Any] = {}

    def prepare(self, job: Job) -> dict[str, Any] | None:
        """Put compiled code into `job`; return the report instead if it does not compile."""
        for name, text in ((SOLUTION, job["code"]), (GENERATOR, job["generator"] or "")):
            linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        job["random"] = "random" in job["code"] or "random" in (job["generator"] or "")
        job["known"] = set(job["known"])
        job["compiled"] = None
        if job["careful"]:
            return None
        key = (job["code"], job["generator"] if job["seeds"] is not None else None)
        with_generator = (job["code"], job["generator"])
        if key not in self._kept and self._kept.get(with_generator, (None,))[0] is not None:
            key = with_generator  # of which a call needs the first part
        found = self._kept.pop(key, None) or self._compile(job)
        self._kept[key] = found
        if len(self._kept) > PROGRAMS_KEPT:
            del self._kept[next(iter(self._kept))]
        job["compiled"], report = found
        return dict(report) if report else None

    def _compile(self, job: Job) -> tuple[Any, Any]:
        try:
            return compiled(job), None
        except Exception as error:
            words = _explain(error)
            words["phase"] = "generate" if GENERATOR in words.get("message", "") else "load"
            return None, words


class Ended(Exception):
    """The host is gone or wants no more."""


class Zygote:
    """The warm process: reads requests from `control`, answers each task with one frame."""

    def __init__(self, control: int, setup: dict[str, Any]) -> None:
        self.control = control
        self.setup = setup
        self.pid = os.getpid()
        self.complaints = os.pipe()
        os.set_blocking(self.complaints[0], False)
        self.programs = Programs()
        self.poll = select.poll()
        self.poll.register(control, select.POLLIN)
        self.own_filter, self.filter = self._filters()
        self.forks_allowed = setup["subprocesses"] or self.filter is None
        self.orphans = sys.platform.startswith("linux") and self.pid != 1
        self.cores = os.cpu_count() or 1
        self.used = 0
        self.since, self.used_then = 0.0, 0.0  # the stretch in which the child may not sleep
        self.later: type | None = None
        self.untouched: dict[str, tuple[int, ...]] = {}
        self.inherited: list[int] = []

    def _filters(self) -> tuple[Seccomp | None, Seccomp | None]:
        """Return the filter of this process and what each child adds to it."""
        machine, subprocesses = platform.machine(), self.setup["subprocesses"]
        wanted = sys.platform.startswith("linux") and machine in MACHINES
        if not wanted or self.setup["rung"] == "minimum":
            return None, None
        common = common_filter(machine, subprocesses)
        return Seccomp(common), Seccomp(child_filter(machine, subprocesses))

    def warm_up(self) -> dict[str, Any]:
        """Import what programs of this flavour import, settle down, and say hello."""
        if self.setup["world"]:
            other_clock(self.setup["world"])
        self._preload()
        self.later = later_datetime() if self.setup["world"] else None
        for folder in self.setup["scratch"]:
            _empty(folder)
            self.untouched[folder] = _look(folder)
        seed_all(1 + self.setup["world"])
        sys.argv = ["solution"]
        self._limit_for_good()
        self.inherited = [fd for fd in range(4, 64) if _is_open(fd) and fd != self.complaints[1]]
        self.used = address_space()
        gc.collect()
        gc.freeze()
        gc.disable()
        if self.forks_allowed:  # pid 1 gets no signal from inside but those that it handles
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        if self.own_filter is not None:
            self.own_filter.install()
        return {"hello": platform.python_version(), "guarded": not self.forks_allowed}

    def _preload(self) -> None:
        """Import without hooks on fork: `random` would be seeded anew from the system's noise.

        Start-up files of packages import it too, so the interpreter was started without them.
        """
        register: Any = os.register_at_fork
        vars(os)["register_at_fork"] = lambda **_: None
        try:
            site.main()
            for name in ["random", *self.setup["preload"]]:
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
        finally:
            vars(os)["register_at_fork"] = register

    def _limit_for_good(self) -> None:
        """Set the limits that children inherit as they are."""
        limit(resource.RLIMIT_FSIZE, 16 << 20)
        limit(resource.RLIMIT_NOFILE, 64)
        limit(resource.RLIMIT_CORE, 0)
        if self.setup["subprocesses"]:
            limit(resource.RLIMIT_NPROC, 1024)

    def _limit(self, job: Job) -> None:
        """Limit this process, and so the next children: their filter forbids to change that.

        Raises LimitTooLow if a call could not have what it may use.
        """
        memory = self.used + job["memory_mb"] * (1 << 20)
        demand(resource.RLIMIT_AS, "v", memory)
        demand(resource.RLIMIT_DATA, "d", memory)
        demand(resource.RLIMIT_CPU, "t", int(job["cpu"]) + 1)
        if not self.forks_allowed:
            resource.setrlimit(
                resource.RLIMIT_AS, (memory, resource.getrlimit(resource.RLIMIT_AS)[1])
            )

    def serve(self) -> None:
        """Answer requests until the host hangs up."""
        while True:
            request = receive(self.control)
            if "measure" in request:
                send(self.control, measured(request["measure"]))
                continue
            request["later"] = self.later
            self._limit(request)
            refusal = self.programs.prepare(request)
            send(self.control, {"ready": True})
            tasks = request["inputs"] if request["seeds"] is None else request["seeds"]
            if request["together"] and not self.forks_allowed and refusal is None:
                tasks = tasks[self._answer_together(request, tasks) :]
            if request["only_together"]:
                if tasks:
                    send(self.control, {"ended_early": True})
                continue
            for task in tasks:
                if not self._answer(request, task, refusal):
                    return

    def _answer_together(self, job: Job, tasks: list[Any]) -> int:
        """Run the tasks in one child; return how many of them that has answered."""
        head, data, nonce = self._fork(job, tasks)
        good = head["killed"] is None and head["status"] == 0
        payloads = list(_payloads(data, nonce))[: len(tasks)] if good else []
        head.update(framed=True, silent=False, recycle=False)
        for clock in ("cpu", "wall"):  # an equal share each: nobody outside saw where one ended
            head[clock] /= len(payloads) or 1
        swept = self._swept()
        for number, payload in enumerate(payloads, 1):
            head["recycle"] = number == len(payloads) and not swept
            send(self.control, head, payload)
        if not swept:
            raise Ended
        return len(payloads)

    def _answer(self, job: Job, task: Any, refusal: dict[str, Any] | None) -> bool:
        if refusal is not None:
            head = {"status": 0, "framed": True, "silent": False, "cpu": 0.0, "wall": 0.0}
            send(self.control, head, _report(refusal).encode())
            return True
        head, data, nonce = self._fork(job, [task])
        head["framed"] = data[:8] == nonce and _whole(data)
        head["silent"] = not data
        head["recycle"] = not self._swept()
        send(self.control, head, bytes(data[12:]) if head["framed"] else b"")
        return not head["recycle"]

    def _fork(self, job: Job, tasks: list[Any]) -> tuple[dict[str, Any], bytearray, bytes]:
        """Run tasks in a child; return what the kernel says of it, what it wrote, its nonce."""
        nonce = os.urandom(8)
        open_standard_streams()  # here, where that costs a tenth of what it costs in a new child
        reading, writing = os.pipe()
        started = _monotonic()
        try:
            pid = os.fork()
        except BlockingIOError as error:
            raise OSError(error.errno, "no process can be started: see ulimit -u") from None
        if pid == 0:
            self._become_child(job, reading)
            be_child(job, tasks, writing, nonce)
        os.close(writing)
        try:
            data, killed = self._watch(job, pid, reading, started)
        finally:
            os.close(reading)
        status, usage, late = self._reap(pid, killed)
        head: dict[str, Any] = {"status": status, "killed": "late" if late else killed}
        head["cpu"] = usage.ru_utime + usage.ru_stime
        head["wall"] = _monotonic() - started
        if status == NOT_READY:
            with contextlib.suppress(BlockingIOError):  # foreign code may end with any status
                head["trouble"] = os.read(self.complaints[0], 4096).decode(errors="replace")
        return head, data, nonce

    def _become_child(self, job: Job, reading: int) -> None:
        """Leave the zygote's things behind and close the walls, or end this process."""
        try:
            self._close_walls(job, reading)
            os.close(self.complaints[1])
        except BaseException as error:
            with contextlib.suppress(BaseException):
                os.write(self.complaints[1], f"{type(error).__name__}: {error}".encode()[:4096])
            _exit(NOT_READY)

    def _close_walls(self, job: Job, reading: int) -> None:
        for descriptor in (reading, self.control, *self.inherited):
            os.close(descriptor)
        if self.filter is None:
            os.setsid()
        if self.orphans:
            _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != self.pid:  # it died before it could have told us
                _exit(0)
        if self.forks_allowed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            limit(resource.RLIMIT_AS, self.used + job["memory_mb"] * (1 << 20))
            limit(resource.RLIMIT_CPU, int(job["cpu"]) + 2)
        if self.filter is not None:
            self.filter.install()
        gc.enable()

    def _watch(self, job: Job, pid: int, reading: int, started: float) -> tuple[bytearray, Any]:
        """Collect what the child writes until it closes its pipe or has to be killed."""
        data = bytearray()
        most = 16 * job["output_bytes"] + 65_536
        wait = (
            0.01
            if self.forks_allowed
            else min(job["cpu"] / self.cores, job["wall"], job["ceiling"])
        )
        self.poll.register(reading, select.POLLIN)
        self.since, self.used_then = 0.0, 0.0
        try:
            while True:
                events = self.poll.poll(wait * 1000 + 1)
                if any(fd != reading for fd, _ in events):
                    os.kill(pid, signal.SIGKILL)
                    raise Ended
                if events:
                    chunk = os.read(reading, 65_536)
                    data += chunk
                    if not chunk:
                        return data, None
                    if len(data) > most:
                        return data, "flood"
                    if _whole(data):
                        continue  # most likely done: wait for the end, not for a deadline
                elif self.forks_allowed and gone(pid):
                    return data, None  # its own children keep the pipe open
                wait, killed = self._deadline(job, pid, _monotonic() - started)
                if killed:
                    return data, killed
        finally:
            self.poll.unregister(reading)

    def _deadline(self, job: Job, pid: int, wall: float) -> tuple[float, str | None]:
        """Return how long to wait at most before looking again, or why to kill the child now."""
        used = cpu_of(pid)
        if used >= job["cpu"]:
            return 0.0, "cpu"
        if wall >= job["ceiling"]:
            starved = share_of_a_core() < job["cpu"] / job["ceiling"]
            return 0.0, "ceiling" if starved else "asleep"
        if wall >= self.since + job["wall"]:
            if used - self.used_then < job["cpu"] / 10:
                return 0.0, "wall"
            self.since, self.used_then = wall, used
        until_wall = min(self.since + job["wall"], job["ceiling"]) - wall
        wait = max(0.001, min((job["cpu"] - used) / self.cores, until_wall))
        return (min(wait, 0.01) if self.forks_allowed else wait), None

    def _reap(self, pid: int, killed: str | None) -> tuple[int, Any, bool]:
        """Wait for the child; return its status (negative: signal), use, and if it lingered.

        One that was ending already keeps its status when it is killed, so waiting less under
        load changes nothing but the time.
        """
        pause = 0.0
        while killed is None and pause < 0.1:
            done, raw, usage = os.wait4(pid, os.WNOHANG)
            if done:
                return _status(raw), usage, False
            time.sleep(pause)
            pause = pause * 2 or 0.0001
        os.kill(pid, signal.SIGKILL)
        _, raw, usage = os.wait4(pid, 0)
        status = _status(raw)
        return status, usage, killed is None and status == -signal.SIGKILL

    def _swept(self) -> bool:
        """Leave nothing of the last child; return whether this zygote is as good as new."""
        if self.forks_allowed:
            self._sweep_processes()
        return all(_look(folder) == before for folder, before in self.untouched.items())

    def _sweep_processes(self) -> None:
        while True:
            for pid in [-1] if self.pid == 1 else children(self.pid):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            try:
                os.waitpid(-1, 0 if self.pid == 1 else os.WNOHANG)
            except ChildProcessError:
                return


def _whole(data: bytearray) -> bool:
    """Return whether these are a nonce, a length, and as many bytes as that says."""
    return len(data) >= 12 and int.from_bytes(data[8:12], "little") == len(data) - 12


def _payloads(data: bytearray, nonce: bytes) -> Iterator[bytes]:
    """Yield what stands in the whole frames at the start of `data`."""
    start = 0
    while data[start : start + 8] == nonce and len(data) >= start + 12:
        end = start + 12 + int.from_bytes(data[start + 8 : start + 12], "little")
        if end > len(data):
            return
        yield bytes(data[start + 12 : end])
        start = end


def _look(folder: str) -> tuple[int, ...]:
    """Return what any use of a folder changes: on a tmpfs its size counts the entries."""
    found = os.stat(folder)
    times = found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns
    return (found.st_mode, found.st_size, *times)


def _left_in(folder: str) -> list[str]:
    """Return the names in `folder`, but for what leads to this interpreter, if it lies there."""
    ours = (sys.prefix, sys.base_prefix, sys.executable, os.path.realpath(sys.executable))
    below = [path[len(folder) + 1 :] for path in ours if path.startswith(folder + "/")]
    kept = {path.split("/")[0] for path in below}
    return [name for name in os.listdir(folder) if name not in kept]


def _empty(folder: str) -> None:
    """Remove what the imports of the warm-up left in `folder`."""
    import shutil

    for name in _left_in(folder):
        path = os.path.join(folder, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)


def cpu_of(pid: int) -> float:
    """Return the CPU seconds that a living or unreaped process has used."""
    try:
        return _clock((~pid << 3) | 2)
    except OSError:
        return 0.0


def share_of_a_core() -> float:
    """Return how much of a core this process gets, measured by using it for a moment."""
    wall, used = _monotonic(), _own_cpu()
    spent = gone_by = 0.0
    while spent < 0.05 and gone_by < 2.0:
        spent, gone_by = _own_cpu() - used, _monotonic() - wall
    return spent / gone_by


def gone(pid: int) -> bool:
    """Return whether a child has ended, and leave it to be reaped."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except (AttributeError, OSError):  # some systems cannot look without reaping
        return False


def children(pid: int) -> list[int]:
    """Return the children of a process, where the system tells."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as listing:
            return [int(word) for word in listing.read().split()]
    except OSError:
        return []


def _status(status: int) -> int:
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def measured(forks: int) -> dict[str, Any]:
    """Return what this zygote has used, and the CPU seconds of `forks` bare forks."""
    handles = sum(1 for fd in range(64) if _is_open(fd))
    before = _usage()
    for _ in range(forks):
        pid = os.fork()
        if pid == 0:
            _exit(0)
        os.waitpid(pid, 0)
    after = _usage()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"cpu": after, "forks": after - before, "peak_kb": peak, "descriptors": handles}


def _usage() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
        return True
    except OSError:
        return False


def receive(control: int) -> Any:
    """Return the next message of the host. Raises Ended when there is none."""
    length = struct.unpack("<I", _exactly(control, 4))[0]
    return _loads(_exactly(control, length))


def _exactly(control: int, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        chunk = os.read(control, min(1 << 20, length - len(data)))
        if not chunk:
            raise Ended
        data += chunk
    return bytes(data)


def send(control: int, head: dict[str, Any], payload: bytes = b"") -> None:
    """Send one frame to the host: a head of our own, and bytes that we vouch for nothing in."""
    words = _report(head).encode()
    write_all(control, FRAME.pack(len(words), len(payload)) + words + payload)


# The interpreter -----------------------------------------------------------------------------


def probe(wanted: list[str]) -> dict[str, Any]:
    """Return what the host has to know about this interpreter before it builds walls around it."""
    folders = [path for path in sys.path if path and os.path.isdir(path)]
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "machine": platform.machine(),
        "prefixes": sorted({sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}),
        "executable": sys.executable,
        "packages": dict(sorted(set(filter(None, map(_package, _metadata(folders)))))),
        "found": [name for name in wanted if _find_spec(name.partition(".")[0])],
    }


def _metadata(folders: list[str]) -> list[str]:
    return [name for folder in folders for name in os.listdir(folder)]


def _package(name: str) -> tuple[str, str] | None:
    found = re.match(r"(.+?)-([^-]+)(?:-py[\d.]+)?\.(?:dist|egg)-info$", name)
    return (found[1].lower().replace("_", "-"), found[2]) if found else None


def main(arguments: list[str]) -> None:
    """Entry: `probe NAME..` prints a description; a number is the control descriptor."""
    if arguments[0] == "probe":
        print(json.dumps(probe(arguments[1:])))
        return
    lift_soft_limits()
    control = os.dup2(int(arguments[0]), 3)
    os.set_inheritable(control, False)
    try:
        setup = receive(control)
        raise_walls(setup["rung"], setup["readable"])
        zygote = Zygote(control, setup)
        send(control, zygote.warm_up())
        zygote.serve()
    except (Ended, BrokenPipeError, ConnectionResetError):
        pass
    except LimitTooLow as error:
        send(control, {"too_low": error.words})
    except BaseException as error:
        send(control, {"trouble": f"{type(error).__name__}: {error}"})
        raise


if __name__ == "__main__":
    del sys.path[0]
    main(sys.argv[1:])
    sys.stdout.flush()
    _exit(0)
