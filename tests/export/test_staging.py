"""The folder of an export: nothing under the final name but a whole export."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from annoy_store.errors import UsageError
from annoy_store.export.staging import publish_folder, staging_folder


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def half_written(folder: Path, error: Exception) -> None:
    with staging_folder(folder) as staging:
        (staging / "a").write_text("1")
        raise error


def test_staging_folder_is_published_whole(tmp_path: Path) -> None:
    with staging_folder(tmp_path / "deep" / "out") as staging:
        (staging / "a").write_text("1")
        assert left(tmp_path / "deep") == [staging.name]
        publish_folder(staging, tmp_path / "deep" / "out")
    assert left(tmp_path / "deep") == ["out"]
    assert (tmp_path / "deep" / "out" / "a").read_text() == "1"


def test_staging_folder_is_removed_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        half_written(tmp_path / "out", RuntimeError())
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), duckdb.IOException("No space")]
)
def test_staging_folder_explains_a_full_disk_in_one_line(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(UsageError, match=r"cannot write .*out: .*No space.*; nothing was kept"):
        half_written(tmp_path / "out", error)
    assert left(tmp_path) == []


def test_staging_folder_is_not_published_over_another(tmp_path: Path) -> None:
    with staging_folder(tmp_path / "out") as staging:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "theirs").write_text("1")
        with pytest.raises(UsageError, match="is not empty"):
            publish_folder(staging, tmp_path / "out")
    assert left(tmp_path) == ["out"]


def test_staging_folders_of_killed_exports_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".out.partial-1-dead" / "train").mkdir(parents=True)
    (tmp_path / ".other.partial-1-dead").mkdir()
    with staging_folder(tmp_path / "out") as first:
        assert not (tmp_path / ".out.partial-1-dead").exists()
        with staging_folder(tmp_path / "out") as second:
            assert first.exists()  # somebody is at work there
            assert second.exists()
    assert left(tmp_path) == [".other.partial-1-dead"]
