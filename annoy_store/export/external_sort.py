"""Records sorted through a file: they come by pages in any order, and are read in order.

Decision: the file holds bundles of records that will be neighbours, in pieces as they came. Only
one bundle is in memory at a time, so an export of any size is sorted in constant memory, for the
price of writing and reading its texts once more.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

BUNDLE_ROWS = 4096
_BATCH_ROWS = 512
_POSITION = "place"  # the column that is added in the file


@dataclass
class ExternalSort:
    """Records with the columns `schema`, kept in `file`, which nothing else may use.

    Attributes:
        file: An empty binary file, open for reading and writing.
        schema: The columns of every page.
        n_records: How many records were added by now.
    """

    file: BinaryIO
    schema: pa.Schema
    n_records: int = field(default=0, init=False)
    _end: int = field(default=0, init=False)
    _pieces: dict[int, list[tuple[int, int]]] = field(default_factory=dict, init=False)
    _last: tuple[int, Any] = field(default=(-1, None), init=False)

    def add(self, positions: Sequence[int], page: pa.RecordBatch) -> None:
        """Add a page of records.

        Args:
            positions: The position of each record in the export, ascending.
            page: The records.
        """
        columns = [*page.columns, pa.array(positions, pa.int64())]
        page = pa.RecordBatch.from_arrays(columns, schema=self._file_schema())
        first = 0
        while first < len(positions):
            number = positions[first] // BUNDLE_ROWS
            end = bisect_left(positions, (number + 1) * BUNDLE_ROWS, first)
            self._write(number, page.slice(first, end - first))
            first = end
        self.n_records += len(positions)

    def read(self, first: int, rows: int) -> Iterator[pa.RecordBatch]:
        """Yield `rows` records in order, from position `first` on."""
        last = first + rows
        for number in range(first // BUNDLE_ROWS, -(-last // BUNDLE_ROWS)):
            start = number * BUNDLE_ROWS
            bundle = self._bundle(number).slice(max(first - start, 0), last - max(first, start))
            yield from bundle.to_batches(max_chunksize=_BATCH_ROWS)

    def _file_schema(self) -> pa.Schema:
        return self.schema.append(pa.field(_POSITION, pa.int64()))

    def _write(self, number: int, piece: pa.RecordBatch) -> None:
        size = self.file.write(piece.serialize())
        self._pieces.setdefault(number, []).append((self._end, size))
        self._end += size

    def _bundle(self, number: int) -> pa.Table:
        """Return the records of a bundle in order; the last one is kept, for files end within."""
        if self._last[0] != number:
            pieces = [self._read(at, size) for at, size in self._pieces[number]]
            whole = pa.Table.from_batches(pieces)
            order = pc.sort_indices(whole.column(_POSITION))
            self._last = number, whole.drop_columns(_POSITION).take(order).combine_chunks()
        return self._last[1]

    def _read(self, at: int, size: int) -> pa.RecordBatch:
        self.file.seek(at)
        return pa.ipc.read_record_batch(pa.py_buffer(self.file.read(size)), self._file_schema())
