"""What an export is asked for, and what it reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from annoy_store.export.file_options import FileOptions
from annoy_store.export.filters import Selection
from annoy_store.export.splits import SplitConfig
from annoy_store.export.written_file import WrittenFile


@dataclass(frozen=True)
class ExportRequest:
    """One export: what is selected, in which format, and into which files.

    Attributes:
        format: Name of a bundled format, or the path of a `.sql` file.
        folder: Folder to write; it must not exist, or be empty.
        selection: Which chains or samples are exported.
        file_options: Container, compression and records per file.
        split_config: Shares of the splits and their salt; None writes everything as `train`, or
            with `since` splits as the parent export does.
        since: The export to add to: `last` (of the format), an id or the start of a digest.
        dry_run: Count only; neither a file nor a row of the store is written.
        threads: Threads of DuckDB; the bytes written do not depend on them.
    """

    format: str
    folder: Path
    selection: Selection = field(default_factory=Selection)
    file_options: FileOptions = field(default_factory=FileOptions)
    split_config: SplitConfig | None = None
    since: str | None = None
    dry_run: bool = False
    threads: int = 1


@dataclass(frozen=True)
class ExportReport:
    """What an export did.

    Attributes:
        format: Name of the format.
        subjects: Chains (or samples) that were considered.
        removed: How many of them each filter removed, by its reason.
        rows: Records written, by split.
        retractions: Rows of earlier exports that this one retracts, by reason.
        files: The files written.
        folder: The folder written; None for a dry run, or if there was no record to write.
        export_id: Its row in `exports`; None as for `folder`.
        digest: Its digest; None as for `folder`.
        already_published: These very bytes had been published before, as export `export_id`.
        warnings: Sentences that the user should read.
    """

    format: str
    subjects: int
    removed: Mapping[str, int]
    rows: Mapping[str, int]
    retractions: Mapping[str, int]
    files: tuple[WrittenFile, ...] = ()
    folder: Path | None = None
    export_id: int | None = None
    digest: str | None = None
    already_published: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def n_rows(self) -> int:
        """Number of records in all splits."""
        return sum(self.rows.values())
