"""The sdist holds what its own tests need, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
TOP_LEVEL = {
    ".ci",
    ".github",
    ".gitignore",
    ".pre-commit-config.yaml",
    "LICENSE",
    "PKG-INFO",
    "README.md",
    "alembic.ini",
    "annoy_store",
    "annoy_store.egg-info",
    "commands",
    "migrations",
    "pyproject.toml",
    "setup.cfg",
    "tests",
}
CACHES = {"__pycache__", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build an sdist of the checkout and unpack it."""
    folder = tmp_path_factory.mktemp("sdist")
    build = [sys.executable, "-m", "build", "--sdist", "--outdir", str(folder), str(CHECKOUT)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    [root] = (path for path in folder.iterdir() if path.is_dir())
    return root


def test_sdist_holds_the_files_of_the_project(unpacked: Path) -> None:
    assert {path.name for path in unpacked.iterdir()} == TOP_LEVEL
    assert (unpacked / ".ci" / "run").stat().st_mode & 0o100
    for folder in (".ci", ".github", "annoy_store", "commands", "migrations", "tests"):
        assert _files(unpacked / folder) == _files(CHECKOUT / folder)


def _files(folder: Path) -> set[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in found if not CACHES & set(path.parts)}


def test_sdist_collects_the_tests_of_the_checkout(unpacked: Path) -> None:
    assert _collected(unpacked) == _collected(CHECKOUT)


def _collected(root: Path) -> list[str]:
    command = [sys.executable, "-m", "pytest", "-n", "0", "-m", "", "--collect-only", "-q"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(line for line in done.stdout.splitlines() if "::" in line)


def test_sdist_passes_tests_that_read_files_outside_the_package(unpacked: Path) -> None:
    names = (
        "commands/test_main.py",
        "db/test_migrate.py",
        "integration/test_language.py",
        "integration/test_readme.py",
        "test_layout.py",
    )
    command = [sys.executable, "-m", "pytest", "-n", "0", *(f"tests/{name}" for name in names)]
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    done = subprocess.run(command, cwd=unpacked, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
