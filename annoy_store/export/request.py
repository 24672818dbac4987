"""What an export is asked for, and what it reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from annoy_store.export.filters import Selection
from annoy_store.export.splits import SplitConfig
from annoy_store.export.writer import (
    FileOptions,
    WrittenFile,
)


@dataclass(frozen=True)
class ExportRequest:
    """One export: its format (a name, or the path of a `.sql` file), its folder, and choices.

    `since` names the export that this one adds to. `threads` never changes what is written.
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
    """What an export did: how many subjects there were, what each rule turned down, what came.

    `export_id` and `folder` are None when nothing was written: a dry run, or not one row.
    `known` says that these very bytes had been published before.
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
        return sum(self.rows.values())
