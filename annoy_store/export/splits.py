"""Splits that never leak: by cluster of near-duplicates, by hash and salt, and remembered.

Decisions
- The position of a cluster in [0, 1) is a hash of its name and a salt. Test is at the bottom and
  validation at the top, so larger shares of either only ever take from train.
- The split of a sample is remembered under the salt, with the position that it follows from. A
  cluster that was seen before keeps its split, whatever joins it. Only train may change, when the
  shares do.
- When clusters merge that had different splits, test wins over validation over train, and the
  samples of the losers are excluded: they are in no split, now and later, and an export that held
  them retracts them. They are never moved.
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
from annoy_store.errors import UsageError, unknown_name
from annoy_store.export.parents import ParentExports

SPLITS = ("train", "validation", "test")
EXCLUDED = "excluded"
_N_BUCKETS = 1 << 32
_PIECE_ROWS = 20_000


@dataclass(frozen=True)
class SplitConfig:
    """Shares of the splits, from 0 to 1 and 1 in all, and the salt of the hash."""

    train: float = 1.0
    validation: float = 0.0
    test: float = 0.0
    salt: str = DEFAULT_SPLIT_SALT

    def __str__(self) -> str:
        """Return the shares as `parse_split_config` reads them."""
        return f"train={self.train:g},validation={self.validation:g},test={self.test:g}"

    def split_at(self, bucket: int) -> str:
        """Return the split at a position.

        Args:
            bucket: The position, in units of 2**-32.
        """
        if bucket < self.test * _N_BUCKETS:
            return "test"
        return "validation" if bucket >= (1 - self.validation) * _N_BUCKETS else "train"


@dataclass(frozen=True)
class AssignedSplit:
    """The split of a sample.

    Attributes:
        split: One of `SPLITS`, or `EXCLUDED`.
        bucket: The position that it follows from, in units of 2**-32.
        cluster: The cluster of the sample when it was assigned.
    """

    split: str
    bucket: int
    cluster: str


@dataclass(frozen=True)
class SplitAssignment:
    """The splits of one export.

    Attributes:
        config: Shares and salt; None if the export is not split.
        shares: The shares as text; None if the export is not split.
        splits: The split of every clustered sample, by its id.
        warnings: Sentences that the user should read.
    """

    config: SplitConfig | None = None
    shares: str | None = None
    splits: Mapping[int, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def parse_split_config(text: str, salt: str) -> SplitConfig:
    """Return the shares that a text means.

    Args:
        text: For example `train=.9,validation=.05,test=.05`.
        salt: Names the family of splits.

    Raises:
        UsageError: If it is not of that form, or the shares do not add up to 1.
    """
    wrong = f"not a split: {text!r}; an example is train=.9,validation=.05,test=.05"
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = (word.strip() for word in part.partition("="))
        name = "validation" if name == "val" else name
        if share and name not in SPLITS:
            raise UsageError(unknown_name("split", name, SPLITS))
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
    """Return the position of a cluster under a salt, in units of 2**-32."""
    return int(hashlib.md5(f"{salt}:{name}".encode()).hexdigest()[:8], 16)


def assign_splits(
    members: Mapping[str, Iterable[int]],
    remembered: Mapping[int, AssignedSplit],
    config: SplitConfig,
) -> dict[int, AssignedSplit]:
    """Return the split of every sample.

    Args:
        members: The ids of the samples of each cluster, by its name.
        remembered: What samples were assigned before, under the same salt.
        config: Shares and salt.
    """
    assigned: dict[int, AssignedSplit] = {}
    for name, ids in members.items():
        assigned.update(_assign_cluster(name, list(ids), remembered, config))
    return assigned


def _assign_cluster(
    name: str, ids: list[int], remembered: Mapping[int, AssignedSplit], config: SplitConfig
) -> Iterator[tuple[int, AssignedSplit]]:
    before = [remembered[i] for i in ids if i in remembered]
    split, bucket = _split_of_cluster(name, before, config)
    for i in ids:
        own = remembered.get(i)
        if own is None:
            yield i, AssignedSplit(split, bucket, name)
        elif own.split in (split, EXCLUDED):
            yield i, own
        elif {one.split for one in before} - {EXCLUDED} == {"train"}:
            yield i, AssignedSplit(split, own.bucket, name)  # the shares changed
        else:
            yield i, AssignedSplit(EXCLUDED, own.bucket, name)  # clusters merged, this one lost


def _split_of_cluster(
    name: str, before: list[AssignedSplit], config: SplitConfig
) -> tuple[str, int]:
    """The split of a cluster and its position, given what its members were assigned before."""
    if not before:
        bucket = hash_bucket(config.salt, name)
        return config.split_at(bucket), bucket
    known = {own.split for own in before} - {EXCLUDED}
    for winner in ("test", "validation"):
        if winner in known:
            return winner, min(own.bucket for own in before if own.split == winner)
    if not known:
        return EXCLUDED, before[0].bucket
    now = {config.split_at(own.bucket): own.bucket for own in before if own.split == "train"}
    winner = next(split for split in ("test", "validation", "train") if split in now)
    return winner, now[winner]


# In the store --------------------------------------------------------------------------------


def prepare_splits(
    store: Database, config: SplitConfig | None, parents: ParentExports, *, dry_run: bool
) -> SplitAssignment:
    """Cluster the new samples, and assign a split to every one.

    Args:
        store: The store.
        config: Shares and salt; None for those of the parent export, if there are any.
        parents: The exports to add to, if any.
        dry_run: Neither cluster nor remember anything; new samples count as clusters of one.

    Raises:
        UsageError: If the parent export has no splits, or those of another salt.
    """
    config = _with_parents(config, parents)
    if config is None:
        return SplitAssignment()
    if not dry_run:
        cluster(store)
    with store.read() as connection:
        remembered = _remembered(connection, config.salt)
        alone = _unclustered(connection) if dry_run else {}
        assigned = assign_splits(_members(connection) | alone, remembered, config)
    changes = {i: own for i, own in assigned.items() if remembered.get(i) != own}
    if not dry_run:
        _remember(store, config.salt, changes)
    warnings = tuple(_warnings(remembered, changes))
    if alone:
        warnings += (f"{len(alone)} samples are counted as clusters of one; run: annoy cluster",)
    by_sample = {i: own.split for i, own in assigned.items()}
    return SplitAssignment(config, str(config), by_sample, warnings)


def _with_parents(config: SplitConfig | None, parents: ParentExports) -> SplitConfig | None:
    """An export that adds to another is split as that one was: shares may change, no salt may."""
    if not parents.ids:
        return config
    parent = f"export {parents.ids[0]}"
    if parents.split is None:
        if config is not None:
            raise UsageError(
                f"{parent} has no splits; leave out --split, or export without --since"
            )
        return None
    if config is None:
        return parse_split_config(parents.split, parents.salt)
    if config.salt != parents.salt:
        raise UsageError(f"{parent} was split with the salt {parents.salt!r}; give it again")
    return config


def _remembered(connection: Connection, salt: str) -> dict[int, AssignedSplit]:
    columns = splits.c.sample_id, splits.c.split, splits.c.bucket, splits.c.cluster
    rows = connection.execute(select(*columns).where(splits.c.salt == salt))
    return {row[0]: AssignedSplit(*row[1:]) for row in rows}


def _members(connection: Connection) -> dict[str, list[int]]:
    """The samples of each cluster."""
    members: dict[str, list[int]] = {}
    chosen = select(clusters.c.cluster, clusters.c.subject_id).where(clusters.c.kind == "sample")
    for name, sample_id in connection.execute(chosen.order_by(clusters.c.subject_id)):
        members.setdefault(name, []).append(sample_id)
    return members


def _unclustered(connection: Connection) -> dict[str, list[int]]:
    """Samples that are in no cluster yet, each as one of its own."""
    is_clustered = exists().where(
        clusters.c.kind == "sample", clusters.c.subject_id == samples.c.id
    )
    rows = connection.execute(select(samples.c.digest, samples.c.id).where(~is_clustered))
    return {name: [sample_id] for name, sample_id in rows}


def _remember(store: Database, salt: str, changes: Mapping[int, AssignedSplit]) -> None:
    changed = list(changes.items())
    for start in range(0, len(changed), _PIECE_ROWS):
        piece = changed[start : start + _PIECE_ROWS]
        now = utc_now()
        rows = [
            {
                "salt": salt,
                "sample_id": i,
                "split": own.split,
                "bucket": own.bucket,
                "cluster": own.cluster,
                "created_at": now,
            }
            for i, own in piece
        ]
        with store.write() as connection:
            ids = in_values(connection, splits.c.sample_id, [i for i, _ in piece])
            connection.execute(delete(splits).where(splits.c.salt == salt, ids))
            insert_new(connection, splits, rows)


def _warnings(
    remembered: Mapping[int, AssignedSplit], changes: Mapping[int, AssignedSplit]
) -> Iterator[str]:
    moves = Counter(
        (remembered[i].split, own.split) for i, own in changes.items() if i in remembered
    )
    for (before, after), n in sorted(moves.items()):
        if after == EXCLUDED:
            yield f"{n} samples of {before} were excluded: they are near others of another split"
        elif before != after:
            yield f"{n} samples went from {before} to {after}, because the shares changed"


def set_subject_splits(duck: duckdb.DuckDBPyConnection, assignment: SplitAssignment) -> None:
    """Set `subjects.split`; null where a sample is in no cluster. Without splits it is kept.

    Args:
        duck: DuckDB with the table `subjects`.
        assignment: The splits of the export.
    """
    if assignment.config is None:
        return
    table: Any = pa.table(
        {
            "sample_id": pa.array(list(assignment.splits), pa.int64()),
            "split": pa.array(list(assignment.splits.values()), pa.string()),
        }
    )
    duck.register("assigned", table)
    duck.execute("UPDATE subjects SET split = NULL")
    duck.execute(
        "UPDATE subjects SET split = a.split FROM assigned a WHERE a.sample_id = subjects.sample_id"
    )
    duck.unregister("assigned")
