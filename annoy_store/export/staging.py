"""The folder of an export: filled under another name, made durable, then renamed.

Decisions
- Nothing ever stands under the final name but a whole export: a staging folder is filled beside
  it, every file is checked and synced, and one rename publishes it. If the log then fails to
  record the export, it is renamed back.
- A staging folder is locked by the process that fills it. One that no process has locked is what
  a killed export left, and the next export to the same place removes it.
"""

from __future__ import annotations

import fcntl
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from annoy_store.errors import UsageError


def check_folder(folder: Path) -> None:
    """Check that `folder` can be written: it does not exist, or is empty.

    Raises:
        UsageError: If it is a file, or not empty.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder for the export")
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"the folder {folder} is not empty; name a new one, or empty it first")


@contextmanager
def staging_folder(folder: Path) -> Iterator[Path]:
    """Give a folder beside `folder` to fill, and remove it at the end.

    What is renamed by `publish_folder` before the end stays.

    Args:
        folder: Where the export will be published.

    Yields:
        The staging folder: new, empty and locked by this process.

    Raises:
        UsageError: If `folder` is in use, or the disk refuses a write.
    """
    check_folder(folder)
    name = f".{folder.resolve().name}.partial-{os.getpid()}-{secrets.token_hex(4)}"
    staging = folder.resolve().parent / name
    try:
        staging.mkdir(parents=True)
        _remove_abandoned(folder.resolve(), staging)
        with _locked(staging):
            yield staging
    except (OSError, duckdb.IOException) as error:
        raise UsageError(f"cannot write {folder}: {_message(error)}; nothing was kept") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def publish_folder(staging: Path, folder: Path) -> None:
    """Sync everything in `staging` to disk and rename it to `folder`.

    Raises:
        UsageError: If `folder` has been filled by someone else meanwhile.
    """
    for path in sorted(staging.rglob("*")):
        _sync(path)
    _sync(staging)
    check_folder(folder)
    os.rename(staging, folder.resolve())
    _sync(folder.resolve().parent)


def withdraw_folder(staging: Path, folder: Path) -> None:
    """Take back what `publish_folder` did: rename `folder` to `staging`, which will be removed."""
    os.rename(folder.resolve(), staging)
    _sync(staging.parent)


def _remove_abandoned(folder: Path, own: Path) -> None:
    """Remove the staging folders that killed exports to `folder` left."""
    for left in folder.parent.glob(f".{glob.escape(folder.name)}.partial-*"):
        with _locked(left) as abandoned:
            if abandoned and left != own:
                shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _locked(staging: Path) -> Iterator[bool]:
    """Lock a staging folder until the process ends at the latest; yield whether it worked."""
    descriptor = os.open(staging, os.O_RDONLY)
    try:
        yield _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    with suppress(OSError):  # another process has it, or the file system has no locks
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _message(error: Exception) -> str:
    if "No space left" in str(error):
        return "No space left (exporting needs disk space for two copies of the text)"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
