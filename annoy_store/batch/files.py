"""Batches by way of a file: written for `vllm run-batch`, Azure or a hand, and taken back.

Decisions
- A file that is written binds its calls as a batch that is handed in does: nobody else asks them
  until their answers are imported, or the batch is let go. Rows come first here, too.
- Answers are taken in from any number of files in any order, and twice as well as once. What has no
  line yet stays bound, for providers write answers and errors to two files.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from annoy_store.batch import reserve
from annoy_store.batch.jsonl import Reply, replies
from annoy_store.batch.reserve import Filling
from annoy_store.batch.results import Taken, finish, take
from annoy_store.batch.rows import OPEN, Held, Office, held, open_calls, take_hold
from annoy_store.batch.session import (
    Teachers,
    answered_by,
    batch_teachers,
    budgets_of,
    office_of,
)
from annoy_store.config import RunSettings
from annoy_store.db.engine import Store
from annoy_store.db.tables import batches
from annoy_store.errors import UsageError
from annoy_store.inference.budgets import told_reached


@dataclass(frozen=True)
class HandedOut:
    """What a file holds: lines of a batch, its size in bytes; a budget that allowed no more."""

    batch_id: int
    lines: int
    size: int
    spent: str | None = None


@dataclass
class HandedBack:
    """What came of the lines for one batch, and how many of its calls have none yet."""

    batch_id: int
    ended: Counter[str] = field(default_factory=Counter)
    lines: int = 0
    again: int = 0  # pending again: they went wrong, or nobody worked on them
    known: int = 0  # lines that were taken in before
    missing: int = 0
    stop: str | None = None


# Out -----------------------------------------------------------------------------------------


def hand_out(
    store: Store, settings: RunSettings, path: Path, most: int | None = None
) -> HandedOut | None:
    """Bind pending calls and write their questions to `path`; None if nothing is pending.

    Raises UsageError if that file is there or cannot be written.
    """
    _check(path)
    teachers = batch_teachers(store, settings)
    caps = budgets_of(store, settings, teachers)
    with office_of(store, settings) as office:
        for teacher_id, teacher in teachers.items():
            variants = reserve.variants_of(office, answered_by(settings, teachers, teacher_id))
            lines = min(most or settings.batch_lines, settings.batch_lines)
            filling = reserve.bind(
                office,
                Filling(teacher_id, teacher, "exported", variants, caps, lines, reserve.new_name()),
                lambda: False,
            )
            spent = (
                told_reached(filling.reached, caps[filling.reached]) if filling.reached else None
            )
            if filling.batch_id:
                n = _write(office, filling.batch_id, teachers, path)
                return HandedOut(filling.batch_id, n, path.stat().st_size, spent)
            if spent:
                raise UsageError(f"{spent}; raise it to go on: nothing was written")
    return None


def write_again(store: Store, settings: RunSettings, batch_id: int, path: Path) -> HandedOut:
    """Write the file of an exported batch once more. Raises UsageError."""
    _check(path)
    teachers = batch_teachers(store, settings)
    with office_of(store, settings) as office:
        n = _write(office, batch_id, teachers, path)
    return HandedOut(batch_id, n, path.stat().st_size)


def _check(path: Path) -> None:
    if path.exists():
        raise UsageError(f"{path} is there already: give another name, or move it away")
    if not path.resolve().parent.is_dir():
        raise UsageError(f"{path.resolve().parent} is not there: make that folder first")


def _write(office: Office, batch_id: int, teachers: Teachers, path: Path) -> int:
    """Write the file of a batch: it has its name when it is whole."""
    with office.store.read() as connection:
        known = held(connection, OPEN, batches.c.id == batch_id, batches.c.state == "exported")
    if not known:
        raise UsageError(f"batch {batch_id} is no batch that was exported: annoy batch status")
    (batch,) = known
    if batch.teacher_id not in teachers:
        raise UsageError(
            f"batch {batch_id} asks {batch.model} with other settings: give those that it was made "
            f"with, or let it go: annoy batch cancel {batch_id}"
        )
    part = path.with_name(path.name + ".part")
    try:
        n = reserve.write_questions(office, batch, teachers[batch.teacher_id], part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(
            f"cannot write {path}: {error.strerror}; the calls are bound to batch {batch_id}: "
            f"annoy batch export FILE --batch {batch_id}, or annoy batch cancel {batch_id}"
        ) from None
    return n


# Back ----------------------------------------------------------------------------------------


def hand_back(
    store: Store, settings: RunSettings, paths: Sequence[Path]
) -> tuple[list[HandedBack], int]:
    """Take in the answers in files; return what came of it by batch, and lines of no batch here.

    Raises UsageError for a file that cannot be read.
    """
    told: dict[str, HandedBack] = {}
    known: dict[str, Held | None] = {}
    strangers = 0
    with office_of(store, settings) as office:
        for path in paths:
            try:
                for page in replies(path):
                    strangers += _take_page(office, page, known, told)
            except OSError as error:
                raise UsageError(f"cannot read {path}: {error.strerror}") from None
        for name, back in told.items():
            _end_if_all_is_there(office, known[name], back)
    return list(told.values()), strangers


def _take_page(
    office: Office,
    page: Sequence[Reply],
    known: dict[str, Held | None],
    told: dict[str, HandedBack],
) -> int:
    """Take in a page of lines, batch by batch; return how many are of no batch that is here."""
    strangers = 0
    for name in dict.fromkeys(reply.name for reply in page):
        mine = [reply for reply in page if reply.name == name]
        if name not in known:
            known[name] = _named(office, name)
        batch = known[name]
        if batch is None:
            strangers += len(mine)
            continue
        back = told.setdefault(name, HandedBack(batch.id))
        _add(back, take(office, batch, mine), len(mine))
    return strangers


def _named(office: Office, name: str) -> Held | None:
    with office.store.read() as connection:
        return next(iter(held(connection, batches.c.name == name)), None)


def _add(back: HandedBack, taken: Taken, lines: int) -> None:
    back.ended += taken.ended
    back.again += taken.ended["pending"]
    back.lines += taken.lines
    back.known += lines - taken.lines
    back.stop = back.stop or taken.stop


def _end_if_all_is_there(office: Office, batch: Held | None, back: HandedBack) -> None:
    """End a batch of which every call has its line; count those that have none."""
    if batch is None:
        return
    with office.store.read() as connection:
        back.missing = len(open_calls(connection, batch.id, most=reserve.MOST_LINES))
    if batch.state == "exported" and not back.missing:
        finish(office, batch)


# Letting go ----------------------------------------------------------------------------------


def let_go(store: Store, settings: RunSettings, batch: Held) -> None:
    """Give the calls of a batch that is at no provider back. Raises UsageError if it is in use."""
    with office_of(store, settings) as office:
        if not office.transact(lambda c: take_hold(c, batch.id, office.worker_id)):
            raise UsageError(f"batch {batch.id} is being dealt with by another run: wait for it")
        finish(office, batch, error="let go")
