"""How records become files."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from annoy_store.db.engine import Database
from annoy_store.errors import UsageError
from annoy_store.export.export import export
from annoy_store.export.file_options import FileOptions, check_file_options
from annoy_store.export.request import ExportRequest
from tests.support import chains


@pytest.mark.parametrize(
    "options", [FileOptions("csv"), FileOptions(compression="lz4"), FileOptions(shard_rows=0)]
)
def test_file_options_that_cannot_be_met_are_refused(options: FileOptions) -> None:
    with pytest.raises(UsageError):
        check_file_options(options)


@pytest.mark.parametrize("container", ["jsonl", "parquet"])
@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_file_options_do_not_change_the_records(
    sqlite_store: Database, tmp_path: Path, container: str, compression: str | None
) -> None:
    chains.fill(sqlite_store)
    plain = export(sqlite_store, ExportRequest("codeio", tmp_path / "plain"))
    options = FileOptions(container, compression)
    packed = export(
        sqlite_store, ExportRequest("codeio", tmp_path / "packed", file_options=options)
    )
    read = "SELECT * FROM '{}'"
    with duckdb.connect() as duck:
        rows, same = (
            duck.execute(read.format(tmp_path / folder / report.files[0].name)).fetchall()
            for folder, report in (("plain", plain), ("packed", packed))
        )
    assert rows == same
