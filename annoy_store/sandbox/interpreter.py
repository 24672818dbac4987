"""The interpreter that runs the samples: what it is, and which folders it has to read.

Decisions
- It is asked once, outside the sandbox, with a cleared environment: it is the user's own.
- Its digest covers version, machine and the installed packages with their versions, so that a
  newly installed package makes new checks and leaves the old ones as they are.
- Only the prefixes and the system's libraries can be read inside. Packages of the user site and
  editable checkouts stay outside: they lie beside secrets.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from annoy_store.errors import UsageError
from annoy_store.hashing import digest
from annoy_store.interfaces import SandboxInfo
from annoy_store.sandbox.preload import HEAVY_PACKAGES

RUNNER = Path(__file__).with_name("runner.py")
SYSTEM_PATHS = (
    *("/usr", "/bin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives"),
)
MIN_PYTHON = (3, 8)


@dataclass(frozen=True)
class Interpreter:
    """A Python that can run samples; `installed` names the heavy packages that it has."""

    path: str
    version: str
    implementation: str
    machine: str
    prefixes: tuple[str, ...]
    packages: Mapping[str, str]
    installed: tuple[str, ...]

    def sandbox_info(self, rung: str) -> SandboxInfo:
        """Return what is stored with every execution under this interpreter on `rung`."""
        about = [self.implementation, self.version, self.machine, dict(self.packages)]
        return SandboxInfo(
            rung, runner_version(), digest("interpreter", about), self.version, self.packages
        )


def runner_version() -> str:
    """Return 12 hex digits that change when the program inside the sandbox changes."""
    return hashlib.sha256(RUNNER.read_bytes()).hexdigest()[:12]


def environment_variables(environment_seed: int = 0) -> dict[str, str]:
    """Return the whole environment of a zygote; nothing of ours gets in but the library path."""
    threads = ("OPENBLAS", "OMP", "MKL", "NUMEXPR", "VECLIB_MAXIMUM", "BLIS", "RAYON")
    fixed = {
        "PATH": "/usr/bin:/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "MALLOC_ARENA_MAX": "2",
        "MPLBACKEND": "Agg",
        "PYTHONUTF8": "1",
        "PYTHONHASHSEED": str((1 + 4241 * environment_seed) % 2**32),
    }
    fixed.update({f"{name}_NUM_THREADS": "1" for name in threads})
    if "LD_LIBRARY_PATH" in os.environ:
        fixed["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return fixed


def inspect_interpreter(python: str | None = None) -> Interpreter:
    """Ask an interpreter (by default our own) about itself. Raises UsageError."""
    path = python or sys.executable
    command = [path, "-s", "-B", str(RUNNER), "probe", *HEAVY_PACKAGES]
    try:
        answer = subprocess.run(
            command,
            env=environment_variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{path} does not run: {error}. Name another with --python.") from error
    try:
        return _described(path, json.loads(answer.stdout))
    except ValueError as error:
        last = answer.stderr.decode(errors="replace").strip().rpartition("\n")[2] or "no answer"
        raise UsageError(
            f"{path} is no Python 3.8 or later ({last}). Name another with --python."
        ) from error


def _described(path: str, about: dict[str, object]) -> Interpreter:
    interpreter = Interpreter(
        path=os.path.abspath(path) if os.sep in path else str(about["executable"]),
        version=str(about["python"]),
        implementation=str(about["implementation"]),
        machine=str(about["machine"]),
        prefixes=tuple(about["prefixes"]),  # type: ignore[arg-type]
        packages=dict(about["packages"]),  # type: ignore[call-overload]
        installed=tuple(about["found"]),  # type: ignore[arg-type]
    )
    if tuple(map(int, interpreter.version.split(".")[:2])) < MIN_PYTHON:
        raise UsageError(f"{path} is Python {interpreter.version}; 3.8 is the oldest that works.")
    return interpreter


def readable_paths(interpreter: Interpreter) -> list[str]:
    """Return the folders and files that have to be read inside: system first, none twice."""
    wanted = [path for path in SYSTEM_PATHS if os.path.exists(path)]
    for path in (*interpreter.prefixes, *_links(interpreter.path)):
        for form in (path, os.path.realpath(path)):
            if form != "/" and not any(_below(form, folder) for folder in wanted):
                wanted.append(form)
    return wanted


def _links(path: str) -> list[str]:
    """Return each step of the chain of links that leads from `path` to a file."""
    steps: list[str] = []
    while os.path.islink(path) and len(steps) < 16:
        steps.append(path)
        path = os.path.join(os.path.dirname(path), os.readlink(path))
    return [*steps, path]


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
