"""Near-duplicate detection: MinHash over token n-grams, LSH banding, verification, union-find.

MinHash is that of Broder (1997), "On the resemblance and containment of documents".

Decisions
- Two texts are near-duplicates when the Jaccard index of their 5-token n-grams is at least 0.7.
- A signature is 128 minima of 16 bits. Four adjacent ones are one 64-bit key, so the 32 bands are a
  view of the same memory: at 0.7 one pair in 6,000 shares no band.
- Pairs that share a band are verified: by the signatures where they are clear (0.8 and above, below
  0.5), by the texts themselves in between. So unrelated texts are never joined by chance.
- A signature is stored with the version of this rule; another version is another signature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from annoy_store.dedup.shingles import shingles

VERSION = "minhash-1"
THRESHOLD = 0.7
_PERMUTATIONS, _ROWS = 128, 4
_SURE, _NEVER = 0.8, 0.5
_WHOLE_GROUP = 12  # in larger groups each is compared with the first and the one before

IsNear = Callable[[int, int], bool]


@lru_cache(maxsize=1)
def _permutations() -> tuple[Any, Any]:
    import numpy as np

    drawn = np.random.Generator(np.random.PCG64(20260101)).integers(
        0, 1 << 32, (2, _PERMUTATIONS), dtype=np.uint32
    )
    return (drawn[0] | 1)[:, None], drawn[1][:, None]


def signature(code: str, *, renamed: bool = False) -> tuple[int, bytes]:
    """Return the number of distinct token n-grams of `code`, and its signature of 256 bytes.

    Args:
        code: Source code.
        renamed: Treat all identifiers as equal.
    """
    import numpy as np

    ngrams = shingles(code, renamed=renamed)
    if not len(ngrams):
        return 0, bytes(2 * _PERMUTATIONS)
    times, plus = _permutations()
    small = ngrams.astype(np.uint32)
    least = (times * small + plus).min(axis=1)
    return len(ngrams), least.astype(np.uint16).tobytes()


def signature_matrix(signatures: bytes | bytearray) -> Any:
    """Return concatenated signatures as a matrix, one row each, without copying."""
    import numpy as np

    return np.frombuffer(signatures, np.uint16).reshape(-1, _PERMUTATIONS)


def estimate_jaccard(rows: Any, a: Any, b: Any) -> Any:
    """Return the estimated Jaccard index of the rows `a` with the rows `b`.

    Args:
        rows: Signatures, one per row.
        a: Row numbers.
        b: Row numbers, as many.
    """
    return (rows[a] == rows[b]).mean(axis=1)


class UnionFind:
    """Union-find over numbers from 0; the smallest number of a set is its root."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def find(self, i: int) -> int:
        """Return the root of the set of `i`."""
        parent = self._parent
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def union(self, a: int, b: int) -> None:
        """Merge the sets of `a` and `b`."""
        a, b = self.find(a), self.find(b)
        self._parent[max(a, b)] = min(a, b)

    def roots(self) -> list[int]:
        """Return the root of every number."""
        return [self.find(i) for i in range(len(self._parent))]


def union_near_duplicates(rows: Any, numbers: list[int], sets: UnionFind, is_near: IsNear) -> None:
    """Merge in `sets` the rows that are near-duplicates.

    Args:
        rows: Signatures, one per row.
        numbers: The number of each row in `sets`.
        sets: Changed in place.
        is_near: Decides for two row numbers whose signatures leave doubt.
    """
    for a, b in _candidates(rows):
        alike = estimate_jaccard(rows, a, b)
        for i, j, share in zip(a.tolist(), b.tolist(), alike.tolist(), strict=True):
            if share < _NEVER or sets.find(numbers[i]) == sets.find(numbers[j]):
                continue
            if share >= _SURE or is_near(i, j):
                sets.union(numbers[i], numbers[j])


def _candidates(rows: Any, at_once: int = 1 << 16) -> Iterator[tuple[Any, Any]]:
    """Yield pairs of rows that have a band in common, in chunks."""
    import numpy as np

    keys = np.ascontiguousarray(rows).view(np.uint64)
    for band in range(_PERMUTATIONS // _ROWS):
        order = np.argsort(keys[:, band], kind="stable")
        a, b = _pairs(keys[order, band], order)
        for start in range(0, len(a), at_once):
            yield a[start : start + at_once], b[start : start + at_once]


def _pairs(ordered: Any, order: Any) -> tuple[Any, Any]:
    """Pairs within groups of equal keys: all of small groups, a chain and a star of larger ones."""
    import numpy as np

    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    sizes = np.diff(np.r_[starts, len(ordered)])
    group_start = np.repeat(starts, sizes)
    place = np.arange(len(ordered)) - group_start
    left, right = [], []
    for back in range(1, _WHOLE_GROUP):
        whole = np.repeat(sizes, sizes) <= _WHOLE_GROUP if back > 1 else True
        with_one = np.flatnonzero((place >= back) & whole)
        if not len(with_one):
            break
        left.append(order[with_one - back])
        right.append(order[with_one])
    large = np.flatnonzero((np.repeat(sizes, sizes) > _WHOLE_GROUP) & (place > 1))
    left.append(order[group_start[large]])
    right.append(order[large])
    return np.concatenate(left), np.concatenate(right)
