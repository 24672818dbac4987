"""From planned records to files: read, sorted, shaped by the format and written by DuckDB.

Decisions
- Files are cut by number of records, never by size or thread, so equal records are equal bytes.
- Splits that are cut have a folder each, because that is what trainers take for one data set.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import duckdb

from annoy_store.db.duckdb_session import open_duckdb, registered_stream
from annoy_store.db.engine import Database
from annoy_store.errors import UsageError
from annoy_store.export.external_sort import ExternalSort
from annoy_store.export.plan import ExportPlan
from annoy_store.export.record_stream import stream_records
from annoy_store.export.written_file import WrittenFile, check_file
from annoy_store.interfaces import ShowProgress


@dataclass(frozen=True)
class _Shard:
    """One file to write: `rows` records from position `first` on."""

    split: str
    number: int
    n_files: int
    first: int
    rows: int


def write_files(
    store: Database, plan: ExportPlan, staging: Path, progress: ShowProgress
) -> list[WrittenFile]:
    """Write the records of a plan as files into `staging`, and check what was written.

    Args:
        store: The store that the texts are read from.
        plan: What is exported; its records are those of one split after the other.
        staging: The folder to fill.
        progress: Called with a short sentence for each page of records and for each file.

    Returns:
        The files in the order of their records.

    Raises:
        UsageError: If texts were purged or pairs checked again meanwhile, or the format does not
            make one row per record.
    """
    binding, layout, spill = plan.binding, plan.layout, staging / ".spill"
    shards = list(_shards(plan.statistics["rows"], layout.shard_rows))
    files = []
    with open_duckdb(spill, threads=plan.request.threads) as duck, TemporaryFile(dir=staging) as f:
        records = ExternalSort(f, binding.stream_schema)
        for positions, page in stream_records(store, plan.records, binding):
            records.add(positions, page)
            progress("reading records", records.n_records, plan.records.num_rows)
        for n_written, shard in enumerate(shards):
            name = layout.file_name(shard.split, shard.number, shard.n_files)
            progress(f"writing {name}", n_written, len(shards))
            (staging / name).parent.mkdir(exist_ok=True)
            batches = records.read(shard.first, shard.rows)
            with registered_stream(duck, "stream", binding.stream_schema, batches):
                _copy(duck, plan, staging / name, shard.rows)
            files.append(
                check_file(
                    staging,
                    name,
                    split=shard.split,
                    first=shard.first,
                    rows=shard.rows,
                    is_plain_jsonl=layout.suffix == ".jsonl",
                )
            )
    shutil.rmtree(spill, ignore_errors=True)
    return files


def _shards(rows_of_splits: Mapping[str, int], shard_rows: int | None) -> Iterator[_Shard]:
    """Yield the files of every split; the records of the splits follow each other."""
    first = 0
    for split, rows in rows_of_splits.items():
        size = shard_rows or rows
        starts = range(first, first + rows, size)
        for number, start in enumerate(starts):
            yield _Shard(split, number, len(starts), start, min(size, first + rows - start))
        first += rows


def _copy(duck: duckdb.DuckDBPyConnection, plan: ExportPlan, path: Path, rows: int) -> None:
    """Write the registered stream through the format; it must make one row per record."""
    form = plan.form
    target = str(path).replace("'", "''")
    try:
        duck.execute(plan.binding.view)
        statement = f"COPY ({form.sql}\n) TO '{target}' ({plan.layout.copy_options})"
        written = duck.execute(statement).fetchall()[0][0]
    except (duckdb.BinderException, duckdb.ConversionException) as error:
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"format {form.name}: {words}") from error
    if written != rows:
        raise UsageError(
            f"format {form.name} made {written} rows of {rows} records; it must make one of each: "
            "filter with --where"
        )
