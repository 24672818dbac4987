"""The executor: untrusted Python in warm, walled-in interpreters. `open_sandbox` is the door.

The parts, from the inside out: `runner` is the program inside, `zygote` the host's end of one,
`results` turns what comes back into outcomes, `pool` is the `interfaces.Sandbox` over them,
`isolation` finds the strongest isolation that holds here, `interpreter` describes the interpreter,
and `preload` says what to import beforehand.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from annoy_store.errors import UsageError
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
) -> LocalSandbox:
    """Open a sandbox with `slots` (default: cores) on the strongest rung that holds here.

    `python` names the interpreter of the samples (default: our own). `unsafe` admits the rung
    that has resource limits only. `allow_subprocess` lets code start processes, on the strong
    rung only. `rung` forces one rung. Raises UsageError when none holds.
    """
    if isolation is not None and isolation not in ISOLATION_LEVELS:
        raise UsageError(
            f"there is no rung {isolation!r}; the rungs are {', '.join(ISOLATION_LEVELS)}"
        )
    interpreter = inspect_interpreter(python)
    spawner = ThreadPoolExecutor(1, "annoy-spawn")
    names = modules_to_preload("plain", interpreter.installed)

    def start(rung: IsolationLevel) -> ZygoteProcess:
        return ZygoteProcess(rung, interpreter, names, 0, spawner)

    try:
        found, zygote, refused = strongest_isolation(
            interpreter, start, unsafe=unsafe, subprocesses=allow_subprocess, only=isolation
        )
    except BaseException:
        spawner.shutdown()
        raise
    sandbox = LocalSandbox(found, interpreter, slots or available_cores(), spawner, refused)
    sandbox.add_zygote(zygote)
    return sandbox
