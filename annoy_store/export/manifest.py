"""What an export says of itself: in export.json, and in the ledger."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib import metadata
from typing import TYPE_CHECKING, Any

from annoy_store.db.engine import Store
from annoy_store.db.migrate import newest_revision
from annoy_store.export import export_log
from annoy_store.export.filters import Selection
from annoy_store.export.format_file import Format
from annoy_store.export.plan import Choice
from annoy_store.export.writer import Packing, Written
from annoy_store.hashing import canonical, digest

if TYPE_CHECKING:
    from annoy_store.export.request import ExportRequest


def tell(
    store: Store,
    form: Format,
    request: ExportRequest,
    choice: Choice,
    files: list[Written],
    taken_back: list[dict[str, Any]],
) -> dict[str, Any]:
    """What export.json says; its digest covers the format, the files and the line before it."""
    parent = None
    if choice.line:
        with store.read() as connection:
            parent = export_log.digest_of(connection, choice.line[0])
    named = digest(
        "export", form.name, form.sql, parent, [(f.name, f.sha256) for f in files],
        [list(row.values()) for row in taken_back],
    )  # fmt: skip
    return {
        "digest": named, "adds_to": parent, "format": form.name, "annoy_store": _version(),
        "schema": newest_revision(), "asked": asked(request), "query": form.sql,
        "subjects": choice.subjects, "left_out": dict(choice.removed),
        "retractions": len(taken_back), "facts": choice.facts,
        "files": [file.as_json() for file in files],
    }  # fmt: skip


def asked(request: ExportRequest) -> dict[str, Any]:
    """The choices that differ from the defaults, as JSON; neither the folder nor the threads."""
    chosen, usual = request.selection, Selection()
    told = {
        name: getattr(chosen, name)
        for name in chosen.__dataclass_fields__
        if getattr(chosen, name) != getattr(usual, name)
    }
    if request.splitting is not None:
        told |= {"split": str(request.splitting), "salt": request.splitting.salt}
    packing = {k: v for k, v in asdict(request.packing).items() if v != asdict(Packing())[k]}
    return dict(json.loads(json.dumps(told | packing, default=str)))


def edition_of(
    form: Format, request: ExportRequest, choice: Choice, files: list[Written], named: str
) -> export_log.Edition:
    return export_log.Edition(
        named, choice.line[0] if choice.line else None, form.name,
        None if request.splitting is None else str(request.splitting),
        canonical(asked(request)), choice.plan.num_rows, len(choice.retractions),
        str(request.folder.resolve()), canonical([file.as_json() for file in files]), choice.seen,
    )  # fmt: skip


def _version() -> str:
    """The version of this package, or `checkout` where it is not installed."""
    try:
        return metadata.version("annoy-store")
    except metadata.PackageNotFoundError:
        return "checkout"
