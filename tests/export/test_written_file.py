"""Files of an export, read back: hashes and lines."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annoy_store.db.engine import Database
from annoy_store.errors import UsageError
from annoy_store.export.export import export
from annoy_store.export.request import ExportRequest
from annoy_store.export.written_file import _count_lines
from tests.support import chains


def test_written_file_has_the_hash_of_its_content(sqlite_store: Database, tmp_path: Path) -> None:
    chains.fill(sqlite_store, ["ant"])
    report = export(sqlite_store, ExportRequest("codeio", tmp_path / "out"))
    manifest = json.loads((tmp_path / "out" / "export.json").read_text())
    for file, entry in zip(report.files, manifest["files"], strict=True):
        data = (tmp_path / "out" / file.name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == file.sha256 == entry["sha256"]
        assert (len(data), data.count(b"\n")) == (entry["bytes"], entry["rows"])


@given(st.lists(st.sampled_from([b"{}", b"{a}", b""]), max_size=6), st.integers(1, 9))
def test_written_file_lines_are_counted_over_any_chunks(lines: list[bytes], size: int) -> None:
    data = b"".join(line + b"\n" for line in lines)
    chunks = [data[i : i + size] for i in range(0, len(data), size)]

    def counted() -> int:
        total, ended = 0, True
        for chunk in chunks:
            total += _count_lines(chunk, "x", after_end=ended)
            ended = chunk.endswith(b"\n")
        return total

    if b"" in lines:
        with pytest.raises(UsageError, match="empty line"):
            counted()
    else:
        assert counted() == len(lines)
