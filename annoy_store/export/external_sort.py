"""Records put in order through a file: they come by pages in any order, and go out in order.

Decision: the file holds bundles of records that will be neighbours, in pieces as they came. Only
one bundle is in memory at a time, so an export of any size is put in order in constant memory, for
the price of writing and reading its texts once more.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

BUNDLE = 4096  # records
_AT_ONCE = 512
_PLACE = "place"


class ExternalSort:
    """The records of a stream with columns `schema`, in the file `stream`, which is theirs alone.

    `held` is how many there are by now.
    """

    def __init__(self, stream: BinaryIO, schema: pa.Schema) -> None:
        self._stream = stream
        self._schema = schema.append(pa.field(_PLACE, pa.int64()))
        self._end = 0
        self.n_records = 0
        self._pieces: dict[int, list[tuple[int, int]]] = {}
        self._last: tuple[int, Any] = (-1, None)

    def add(self, places: Sequence[int], page: pa.RecordBatch) -> None:
        """Keep a page of records, given with their places in ascending order."""
        columns = [*page.columns, pa.array(places, pa.int64())]
        page = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        first = 0
        while first < len(places):
            number = places[first] // BUNDLE
            end = bisect_left(places, (number + 1) * BUNDLE, first)
            self._write(number, page.slice(first, end - first))
            first = end
        self.n_records += len(places)

    def _write(self, number: int, piece: pa.RecordBatch) -> None:
        size = self._stream.write(piece.serialize())
        self._pieces.setdefault(number, []).append((self._end, size))
        self._end += size

    def read(self, first: int, rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the records of the places from `first` on, `rows` of them, in order."""
        last = first + rows
        for number in range(first // BUNDLE, -(-last // BUNDLE)):
            start = number * BUNDLE
            bundle = self._bundle(number).slice(max(first - start, 0), last - max(first, start))
            yield from bundle.to_batches(max_chunksize=_AT_ONCE)

    def _bundle(self, number: int) -> pa.Table:
        """The records of a bundle in order; the last one is kept, for files may end within."""
        if self._last[0] != number:
            pieces = [self._read(at, size) for at, size in self._pieces[number]]
            whole = pa.Table.from_batches(pieces)
            order = pc.sort_indices(whole.column(_PLACE))
            self._last = number, whole.drop_columns(_PLACE).take(order).combine_chunks()
        return self._last[1]

    def _read(self, at: int, size: int) -> pa.RecordBatch:
        self._stream.seek(at)
        return pa.ipc.read_record_batch(pa.py_buffer(self._stream.read(size)), self._schema)
