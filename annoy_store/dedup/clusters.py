"""Cluster near-duplicate code, and samples with their sources.

Decisions
- Signatures are stored, so growth costs the signatures of new rows; clusters are recomputed from
  all of them, because that takes seconds per million and needs no history.
- Raw files are compared with raw files, reference code with reference code; a sample belongs with
  every source it came from, and with samples that behave like it (behaviour.py) where that was
  found. A cluster is a connected component of these relations, named by the smallest digest in it.
- `clusters` is derived and may be rebuilt; what a cluster was assigned (its split) is stored per
  sample, in `splits`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, Connection, delete, func, select

from annoy_store.db.engine import Database
from annoy_store.db.sql import in_values, insert_new, upsert
from annoy_store.db.tables import (
    behaviours,
    clusters,
    sample_origins,
    signatures,
    watermarks,
)
from annoy_store.dedup.minhash import (
    THRESHOLD,
    VERSION,
    UnionFind,
    signature_matrix,
    union_near_duplicates,
)
from annoy_store.dedup.shingles import jaccard, shingles
from annoy_store.dedup.signatures import TEXT_COLUMNS, compute_signatures
from annoy_store.interfaces import ShowProgress, show_nothing

_WRITTEN_AT_ONCE = 20_000


@dataclass(frozen=True)
class ClusterReport:
    """Counts after clustering.

    Attributes:
        subjects: Sources and samples with a cluster.
        signed: New signatures.
        clusters: Number of clusters.
        largest: Size of the largest one.
        changed: Rows of `clusters` that were written.
    """

    subjects: int
    signed: int
    clusters: int
    largest: int
    changed: int


def cluster(
    store: Database,
    progress: ShowProgress = show_nothing,
    *,
    rebuild: bool = False,
) -> ClusterReport:
    """Bring `signatures` and `clusters` up to date.

    Args:
        store: The store.
        progress: Called with a message from time to time.
        rebuild: Recompute the clusters even if nothing is new.

    Returns:
        The number and sizes of the clusters, and what changed.
    """
    signed = sum(compute_signatures(store, kind, progress) for kind in TEXT_COLUMNS)
    with store.read() as connection:
        newest = _newest_origin(connection)
        if not signed and not rebuild and _known(connection, newest):
            return _summary(connection, signed, 0)
        progress("clustering")
        changes = list(_changes(connection))
    for change in changes:
        for start in range(0, len(change.ids), _WRITTEN_AT_ONCE):
            with store.write() as connection:
                change.write(connection, slice(start, start + _WRITTEN_AT_ONCE))
    with store.write() as connection:
        upsert(connection, watermarks, {"stage": "cluster", "scope": VERSION, "upto": newest})
    with store.read() as connection:
        return _summary(connection, signed, sum(len(change.ids) for change in changes))


def _newest_origin(connection: Connection) -> int:
    return int(connection.scalar(select(func.max(sample_origins.c.id))) or 0)


def _known(connection: Connection, newest: int) -> bool:
    """True when nothing was added since the clusters were computed."""
    upto = select(watermarks.c.upto).where(
        watermarks.c.stage == "cluster", watermarks.c.scope == VERSION
    )
    return connection.scalar(upto) == newest


def _summary(connection: Connection, signed: int, changed: int) -> ClusterReport:
    sizes = (
        select(func.count(clusters.c.subject_id).label("n")).group_by(clusters.c.cluster).subquery()
    )
    row = connection.execute(
        select(func.count(sizes.c.n), func.coalesce(func.sum(sizes.c.n), 0), func.max(sizes.c.n))
    ).one()
    return ClusterReport(int(row[1]), signed, int(row[0]), int(row[2] or 0), changed)


# Clustering ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Signed:
    """The subjects of a kind with a signature, by id.

    Attributes:
        kind: `source` or `sample`.
        offset: Number of the first of them in the union-find.
        ids: Their ids, ascending.
        digests: Their digests, as bytes.
        nonempty: Indices of those whose text has tokens.
        rows: The signatures of those.
    """

    kind: str
    offset: int
    ids: Any
    digests: Any
    nonempty: Any
    rows: Any


def _changes(connection: Connection) -> Iterator[ChangedClusters]:
    """Yield what is new in `clusters`, kind by kind."""
    import numpy as np

    kinds: list[_Signed] = []
    for kind in TEXT_COLUMNS:
        kinds.append(_load(connection, kind, sum(len(k.ids) for k in kinds)))
    sets = UnionFind(sum(len(k.ids) for k in kinds))
    for signed in kinds:
        _join_kind(connection, signed, sets)
    of_kind = {k.kind: k for k in kinds}
    origin = sample_origins.c.sample_id, sample_origins.c.source_id
    _join_pairs(connection, origin, (of_kind["sample"], of_kind["source"]), sets)
    twins = behaviours.c.sample_id, behaviours.c.twin_id
    _join_pairs(connection, twins, (of_kind["sample"], of_kind["sample"]), sets)
    names = _smallest(np.concatenate([k.digests for k in kinds]), np.array(sets.roots()))
    for signed in kinds:
        own = names[signed.offset : signed.offset + len(signed.ids)]
        other = own != stored_cluster_names(connection, signed.kind, signed.ids)
        yield ChangedClusters(signed.kind, signed.ids[other], own[other])


def _load(connection: Connection, kind: str, offset: int) -> _Signed:
    import numpy as np

    table = TEXT_COLUMNS[kind].table
    chosen = (
        select(table.c.id, table.c.digest, signatures.c.n_shingles, signatures.c.signature)
        .join(signatures, signatures.c.subject_id == table.c.id)
        .where(signatures.c.kind == kind, signatures.c.version == VERSION)
        .order_by(table.c.id)
    )
    ids, digests, nonempty, rows = [], [], [], bytearray()
    result = connection.execute(chosen, execution_options={"stream_results": True})
    for page in result.partitions(10_000):
        ids.append(np.array([row[0] for row in page], np.int64))
        digests.append(np.array([row[1] for row in page], "S32"))
        nonempty.append(np.array([row[2] > 0 for row in page], bool))
        rows += b"".join(row[3] for row in page if row[2] > 0)
    places = np.flatnonzero(np.concatenate([*nonempty, np.empty(0, bool)]))
    return _Signed(
        kind,
        offset,
        np.concatenate([*ids, np.empty(0, np.int64)]),
        np.concatenate([*digests, np.empty(0, "S32")]),
        places,
        signature_matrix(rows),
    )


def _join_kind(connection: Connection, signed: _Signed, sets: UnionFind) -> None:
    text = TEXT_COLUMNS[signed.kind]
    key = text.table.c.id
    numbers = (signed.nonempty + signed.offset).tolist()

    @lru_cache(maxsize=4096)
    def shingles_of(row: int) -> Any:
        subject_id = int(signed.ids[signed.nonempty[row]])
        return shingles(connection.execute(select(text).where(key == subject_id)).scalar_one())

    def is_near(a: int, b: int) -> bool:
        return jaccard(shingles_of(a), shingles_of(b)) >= THRESHOLD

    if len(numbers) > 1:
        union_near_duplicates(signed.rows, numbers, sets, is_near)


def _join_pairs(
    connection: Connection,
    columns: tuple[Column[Any], Column[Any]],
    kinds: tuple[_Signed, _Signed],
    sets: UnionFind,
) -> None:
    """Join rows that a table relates: two columns of ids."""
    import numpy as np

    chosen = select(*columns).where(columns[0].is_not(None), columns[1].is_not(None))
    result = connection.execute(chosen, execution_options={"stream_results": True})
    for page in result.partitions(10_000):
        given = np.array([tuple(row) for row in page], np.int64).T
        ends = [_positions(kind, ids).tolist() for kind, ids in zip(kinds, given, strict=True)]
        for a, b in zip(*ends, strict=True):
            if a >= 0 and b >= 0:
                sets.union(a, b)


def _positions(signed: _Signed, ids: Any) -> Any:
    """The numbers of ids in the union-find; -1 for subjects without a signature."""
    import numpy as np

    if not len(signed.ids):
        return np.full(len(ids), -1)
    at = np.minimum(np.searchsorted(signed.ids, ids), len(signed.ids) - 1)
    return np.where(signed.ids[at] == ids, at + signed.offset, -1)


def _smallest(digests: Any, roots: Any) -> Any:
    """The smallest digest of every subject's component."""
    import numpy as np

    if not len(digests):
        return digests
    order = np.argsort(digests, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    least = np.full(len(order), len(order), np.int64)
    np.minimum.at(least, roots, rank)
    return digests[order[least[roots]]]


@dataclass(frozen=True)
class ChangedClusters:
    """Subjects of a kind whose cluster is new or has changed.

    Attributes:
        kind: `source` or `sample`.
        ids: Their ids.
        names: Their clusters, as bytes.
    """

    kind: str
    ids: Any
    names: Any

    def write(self, connection: Connection, part: slice) -> None:
        """Write a slice of them to the table."""
        ids = self.ids[part].tolist()
        own = clusters.c.kind == self.kind, in_values(connection, clusters.c.subject_id, ids)
        connection.execute(delete(clusters).where(*own))
        rows = [
            {"kind": self.kind, "subject_id": i, "cluster": name.decode()}
            for i, name in zip(ids, self.names[part].tolist(), strict=True)
        ]
        insert_new(connection, clusters, rows)


def stored_cluster_names(connection: Connection, kind: str, ids: Any) -> Any:
    """Return the clusters that subjects have in the table.

    Args:
        connection: A connection to the store.
        kind: `source` or `sample`.
        ids: Array of ids, ascending.

    Returns:
        Array of names as bytes, empty where there is none.
    """
    import numpy as np

    names = np.zeros(len(ids), "S32")
    if not len(names):
        return names
    chosen = select(clusters.c.subject_id, clusters.c.cluster).where(clusters.c.kind == kind)
    result = connection.execute(chosen, execution_options={"stream_results": True})
    for page in result.partitions(10_000):
        found = np.array([row[0] for row in page], np.int64)
        at = np.minimum(np.searchsorted(ids, found), len(names) - 1)
        held = ids[at] == found
        names[at[held]] = np.array([row[1] for row in page], "S32")[held]
    return names
