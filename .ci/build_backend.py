"""The build backend: that of setuptools, with an sdist that can run its own tests.

Decision: setuptools includes in an sdist what a wheel needs. The tests also read the files below,
which setuptools could only learn from a MANIFEST.in at the top level of the repository. The
wheel is not changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from setuptools.build_meta import *  # noqa: F403  the hooks of PEP 517 and PEP 660
from setuptools.command.sdist import sdist

INCLUDED = (
    ".ci",
    ".github",
    ".gitignore",
    ".pre-commit-config.yaml",
    "alembic.ini",
    "annoy_store",
    "commands",
    "migrations",
    "tests",
)
EXCLUDED = {"__pycache__", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache"}


def included_files(root: Path) -> Iterator[str]:
    """Yield the paths, relative to `root`, of the files that an sdist has to hold."""
    for name in INCLUDED:
        path = root / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            relative = file.relative_to(root)
            if file.is_file() and not EXCLUDED & set(relative.parts):
                yield relative.as_posix()


class Sdist(sdist):
    """`sdist` that adds the files that the tests need."""

    def make_distribution(self) -> None:
        """Write the archive, the added files included."""
        self.filelist.extend(included_files(Path.cwd()))
        self.filelist.sort()
        self.filelist.remove_duplicates()
        super().make_distribution()
