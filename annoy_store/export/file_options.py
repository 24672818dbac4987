"""How records become files: container, compression and number of records per file."""

from __future__ import annotations

from dataclasses import dataclass

from annoy_store.errors import UsageError, unknown_name
from annoy_store.export.format_file import Format

CONTAINERS = ("jsonl", "parquet")
COMPRESSIONS = {None: "", "gzip": ".gz", "zstd": ".zst"}


@dataclass(frozen=True)
class FileOptions:
    """How records become files.

    Attributes:
        container: `jsonl` or `parquet`.
        compression: `gzip`, `zstd` or None; Parquet is compressed inside, by zstd if None.
        shard_rows: Records per file; None writes one file per split.
    """

    container: str = "jsonl"
    compression: str | None = None
    shard_rows: int | None = None


@dataclass(frozen=True)
class FileLayout:
    """What follows from checked options.

    Attributes:
        suffix: The ending of every file, with its dots.
        copy_options: The options of DuckDB's COPY statement.
        shard_rows: Records per file; None for one file per split.
    """

    suffix: str
    copy_options: str
    shard_rows: int | None

    def file_name(self, split: str, number: int, n_files: int) -> str:
        """Return the path of one file of a split, relative to the folder of the export.

        Args:
            split: Name of the split.
            number: Which of its files, from 0.
            n_files: How many files the split has.
        """
        if self.shard_rows is None:
            return f"{split}{self.suffix}"
        return f"{split}/{split}-{number:05d}-of-{n_files:05d}{self.suffix}"


def check_file_options(options: FileOptions, form: Format | None = None) -> FileLayout:
    """Return what follows from options that can be met.

    Args:
        options: The options.
        form: The format of the records.

    Raises:
        UsageError: If the container or the compression is unknown, `shard_rows` below 1, or the
            container cannot hold the format.
    """
    container, compression = options.container, options.compression
    if container not in CONTAINERS:
        raise UsageError(unknown_name("container", container, filter(None, CONTAINERS)))
    if form is not None and form.files not in ("", container):
        raise UsageError(
            f"format {form.name}: its values have different types in different records, which "
            f"{container} cannot hold; export it as {form.files}, or codeio_raw, which has JSON text"
        )
    if compression not in COMPRESSIONS:
        raise UsageError(unknown_name("compression", str(compression), filter(None, COMPRESSIONS)))
    if options.shard_rows is not None and options.shard_rows < 1:
        raise UsageError("--shard-rows must be at least 1")
    if container == "parquet":
        copy_options = f"FORMAT parquet, COMPRESSION {compression or 'zstd'}"
        return FileLayout(".parquet", copy_options, options.shard_rows)
    copy_options = f"FORMAT json, COMPRESSION {compression or 'uncompressed'}"
    return FileLayout(f".jsonl{COMPRESSIONS[compression]}", copy_options, options.shard_rows)
