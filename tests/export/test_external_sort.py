"""Records that are read in order, whatever the order that they came in."""

from __future__ import annotations

from tempfile import TemporaryFile

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annoy_store.export import external_sort
from annoy_store.export.external_sort import ExternalSort

WORDS = pa.schema([("word", pa.string()), ("n", pa.int64())])


def page(places: list[int]) -> pa.RecordBatch:
    words = [None if n % 5 == 0 else f"word {n}" for n in places]
    return pa.RecordBatch.from_arrays(
        [pa.array(words, pa.string()), pa.array(places, pa.int64())], schema=WORDS
    )


@settings(max_examples=50, deadline=None)
@given(
    st.permutations(range(40)), st.integers(1, 9), st.integers(1, 50), st.integers(0, 39), st.data()
)
def test_external_sort_reads_in_order(
    order: list[int], size: int, bundle: int, first: int, data: st.DataObject
) -> None:
    rows = data.draw(st.integers(1, 40 - first))
    with pytest.MonkeyPatch.context() as patch, TemporaryFile() as file:
        patch.setattr(external_sort, "BUNDLE_ROWS", bundle)
        held = ExternalSort(file, WORDS)
        for start in range(0, 40, size):
            places = sorted(order[start : start + size])
            held.add(places, page(places))
        out = pa.Table.from_batches(held.read(first, rows), WORDS)
        assert out.equals(pa.Table.from_batches([page(list(range(first, first + rows)))]))
        again = pa.Table.from_batches(held.read(0, 40), WORDS)
        assert again.column("n").to_pylist() == list(range(40))
