"""Names of rows as arguments: KIND:ID, or a line of an exported file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection


def row_name(connection: Connection, name: str) -> str:
    """Return the name of a row as KIND:ID.

    Args:
        connection: A connection to the store.
        name: KIND:ID, or FILE:LINE of an exported file.

    Raises:
        UsageError: The store has no such export or line.
    """
    from annoy_store.export.export_log import row_of_file_line

    file = Path(name.rpartition(":")[0])
    if not file.suffix or not file.is_file():
        return name
    return f"export_row:{row_of_file_line(connection, file, name.rpartition(':')[2])}"
