"""The seccomp filter of the runner, evaluated as the kernel would."""

from __future__ import annotations

import pytest

from annoy_store.sandbox import runner


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("subprocesses", [True, False])
def test_seccomp_filter_jumps_stay_inside_it(machine: str, subprocesses: bool) -> None:
    steps = runner.filter_steps(machine, subprocesses, metadata=True)
    for place, (code, yes, no, operand) in enumerate(steps):
        if code in (runner.EQUAL, runner.AT_LEAST, runner.BITS):
            assert place + 1 + max(yes, no) < len(steps)
            assert 0 <= yes < 256
            assert 0 <= no < 256
        if code == runner.JUMP:
            assert place + 1 + operand < len(steps)
    assert steps[-1] == (runner.RETURN, 0, 0, runner.ALLOW)
    assert len(steps) < 4096


ALLOWED = {
    "openat": (257, 56),
    "read": (0, 63),
    "futex": (202, 98),
    "mmap": (9, 222),
    "getpid": (39, 172),
}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_seccomp_filter_follows_the_syscall_tables(machine: str) -> None:
    column = ["x86_64", "aarch64"].index(machine)
    steps = runner.filter_steps(machine, False, metadata=True)
    refused = {**runner.NEVER, **runner.PROCESSES, **runner.METADATA}
    for numbers in refused.values():
        if numbers[column] >= 0:
            assert verdict(steps, machine, numbers[column]) == runner.EPERM
    for numbers in ALLOWED.values():
        assert verdict(steps, machine, numbers[column]) == runner.ALLOW
    guarded = {name: numbers[column] for name, numbers in runner.GUARDED.items()}
    named = {numbers[column] for numbers in refused.values()} | set(guarded.values())
    for number in set(range(runner.NEWEST_SYSCALL + 1)) - named:
        assert verdict(steps, machine, number) == runner.ALLOW
    own, sigkill = runner.OWN_PID, 9
    assert verdict(steps, machine, guarded["clone"], [17]) == runner.EPERM
    assert verdict(steps, machine, guarded["clone"], [runner.CLONE_THREAD]) == runner.ALLOW
    assert verdict(steps, machine, guarded["clone3"]) == runner.ENOSYS
    assert verdict(steps, machine, guarded["kill"], [own, 15]) == runner.ALLOW
    assert verdict(steps, machine, guarded["kill"], [own, sigkill]) == runner.EPERM
    assert verdict(steps, machine, guarded["kill"], [1, 0]) == runner.EPERM
    assert verdict(steps, machine, guarded["tgkill"], [own, 7, 6]) == runner.ALLOW
    assert verdict(steps, machine, guarded["prlimit64"], [0, 3, 1]) == runner.ALLOW
    assert verdict(steps, machine, guarded["prlimit64"], [0, 9, 1]) == runner.EPERM
    assert verdict(steps, machine, guarded["prlimit64"], [0, 0, 1]) == runner.EPERM
    assert verdict(steps, machine, guarded["prlimit64"], [0, 0, 1 << 32]) == runner.EPERM
    assert verdict(steps, machine, guarded["prlimit64"], [own, 0, 0]) == runner.ALLOW
    assert verdict(steps, machine, guarded["prlimit64"], [1, 9, 1]) == runner.EPERM
    assert verdict(steps, machine, guarded["fcntl"], [3, 8]) == runner.EPERM
    assert verdict(steps, machine, guarded["fcntl"], [3, 1]) == runner.ALLOW
    assert verdict(steps, machine, 500) == runner.ENOSYS
    assert verdict(steps, "another", 0) == runner.KILL


def verdict(
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
