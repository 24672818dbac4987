"""What an export says of itself: in export.json, and in the ledger."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib import metadata
from typing import TYPE_CHECKING, Any

from annoy_store.db.engine import Database
from annoy_store.db.migrate import newest_revision
from annoy_store.export import export_log
from annoy_store.export.filters import Selection
from annoy_store.export.format_file import Format
from annoy_store.export.plan import ExportPlan
from annoy_store.export.writer import FileOptions, WrittenFile
from annoy_store.hashing import canonical_json, digest

if TYPE_CHECKING:
    from annoy_store.export.request import ExportRequest


def build_manifest(
    store: Database,
    form: Format,
    request: ExportRequest,
    choice: ExportPlan,
    files: list[WrittenFile],
    taken_back: list[dict[str, Any]],
) -> dict[str, Any]:
    """What export.json says; its digest covers the format, the files and the line before it."""
    parent = None
    if choice.parents:
        with store.read() as connection:
            parent = export_log.export_digest(connection, choice.parents[0])
    named = digest(
        "export",
        form.name,
        form.sql,
        parent,
        [(f.name, f.sha256) for f in files],
        [list(row.values()) for row in taken_back],
    )
    return {
        "digest": named,
        "adds_to": parent,
        "format": form.name,
        "annoy_store": _version(),
        "schema": newest_revision(),
        "asked": chosen_options(request),
        "query": form.sql,
        "subjects": choice.subjects,
        "left_out": dict(choice.removed),
        "retractions": len(taken_back),
        "facts": choice.statistics,
        "files": [file.as_json() for file in files],
    }


def chosen_options(request: ExportRequest) -> dict[str, Any]:
    """The choices that differ from the defaults, as JSON; neither the folder nor the threads."""
    chosen, usual = request.selection, Selection()
    told = {
        name: getattr(chosen, name)
        for name in chosen.__dataclass_fields__
        if getattr(chosen, name) != getattr(usual, name)
    }
    if request.split_config is not None:
        told |= {"split": str(request.split_config), "salt": request.split_config.salt}
    packing = {
        k: v for k, v in asdict(request.file_options).items() if v != asdict(FileOptions())[k]
    }
    return dict(json.loads(json.dumps(told | packing, default=str)))


def export_row(
    form: Format, request: ExportRequest, choice: ExportPlan, files: list[WrittenFile], named: str
) -> export_log.ExportRow:
    return export_log.ExportRow(
        named,
        choice.parents[0] if choice.parents else None,
        form.name,
        None if request.split_config is None else str(request.split_config),
        canonical_json(chosen_options(request)),
        choice.records.num_rows,
        len(choice.retractions),
        str(request.folder.resolve()),
        canonical_json([file.as_json() for file in files]),
        choice.verdict_watermark,
    )


def _version() -> str:
    """The version of this package, or `checkout` where it is not installed."""
    try:
        return metadata.version("annoy-store")
    except metadata.PackageNotFoundError:
        return "checkout"
