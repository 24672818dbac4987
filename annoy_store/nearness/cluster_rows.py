"""The table `clusters` by arrays: the clusters that subjects have now, and rows that change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select

from annoy_store.database import among, insert_new
from annoy_store.tables import clusters


@dataclass(frozen=True)
class Changed:
    """Subjects of a kind whose cluster is new or another than before: ids, and names in bytes."""

    kind: str
    ids: Any
    names: Any

    def write(self, connection: Connection, piece: slice) -> None:
        """Put a piece of them into the table."""
        ids = self.ids[piece].tolist()
        own = clusters.c.kind == self.kind, among(connection, clusters.c.subject_id, ids)
        connection.execute(delete(clusters).where(*own))
        rows = [
            {"kind": self.kind, "subject_id": i, "cluster": name.decode()}
            for i, name in zip(ids, self.names[piece].tolist(), strict=True)
        ]
        insert_new(connection, clusters, rows)


def names_of(connection: Connection, kind: str, ids: Any) -> Any:
    """The clusters that subjects, in ascending order, have in the table; empty where none."""
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
