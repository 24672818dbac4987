"""Splits that never leak: by cluster of near-duplicates, by hash and salt, remembered for ever.

Decisions
- A cluster's place in [0, 1) is a hash of its name and a salt. Test lies at the bottom and
  validation at the top, so larger shares of either only ever take from train.
- What a sample was given is remembered under the salt, with the place it came from. A cluster that
  was seen before keeps its split, whoever joins it. Only train may change, when the shares do.
- When clusters merge that had different splits, test wins over validation over train, and the
  samples of the losers are set aside: they are in no split, now and later, and an export that
  held them takes them back. They are never moved.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa
from sqlalchemy import Connection, delete, exists, select

from annoy_store.config import DEFAULT_SPLIT_SALT
from annoy_store.db.engine import Database
from annoy_store.db.sql import in_values, insert_new
from annoy_store.db.tables import clusters, samples, splits
from annoy_store.db.timestamps import utc_now
from annoy_store.dedup.clusters import cluster
from annoy_store.errors import UsageError

SPLITS = ("train", "validation", "test")
EXCLUDED = "excluded"
_TURN = 1 << 32
_WRITTEN_AT_ONCE = 20_000


@dataclass(frozen=True)
class SplitConfig:
    """Shares of the splits, and the salt that makes one family of splits."""

    train: float = 1.0
    validation: float = 0.0
    test: float = 0.0
    salt: str = DEFAULT_SPLIT_SALT

    def __str__(self) -> str:
        return f"train={self.train:g},validation={self.validation:g},test={self.test:g}"

    def split_at(self, bucket: int) -> str:
        """Return the split at a place, given in units of 2**-32."""
        if bucket < self.test * _TURN:
            return "test"
        return "validation" if bucket >= (1 - self.validation) * _TURN else "train"


@dataclass(frozen=True)
class AssignedSplit:
    """The split that a sample was given, the place that it came from, and its cluster then."""

    split: str
    bucket: int
    cluster: str


@dataclass(frozen=True)
class SplitAssignment:
    """What every clustered sample is given, and what a person should know about it."""

    splits: Mapping[int, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def parse_split_config(text: str, salt: str) -> SplitConfig:
    """Return the splitting that `train=.9,validation=.05,test=.05` means. Raises UsageError."""
    wrong = f"not a split: {text!r}; say for example train=.9,validation=.05,test=.05"
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = (word.strip() for word in part.partition("="))
        name = "validation" if name == "val" else name
        if name not in SPLITS or name in shares:
            raise UsageError(wrong)
        try:
            shares[name] = float(share)
        except ValueError:
            raise UsageError(wrong) from None
    if not all(0 <= share <= 1 for share in shares.values()):
        raise UsageError(wrong)
    if abs(sum(shares.values()) - 1) > 1e-9:
        raise UsageError(f"the shares of {text!r} add up to {sum(shares.values()):g}, not to 1")
    return SplitConfig(**{name: shares.get(name, 0.0) for name in SPLITS}, salt=salt)


# Deciding ------------------------------------------------------------------------------------


def hash_bucket(salt: str, name: str) -> int:
    """Return the place of a cluster under a salt, in units of 2**-32."""
    return int(hashlib.md5(f"{salt}:{name}".encode()).hexdigest()[:8], 16)


def assign_splits(
    members: Mapping[str, Iterable[int]],
    remembered: Mapping[int, AssignedSplit],
    splitting: SplitConfig,
) -> dict[int, AssignedSplit]:
    """Return what every sample is given; `members` are the samples of each cluster."""
    decided: dict[int, AssignedSplit] = {}
    for name, ids in members.items():
        decided.update(_decide_one(name, list(ids), remembered, splitting))
    return decided


def _decide_one(
    name: str, ids: list[int], remembered: Mapping[int, AssignedSplit], splitting: SplitConfig
) -> Iterator[tuple[int, AssignedSplit]]:
    before = [remembered[i] for i in ids if i in remembered]
    split, bucket = _of_cluster(name, before, splitting)
    for i in ids:
        given = remembered.get(i)
        if given is None:
            yield i, AssignedSplit(split, bucket, name)
        elif given.split in (split, EXCLUDED):
            yield i, given
        elif {one.split for one in before} - {EXCLUDED} == {"train"}:
            yield i, AssignedSplit(split, given.bucket, name)  # the shares changed
        else:
            yield (
                i,
                AssignedSplit(EXCLUDED, given.bucket, name),
            )  # clusters merged, and this one lost


def _of_cluster(name: str, before: list[AssignedSplit], splitting: SplitConfig) -> tuple[str, int]:
    """The split of a cluster with the members `before` that were given one."""
    if not before:
        bucket = hash_bucket(splitting.salt, name)
        return splitting.split_at(bucket), bucket
    known = {given.split for given in before} - {EXCLUDED}
    for winner in ("test", "validation"):
        if winner in known:
            return winner, min(g.bucket for g in before if g.split == winner)
    if not known:
        return EXCLUDED, before[0].bucket
    now = {splitting.split_at(g.bucket): g.bucket for g in before if g.split == "train"}
    winner = next(split for split in ("test", "validation", "train") if split in now)
    return winner, now[winner]


# In the store --------------------------------------------------------------------------------


def prepare_splits(
    store: Database, splitting: SplitConfig | None, *, dry_run: bool
) -> SplitAssignment:
    """Cluster what is new, and give every sample its split; a dry run remembers nothing."""
    if splitting is None:
        return SplitAssignment()
    if not dry_run:
        cluster(store)
    with store.read() as connection:
        remembered = _remembered(connection, splitting.salt)
        alone = _unclustered(connection) if dry_run else {}
        decided = assign_splits(_members(connection) | alone, remembered, splitting)
    changes = {i: given for i, given in decided.items() if remembered.get(i) != given}
    if not dry_run:
        _remember(store, splitting.salt, changes)
    warnings = tuple(_warnings(remembered, changes))
    if alone:
        warnings += (
            f"{len(alone)} samples are counted as if nothing were near them: annoy cluster",
        )
    return SplitAssignment({i: given.split for i, given in decided.items()}, warnings)


def _remembered(connection: Connection, salt: str) -> dict[int, AssignedSplit]:
    columns = splits.c.sample_id, splits.c.split, splits.c.bucket, splits.c.cluster
    rows = connection.execute(select(*columns).where(splits.c.salt == salt))
    return {row[0]: AssignedSplit(*row[1:]) for row in rows}


def _members(connection: Connection) -> dict[str, list[int]]:
    members: dict[str, list[int]] = {}
    chosen = select(clusters.c.cluster, clusters.c.subject_id).where(clusters.c.kind == "sample")
    for name, sample_id in connection.execute(chosen.order_by(clusters.c.subject_id)):
        members.setdefault(name, []).append(sample_id)
    return members


def _unclustered(connection: Connection) -> dict[str, list[int]]:
    """Samples that no cluster holds yet, each as one of its own."""
    held = exists().where(clusters.c.kind == "sample", clusters.c.subject_id == samples.c.id)
    rows = connection.execute(select(samples.c.digest, samples.c.id).where(~held))
    return {name: [sample_id] for name, sample_id in rows}


def _remember(store: Database, salt: str, changes: Mapping[int, AssignedSplit]) -> None:
    listed = list(changes.items())
    for start in range(0, len(listed), _WRITTEN_AT_ONCE):
        piece = listed[start : start + _WRITTEN_AT_ONCE]
        now = utc_now()
        rows = [
            {
                "salt": salt,
                "sample_id": i,
                "split": given.split,
                "bucket": given.bucket,
                "cluster": given.cluster,
                "created_at": now,
            }
            for i, given in piece
        ]
        with store.write() as connection:
            ids = in_values(connection, splits.c.sample_id, [i for i, _ in piece])
            connection.execute(delete(splits).where(splits.c.salt == salt, ids))
            insert_new(connection, splits, rows)


def _warnings(
    remembered: Mapping[int, AssignedSplit], changes: Mapping[int, AssignedSplit]
) -> Iterator[str]:
    moves = Counter(
        (remembered[i].split, given.split) for i, given in changes.items() if i in remembered
    )
    for (before, after), n in sorted(moves.items()):
        if after == EXCLUDED:
            yield f"{n} samples of {before} were set aside: they are near others of another split"
        elif before != after:
            yield f"{n} samples went from {before} to {after}, because the shares changed"


def set_subject_splits(
    duck: duckdb.DuckDBPyConnection, splitting: SplitConfig | None, assigned: SplitAssignment
) -> None:
    """Write into `subjects.split` what was decided; null where nothing was."""
    if splitting is None:
        return
    table: Any = pa.table(
        {
            "sample_id": pa.array(list(assigned.splits), pa.int64()),
            "split": pa.array(list(assigned.splits.values()), pa.string()),
        }
    )
    duck.register("assigned", table)
    duck.execute("UPDATE subjects SET split = NULL")
    duck.execute(
        "UPDATE subjects SET split = a.split FROM assigned a WHERE a.sample_id = subjects.sample_id"
    )
    duck.unregister("assigned")
