"""The seccomp filter of the runner, evaluated as the kernel would, and by the kernel."""

from __future__ import annotations

import ast
import ctypes
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from annoy_store.sandbox import runner

if TYPE_CHECKING:
    Filters = tuple[list[runner.Step], ...]

ROOT = Path(__file__).parents[2]
# By name and number, from the kernel's headers: what no program may do, whatever the lists say.
FORBIDDEN = runner._table(
    """
    chmod 90 -1, fchmod 91 52, fchmodat 268 53, fchmodat2 452 452, chown 92 -1, fchown 93 55,
    lchown 94 -1, fchownat 260 54, utime 132 -1, utimes 235 -1, futimesat 261 -1,
    utimensat 280 88, setxattr 188 5, lsetxattr 189 6, fsetxattr 190 7, removexattr 197 14,
    lremovexattr 198 15, fremovexattr 199 16, truncate 76 45, mknod 133 -1, mknodat 259 33,
    shmget 29 194, shmat 30 196, shmdt 67 197, shmctl 31 195, semget 64 190, semop 65 193,
    semctl 66 191, semtimedop 220 192, msgget 68 186, msgsnd 69 189, msgrcv 70 188,
    msgctl 71 187, mq_open 240 180, mq_unlink 241 181, mq_timedsend 242 182,
    mq_timedreceive 243 183, mq_notify 244 184, mq_getsetattr 245 185, memfd_create 319 279,
    memfd_secret 447 447, add_key 248 217, request_key 249 218, keyctl 250 219, flock 73 32,
    fadvise64 221 223, readahead 187 213, sync 162 81, syncfs 306 267, sync_file_range 277 84,
    mincore 27 232, mlock 149 228, mlockall 151 230, remap_file_pages 216 234,
    inotify_init 253 -1, inotify_init1 294 26, inotify_add_watch 254 27,
    fanotify_init 300 262, fanotify_mark 301 263, ptrace 101 117, process_vm_readv 310 270,
    process_vm_writev 311 271, process_madvise 440 440, process_mrelease 448 448,
    pidfd_open 434 434, pidfd_getfd 438 438, pidfd_send_signal 424 424, kcmp 312 272,
    move_pages 279 239, migrate_pages 256 238, setpriority 141 140, ioprio_set 251 30,
    sched_setaffinity 203 122, sched_setscheduler 144 119, sched_setparam 142 118,
    sched_setattr 314 274, get_robust_list 274 100, timer_create 222 107, socket 41 198,
    connect 42 203, bind 49 200, listen 50 201, accept 43 202, accept4 288 242,
    setsockopt 54 208, sendmmsg 307 269, recvmmsg 299 243, unshare 272 97, setns 308 268,
    mount 165 40, umount2 166 39, pivot_root 155 41, chroot 161 51, open_tree 428 428,
    move_mount 429 429, fsopen 430 430, fsconfig 431 431, fsmount 432 432, fspick 433 433,
    mount_setattr 442 442, bpf 321 280, perf_event_open 298 241, userfaultfd 323 282,
    io_uring_setup 425 425, io_uring_enter 426 426, io_uring_register 427 427, io_setup 206 0,
    io_submit 209 2, open_by_handle_at 304 265, name_to_handle_at 303 264, kexec_load 246 104,
    kexec_file_load 320 294, init_module 175 105, finit_module 313 273, delete_module 176 106,
    swapon 167 224, swapoff 168 225, reboot 169 142, sethostname 170 161,
    setdomainname 171 162, settimeofday 164 170, clock_settime 227 112, clock_adjtime 305 266,
    adjtimex 159 171, quotactl 179 60, quotactl_fd 443 443, personality 135 92,
    syslog 103 116, acct 163 89, capset 126 91, iopl 172 -1, ioperm 173 -1, modify_ldt 154 -1,
    vhangup 153 58, seccomp 317 277, execveat 322 281, openat2 437 437,
    landlock_create_ruleset 444 444, setuid 105 146, setgid 106 144, setreuid 113 145,
    setregid 114 143, setresuid 117 147, setresgid 119 149, setgroups 116 159,
    setfsuid 122 151, setfsgid 123 152, splice 275 76, vmsplice 278 75, tee 276 77,
    mbind 237 235, set_mempolicy 238 237
    """
)
MACHINES = runner.MACHINES
HEADERS = ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm-generic/unistd.h")
TRACE, ENOSYS = 0x7FF00000, 38  # what would be traced, and is not, is not done: ENOSYS
TOO_NEW = 4000  # so that number stands for the answer to a number that is too new
MAGIC = 0x5EC0
TRAMPOLINES = (335, 336)  # uretprobe, uprobe: no filter is asked; a kernel ends who calls them
HIGHEST = runner.NEWEST_SYSCALL + 64
ASK = """
import ctypes, sys
from tests.sandbox.test_runner_seccomp import answers_of_this_kernel
print(answers_of_this_kernel(sys.argv[1] == "True"))
"""


