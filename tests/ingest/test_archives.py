"""Tar and zip archives are read like folders."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest

from annoy_store.ingest.archives import archive_members, is_skipped_folder
from tests.support.raw_files import PACKINGS, as_tar, as_zip, found

FILES = {
    "p/a.py": b"a = 1\n",
    "p/sub/b.py": b"b = 2\n",
    "p/note.md": b"words",
    "p/.git/c.py": b"c = 3\n",
    "p/__pycache__/d.py": b"d = 4\n",
    "rows.jsonl": b'{"content": "e = 5"}\n',
}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.tar", as_tar(FILES)),
        ("x.zip", as_zip(FILES)),
        ("x.whl", as_zip(FILES)),
        ("x.tgz", PACKINGS[".gz"](as_tar(FILES))),
        ("plain", PACKINGS[".xz"](as_tar(FILES))),
        *((f"x.tar{packing}", pack(as_tar(FILES))) for packing, pack in PACKINGS.items()),
    ],
)
def test_archives_are_read_like_folders(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    good, bad = found(tmp_path / name)
    assert bad == []
    assert [(row.attribute("path"), row.content) for row in good] == [
        ("p/a.py", "a = 1\n"),
        ("p/sub/b.py", "b = 2\n"),
    ]
    good, _ = found(tmp_path / name, globs=("*.jsonl",))
    assert [(row.location.file, row.content) for row in good] == [("rows.jsonl", "e = 5")]
    _, (none,) = found(tmp_path / name, globs=("*.c",))
    assert none.fatal
    assert "there is 2 .py, 1 .md, 1 .jsonl" in str(none)


@pytest.mark.parametrize("pack", [as_tar, as_zip])
def test_archives_lose_no_name_that_leads_out_of_them(tmp_path: Path, pack: Any) -> None:
    (tmp_path / "x").write_bytes(pack({"../a.py": b"a = 1\n", "./p/../b.py": b"b = 2\n"}))
    good, bad = found(tmp_path / "x")
    assert bad == []
    assert [row.content for row in good] == ["a = 1\n", "b = 2\n"]


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_damaged_archive_keeps_what_was_read(tmp_path: Path, kind: str) -> None:
    files = {f"{n}.py": os.urandom(2000).hex().encode() for n in range(20)}
    data = as_tar(files) if kind == "tar" else as_zip(files)
    middle = len(data) // 2
    (tmp_path / f"x.{kind}").write_bytes(
        data[:middle] if kind == "tar" else data[:middle] + b"\xff" * 50 + data[middle + 50 :]
    )
    good, bad = found(tmp_path / f"x.{kind}")
    assert len(good) > 5
    assert bad[-1].fatal


def test_members_are_bounded_by_size(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(as_zip({"a.py": b"#" * 10**7, "b.py": b"b"}))
    good, bad = found(tmp_path / "x.zip", max_bytes=100)
    assert [row.content for row in good] == ["b"]
    assert [refusal.reason for refusal in bad] == ["too_large"]


def test_archive_members_yield_streams_in_order() -> None:
    members = archive_members(io.BytesIO(as_tar(FILES)), "tar")
    assert [name for name, stream in members if stream.read(1)] == [
        "p/a.py",
        "p/sub/b.py",
        "p/note.md",
        "rows.jsonl",
    ]


def test_is_skipped_folder_means_hidden_ones_and_caches() -> None:
    assert is_skipped_folder(".git")
    assert is_skipped_folder("node_modules")
    assert not is_skipped_folder("src")
