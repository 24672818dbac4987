"""Rows of raw sources and of their origins."""

from __future__ import annotations

from annoy_store.db.tables import origins, sources
from annoy_store.interfaces import NewRow
from annoy_store.records.digests import origin_digest, source_digest


def new_source(language: str, content: str, created_at: str) -> NewRow:
    """Return the row of a source.

    Args:
        language: Language in lower case.
        content: The code, cleaned (`hashing.clean_text`).
        created_at: UTC timestamp.
    """
    return NewRow(
        sources,
        {
            "digest": source_digest(language, content),
            "language": language,
            "n_chars": len(content),
            "created_at": created_at,
            "content": content,
        },
    )


def new_source_origin(
    source: NewRow,
    origin: str,
    *,
    repo: str = "",
    path: str = "",
    licence: str = "",
    metadata: str = "{}",
) -> NewRow:
    """Return the row of an origin, linked to its source; all texts are cleaned.

    Args:
        source: The row of the source.
        origin: Name of the file, folder or data set.
        repo: Repository, empty if unknown.
        path: Path in the repository, empty if unknown.
        licence: Licence, empty if unknown.
        metadata: Other fields as canonical JSON.
    """
    values = {
        "origin": origin,
        "repo": repo,
        "path": path,
        "licence": licence,
        "metadata": metadata,
    }
    row_digest = origin_digest(source.values["digest"], values)
    return NewRow(origins, {"digest": row_digest, "source_id": source, **values})
