"""Runs untrusted Python in isolated, preloaded interpreter processes; start at `open_sandbox`.

Modules, from the inside out: `runner` is the program inside the sandbox, `zygote` the host side of
one such process, `results` turns its reports into execution results, `pool` implements
`interfaces.Sandbox` with them, `isolation` finds the strongest isolation that works here,
`interpreter` describes the Python that runs the samples, and `preload` says which modules are
imported in advance.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from annoy_store.errors import UsageError, unknown_name
from annoy_store.interfaces import Limits
from annoy_store.sandbox.interpreter import inspect_interpreter
from annoy_store.sandbox.isolation import ISOLATION_LEVELS, strongest_isolation
from annoy_store.sandbox.pool import LocalSandbox, available_cores
from annoy_store.sandbox.preload import modules_to_preload
from annoy_store.sandbox.zygote import IsolationLevel, ZygoteProcess

__all__ = ["LocalSandbox", "open_sandbox"]


def open_sandbox(
    *,
    slots: int | None = None,
    python: str | None = None,
    unsafe: bool = False,
    allow_subprocess: bool = False,
    isolation: str | None = None,
    limits: Limits | None = None,
) -> LocalSandbox:
    """Open a sandbox at the strongest isolation level that works on this machine.

    Args:
        slots: How many batches of calls run at the same time; default: the cores of this process.
        python: Path of the interpreter that runs the samples; default: the one that runs this.
        unsafe: Also accept the level `minimum`, which has resource limits only.
        allow_subprocess: Let code start processes; needs the level `strong`.
        isolation: The only level to try (`strong`, `fallback` or `minimum`); default: all.
        limits: What a call may use, which this process must be able to give; default: `Limits()`.

    Returns:
        A sandbox with one warm process. Close it after use, or use it as a context manager.

    Raises:
        UsageError: There is no such level or interpreter, or no permitted level works, or
            this process inherited a limit (`ulimit`) that is below `limits`.
    """
    if isolation is not None and isolation not in ISOLATION_LEVELS:
        raise UsageError(unknown_name("isolation level", isolation, ISOLATION_LEVELS))
    interpreter = inspect_interpreter(python)
    spawner = ThreadPoolExecutor(1, "annoy-spawn")
    modules = modules_to_preload("plain", interpreter.installed)

    def start(level: IsolationLevel) -> ZygoteProcess:
        return ZygoteProcess(level, interpreter, modules, 0, spawner)

    try:
        level, zygote, failures = strongest_isolation(
            interpreter,
            start,
            limits or Limits(),
            unsafe=unsafe,
            subprocesses=allow_subprocess,
            only=isolation,
        )
    except BaseException:
        spawner.shutdown()
        raise
    sandbox = LocalSandbox(level, interpreter, slots or available_cores(), spawner, failures)
    sandbox.add_zygote(zygote)
    return sandbox
