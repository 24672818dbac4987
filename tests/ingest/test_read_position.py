"""How far files are read, asked while they are read."""

from __future__ import annotations

import os
from pathlib import Path

from annoy_store.ingest.read_position import ReadPosition


def test_n_bytes_adds_up_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    position = ReadPosition()
    for n_before in (0, 100_000):
        with position.opened(tmp_path / "a") as stream:
            assert position.n_bytes == n_before
            stream.read(60_000)
            assert n_before + 60_000 <= position.n_bytes < n_before + 100_000
    assert position.n_bytes == 200_000


def test_n_bytes_of_a_pipe_is_unknown(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR)
    position = ReadPosition()
    with position.opened(tmp_path / "pipe"):
        assert position.n_bytes == 0
    os.close(writer)
