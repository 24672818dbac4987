"""What an export says of itself: in export.json, and in its row of the export log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from annoy_store.db.migrate import newest_revision
from annoy_store.export.file_options import FileOptions
from annoy_store.export.filters import Selection
from annoy_store.export.plan import ExportPlan
from annoy_store.export.written_file import WrittenFile
from annoy_store.hashing import canonical_json, digest


@dataclass(frozen=True)
class ExportRow:
    """The row of an export in the table `exports`; the fields are its columns."""

    digest: str
    parent_id: int | None
    format: str
    split: str | None
    filter: str
    n_rows: int
    n_retractions: int
    folder: str
    files: str
    seen: str


def build_manifest(plan: ExportPlan, files: Sequence[WrittenFile]) -> dict[str, Any]:
    """Return the content of export.json.

    Its digest covers the format, the files, the parent export and the retractions.

    Args:
        plan: What is exported.
        files: The files that were written.
    """
    form, retractions = plan.form, [one.as_json() for one in plan.retractions]
    hashed = [(file.name, file.sha256) for file in files]
    retracted = [list(row.values()) for row in retractions]
    return {
        "digest": digest("export", form.name, form.sql, plan.parents.digest, hashed, retracted),
        "parent": plan.parents.digest,
        "format": form.name,
        "annoy_store": _version(),
        "schema": newest_revision(),
        "options": _chosen_options(plan),
        "query": form.sql,
        "subjects": plan.n_subjects,
        "left_out": dict(plan.removed),
        "retractions": len(retractions),
        "statistics": plan.statistics,
        "files": [file.as_json() for file in files],
    }


def export_row(plan: ExportPlan, manifest: Mapping[str, Any]) -> ExportRow:
    """Return the row of an export in the table `exports`.

    Args:
        plan: What is exported.
        manifest: The content of export.json.
    """
    return ExportRow(
        digest=manifest["digest"],
        parent_id=plan.parents.ids[0] if plan.parents.ids else None,
        format=plan.form.name,
        split=plan.split,
        filter=canonical_json(manifest["options"]),
        n_rows=plan.records.num_rows,
        n_retractions=len(plan.retractions),
        folder=str(plan.request.folder.resolve()),
        files=canonical_json(manifest["files"]),
        seen=plan.verdict_watermark,
    )


def _chosen_options(plan: ExportPlan) -> dict[str, Any]:
    """The options that differ from the defaults, as JSON; neither the folder nor the threads."""
    request = plan.request
    chosen = _differences(request.selection, Selection())
    if request.split_config is not None:
        chosen |= {"split": plan.split, "salt": request.split_config.salt}
    chosen |= _differences(request.file_options, FileOptions())
    return dict(json.loads(json.dumps(chosen, default=str)))


def _differences(chosen: Any, defaults: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from those of another one."""
    values = {name: getattr(chosen, name) for name in chosen.__dataclass_fields__}
    return {name: value for name, value in values.items() if value != getattr(defaults, name)}


def _version() -> str:
    """The version of this package, or `checkout` where it is not installed."""
    try:
        return metadata.version("annoy-store")
    except metadata.PackageNotFoundError:
        return "checkout"
