"""A folder that is mounted read-only, as an archive is."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounting_read_only() -> Iterator[Callable[[Path], None]]:
    """Yield a function that mounts a folder read-only until the end, or skips the test."""
    mounted: list[Path] = []

    def mount(folder: Path) -> None:
        commands = (["mount", "--bind", folder, folder], ["mount", "-o", "remount,ro,bind", folder])
        for command in commands:
            if subprocess.run(command, capture_output=True).returncode:
                pytest.skip("no right to mount a folder read-only")
            mounted.append(folder)

    try:
        yield mount
    finally:
        for folder in set(mounted):
            subprocess.run(["umount", "-l", folder], check=True)