def filters(machine: str, subprocesses: bool) -> Filters:
    """Return the filters that a child has: its zygote's and its own."""
    return runner.common_filter(machine, subprocesses), runner.child_filter(machine, subprocesses)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("subprocesses", [True, False])
def test_seccomp_filter_jumps_stay_inside_it(machine: str, subprocesses: bool) -> None:
    ends = runner.EPERM, runner.ALLOW
    for steps, end in zip(filters(machine, subprocesses), ends, strict=True):
        for place, (code, yes, no, operand) in enumerate(steps):
            if code in (runner.EQUAL, runner.AT_LEAST, runner.BITS):
                assert place + 1 + max(yes, no) < len(steps)
                assert 0 <= yes < 256
                assert 0 <= no < 256
            if code == runner.JUMP:
                assert place + 1 + operand < len(steps)
        assert steps[-1] == (runner.RETURN, 0, 0, end)
        assert len(steps) < 4096


@pytest.mark.parametrize("machine", MACHINES)
def test_zygote_may_start_limit_and_end_its_children(machine: str) -> None:
    """What `child_filter` refuses is what the zygote needs: it keeps its own filter only."""
    steps, column = runner.common_filter(machine, False), MACHINES.index(machine)

    def answer(name: str, *given: int) -> int:
        return verdict((steps,), machine, runner.GUARDED[name][column], [*given])

    assert answer("clone", 17) == runner.ALLOW
    assert answer("clone", 17 | 0x10000000) == runner.EPERM
    assert answer("kill", 12345, 9) == runner.ALLOW
    assert answer("prlimit64", 0, 9, 1) == runner.ALLOW
    assert answer("prctl", runner.PR_SET_SECCOMP) == runner.ALLOW
    assert answer("prctl", runner.PR_SET_DUMPABLE) == runner.EPERM
    assert verdict((steps,), machine, runner.PROCESSES["execve"][column]) == runner.EPERM


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("subprocesses", [True, False])
def test_seccomp_filter_allows_what_is_listed_and_nothing_else(
    machine: str, subprocesses: bool
) -> None:
    column = MACHINES.index(machine)
    steps = filters(machine, subprocesses)
    allowed = {n[column] for n in runner.ALLOWED.values()}
    allowed |= {n[column] for n in runner.PROCESSES.values()} if subprocesses else set()
    guarded = {n[column] for n in runner.GUARDED.values()} - allowed
    for number in set(range(runner.NEWEST_SYSCALL + 1)) - guarded:
        expected = runner.ALLOW if number in allowed else runner.EPERM
        assert verdict(steps, machine, number) == expected, number
    for number in (runner.NEWEST_SYSCALL + 1, 500, 0x40000000, 0x40000039, 2**32 - 1):
        assert verdict(steps, machine, number) == runner.ENOSYS
    assert verdict(steps, "another", 0) == runner.KILL


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("subprocesses", [True, False])
def test_seccomp_filter_refuses_what_reaches_beyond_the_program(
    machine: str, subprocesses: bool
) -> None:
    steps = filters(machine, subprocesses)
    for name, numbers in FORBIDDEN.items():
        if numbers[MACHINES.index(machine)] >= 0:
            answer = verdict(steps, machine, numbers[MACHINES.index(machine)])
            assert answer == runner.EPERM, name


