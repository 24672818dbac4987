"""The interpreter that runs the samples: its version, packages, and the paths it has to read.

Decisions
- It is inspected once, outside the sandbox, with a cleared environment: it is the user's own.
- Its digest covers version, machine and the installed packages with their versions. A newly
  installed package makes new checks and leaves old ones as they are.
- Only the prefixes and the system's libraries are readable inside. Packages of the user site and
  editable checkouts stay outside: they are stored next to secrets.
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
from typing import Any

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
    """A Python that can run samples.

    Attributes:
        path: Path of the executable.
        version: Such as `3.11.7`.
        implementation: Such as `cpython`.
        machine: Such as `x86_64`.
        prefixes: Folders of the standard library and the packages.
        packages: Versions of the installed distributions, by name.
        installed: The members of `preload.HEAVY_PACKAGES` that it can import.
    """

    path: str
    version: str
    implementation: str
    machine: str
    prefixes: tuple[str, ...]
    packages: Mapping[str, str]
    installed: tuple[str, ...]

    def sandbox_info(self, isolation: str) -> SandboxInfo:
        """Return what is stored with every execution under this interpreter.

        Args:
            isolation: The isolation level in use: `strong`, `fallback` or `minimum`.
        """
        description = [self.implementation, self.version, self.machine, dict(self.packages)]
        return SandboxInfo(
            isolation,
            runner_version(),
            digest("interpreter", description),
            self.version,
            self.packages,
        )


def runner_version() -> str:
    """Return 12 hex digits of the SHA-256 of the program inside the sandbox."""
    return hashlib.sha256(RUNNER.read_bytes()).hexdigest()[:12]


def environment_variables(environment_seed: int = 0) -> dict[str, str]:
    """Return the whole environment of a zygote; of the host's, only the library path is passed on.

    Args:
        environment_seed: Selects the hash seed; 0 for the first run of a call.
    """
    threads = ("OPENBLAS", "OMP", "MKL", "NUMEXPR", "VECLIB_MAXIMUM", "BLIS", "RAYON")
    variables = {
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
    variables.update({f"{name}_NUM_THREADS": "1" for name in threads})
    if "LD_LIBRARY_PATH" in os.environ:
        variables["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return variables


def inspect_interpreter(python: str | None = None) -> Interpreter:
    """Ask an interpreter about its version, packages and prefixes.

    Args:
        python: Path or command of the interpreter; default: the one that runs this.

    Raises:
        UsageError: It does not run, or is older than Python 3.8.
    """
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
        return _parse_description(path, json.loads(answer.stdout))
    except ValueError as error:
        last = answer.stderr.decode(errors="replace").strip().rpartition("\n")[2] or "no answer"
        raise UsageError(
            f"{path} is not Python 3.8 or later ({last}). Name another with --python."
        ) from error


def _parse_description(path: str, description: dict[str, Any]) -> Interpreter:
    interpreter = Interpreter(
        path=os.path.abspath(path) if os.sep in path else str(description["executable"]),
        version=str(description["python"]),
        implementation=str(description["implementation"]),
        machine=str(description["machine"]),
        prefixes=tuple(description["prefixes"]),
        packages=dict(description["packages"]),
        installed=tuple(description["found"]),
    )
    if tuple(map(int, interpreter.version.split(".")[:2])) < MIN_PYTHON:
        raise UsageError(f"{path} is Python {interpreter.version}; 3.8 is the oldest that works.")
    return interpreter


def readable_paths(interpreter: Interpreter) -> list[str]:
    """Return the folders and files that must be readable inside: system paths first, none twice."""
    paths = [path for path in SYSTEM_PATHS if os.path.exists(path)]
    for path in (*interpreter.prefixes, *_links(interpreter.path)):
        for resolved in (path, os.path.realpath(path)):
            if resolved != "/" and not any(_is_below(resolved, folder) for folder in paths):
                paths.append(resolved)
    return paths


def _links(path: str) -> list[str]:
    """Return each step of the chain of symbolic links from `path` to a file."""
    steps: list[str] = []
    while os.path.islink(path) and len(steps) < 16:
        steps.append(path)
        path = os.path.join(os.path.dirname(path), os.readlink(path))
    return [*steps, path]


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