def guarded_answers(machine: str, subprocesses: bool) -> Callable[..., int]:
    """Return the answer to a guarded system call by its name and arguments."""
    steps, column = filters(machine, subprocesses), MACHINES.index(machine)
    return lambda name, *given: verdict(steps, machine, runner.GUARDED[name][column], [*given])


@pytest.mark.parametrize("machine", MACHINES)
def test_seccomp_filter_looks_at_arguments(machine: str) -> None:
    answer = guarded_answers(machine, subprocesses=False)
    own, other, sigkill = runner.OWN_PID, 1, 9
    allowed = [
        *[("clone", runner.CLONE_THREAD), ("kill", own, 15), ("kill", own, 0)],
        *[("tkill", own, 6), ("tgkill", own, 7, 6)],
        *[("prlimit64", 0, 3, 1), ("prlimit64", own, 0, 0), ("prlimit64", 0, 9, 0)],
        *[("setrlimit", 3), ("setrlimit", 7), ("socketpair", 1, 1), ("socketpair", 1, 0x80801)],
        *[("fcntl", 3, command) for command in (0, 1, 2, 3, 4, 1030)],
        *[("ioctl", 3, command) for command in (0x5401, 0x5413, 0x541B, 0x5421)],
        *[("madvise", 0, 0, advice) for advice in (0, 4, 8, 14)],
        *[("prctl", 15), ("prctl", 16)],
        *[("openat", 0, 0, flags) for flags in (0, 0o2000000, 0o1001, 0o1102, 0o102)],
    ]
    refused = [
        *[("clone", 17), ("clone", 0), ("clone", runner.CLONE_THREAD | 0x40000000)],
        *[("kill", own, sigkill), ("kill", other, 0), ("kill", 2**32 - 1, 9), ("kill", 0, 15)],
        *[("tkill", own, sigkill), ("tkill", other, 0), ("tgkill", own, 7, 9), ("tgkill", 1, 1, 0)],
        *[("prlimit64", 0, 9, 1), ("prlimit64", 0, 0, 1), ("prlimit64", 0, 0, 1 << 32)],
        *[("prlimit64", other, 9, 1), ("prlimit64", other, 3, 0)],
        *[("setrlimit", 0), ("setrlimit", 9)],
        *[("socketpair", 1, 2), ("socketpair", 1, 5), ("socketpair", 2, 1), ("socketpair", 16, 1)],
        # locks, leases, owners of signals, notices, sizes of pipes, seals, hints
        *[("fcntl", 3, n) for n in (5, 6, 7, 8, 9, 10, 11, 15, 36, 37, 38)],
        *[("fcntl", 3, n) for n in (1024, 1025, 1026, 1031, 1033, 1034, 1036, 1038)],
        # TIOCSTI, TIOCSCTTY, FIOSETOWN, SIOCSPGRP, FIOASYNC, FS_IOC_SETFLAGS and its like
        *[("ioctl", 3, n) for n in (0x5412, 0x540E, 0x8901, 0x8902, 0x5452)],
        *[("ioctl", 3, n) for n in (0x40086602, 0x40046602, 0x401C5820, 0xC0185879)],
        *[("madvise", 0, 0, advice) for advice in (12, 20, 21, 100, 101, 2**32 - 1)],
        *[("prctl", option) for option in (1, 4, 22, 36, 38, 0x59616D61)],
        *[("openat", 0, 0, flags) for flags in (0o1000, 0o1003, 0o2001000)],
    ]
    assert [given for given in allowed if answer(*given) != runner.ALLOW] == []
    assert [given for given in refused if answer(*given) != runner.EPERM] == []
    assert answer("clone3") == runner.ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_seccomp_filter_with_subprocesses_keeps_to_its_namespaces(machine: str) -> None:
    answer = guarded_answers(machine, subprocesses=True)
    assert answer("clone", 17) == runner.ALLOW
    assert answer("prlimit64", 0, 9, 1) == runner.ALLOW
    for flag in (0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert answer("clone", 17 | flag) == runner.EPERM
    assert answer("clone3") == runner.ENOSYS
    assert answer("prlimit64", 1, 9, 1) == runner.EPERM


@pytest.mark.parametrize("subprocesses", [True, False])
def test_kernel_answers_every_number_as_the_lists_say(subprocesses: bool) -> None:
    if platform.machine() not in MACHINES or not sys.platform.startswith("linux"):
        pytest.skip("no filter for this machine")
    command = [sys.executable, "-c", ASK, str(subprocesses)]
    told = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    machine = platform.machine()
    steps = filters(machine, subprocesses)
    expected = {runner.ALLOW: ENOSYS, runner.EPERM: 1, runner.ENOSYS: TOO_NEW}
    wanted = [expected[verdict(steps, machine, number, [2**32 - 1] * 5)] for number in numbers()]
    assert ast.literal_eval(told) == wanted


def numbers() -> list[int]:
    """Return every number of a system call, some that will be, and those of another table."""
    return [n for n in range(HIGHEST) if n not in TRAMPOLINES] + [*range(1 << 30, (1 << 30) + 500)]


def answers_of_this_kernel(subprocesses: bool) -> list[int]:
    """Install the filter in this process and return the errno of every number.

    Calls with a certain sixth argument alone are judged, and none of those is done.
    """
    only = [runner._argument(5), (runner.EQUAL, 1, 0, MAGIC), (runner.RETURN, 0, 0, runner.ALLOW)]
    said = {runner.ALLOW: TRACE, runner.ENOSYS: 0x00050000 | TOO_NEW}
    ready = [
        runner.Seccomp([*only, *[(*step[:3], said.get(step[3], step[3])) for step in steps]])
        for steps in filters(platform.machine(), subprocesses)
    ]
    runner._prctl(runner.PR_SET_NO_NEW_PRIVS, 1)
    libc, wide = ctypes.CDLL(None, use_errno=True), ctypes.c_long
    for each in ready:
        each.install()
    errors = []
    for number in numbers():
        assert libc.syscall(wide(number), *[wide(-1)] * 5, wide(MAGIC)) == -1
        errors.append(ctypes.get_errno())
    return errors


@pytest.mark.parametrize("machine", MACHINES)
def test_syscall_tables_agree_with_the_headers_of_the_kernel(machine: str) -> None:
    column = MACHINES.index(machine)
    try:
        text = Path(HEADERS[column]).read_text()
    except OSError:
        pytest.skip("no kernel headers here")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)
    known = {name.replace("newfstatat", "fstatat"): int(number) for name, number in found}
    for table in (runner.ALLOWED, runner.PROCESSES, runner.GUARDED, FORBIDDEN):
        for name, numbers in table.items():
            expected = known.get(name.replace("newfstatat", "fstatat"))
            assert expected in (None, numbers[column]), name  # None: the headers are older


def verdict(steps: Filters, machine: str, call: int, given: list[int] | None = None) -> int:
    """Evaluate filters as the kernel would: the strictest answer counts, and of equals the last."""
    answers = [evaluated(each, machine, call, given) for each in reversed(steps)]
    order = (runner.KILL, 0x00050000, runner.ALLOW)
    return min(answers, key=lambda answer: order.index(answer & 0xFFFF0000))


def evaluated(
    steps: list[runner.Step], machine: str, call: int, given: list[int] | None = None
) -> int:
    """Evaluate a seccomp filter as the kernel would, on one system call."""
    words = {0: call, 4: runner.AUDIT_ARCH.get(machine, 7)}
    for place, value in enumerate([*(given or []), 0, 0, 0, 0, 0, 0][:6]):
        words[16 + 8 * place], words[20 + 8 * place] = value & 0xFFFFFFFF, value >> 32
    at = register = x = kept = 0
    while True:
        code, yes, no, operand = steps[at]
        at += 1
        if code == runner.RETURN:
            return operand
        if code == runner.LOAD:
            register = words[operand]
        elif code == runner.AND:
            register &= operand
        elif code == runner.CONSTANT:
            register = operand
        elif code == runner.KEEP:
            kept = register
        elif code == runner.KEPT:
            register = kept
        elif code == runner.TO_X:
            x = register
        elif code == runner.SHIFT:
            register >>= operand
        elif code == runner.SHIFT_BY_X:
            register >>= x
        elif code == runner.JUMP:
            at += operand
        else:
            holds = {
                runner.EQUAL: register == operand,
                runner.AT_LEAST: register >= operand,
                runner.BITS: bool(register & operand),
            }[code]
            at += yes if holds else no
