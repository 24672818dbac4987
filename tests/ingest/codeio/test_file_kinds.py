"""Kinds of files, and the names and reasons of refused ones."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
import zipfile
from pathlib import Path

import pytest

from annoy_store.db.engine import Database
from tests.support.codeio_rows import RAW, function, lines, take

pytestmark = pytest.mark.slow_on("postgres")


def folder(tmp_path: Path, *names: str) -> Path:
    for name in names:
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
    return tmp_path / "data"


def test_display_names_distinguish_files_of_one_name(
    sqlite_store: Database, tmp_path: Path
) -> None:
    data = folder(tmp_path, "train/data.jsonl", "test/data.jsonl")
    lines(data / "train/data.jsonl", [function(), "{"])
    lines(data / "test/data.jsonl", [{"content": RAW}, [1], {"content": 3}])
    done = take(sqlite_store, data)
    assert done.files == {"train/data.jsonl": "samples", "test/data.jsonl": "raw"}
    assert done.examples["broken_json"][0].startswith("train/data.jsonl line 2: ")
    assert done.examples["not_object"][0].startswith("test/data.jsonl line 2: ")
    assert done.examples["not_text"][0].startswith("test/data.jsonl line 3: ")
    both = data / "train/data.jsonl", data / "test/data.jsonl"
    assert list(take(sqlite_store, *both).files) == [str(both[1]), str(both[0])]


def test_import_names_every_refused_file_and_twenty_rows(
    sqlite_store: Database, tmp_path: Path
) -> None:
    data = folder(tmp_path, "a.json", "deep/b.json")
    lines(data / "a.json", [{"q": 1}])
    lines(data / "deep/b.json", [{"q": 1}])
    lines(data / "c.jsonl", [function(), *([1] * 30)])
    done = take(sqlite_store, data)
    assert [e.partition(": ")[0] for e in done.examples["unknown_kind"]] == [
        "a.json",
        "deep/b.json",
    ]
    assert done.refused["not_object"] == 30
    told = [e.partition(": ")[0] for e in done.examples["not_object"]]
    assert told == [f"c.jsonl line {n}" for n in range(2, 22)]


def test_import_has_own_reasons_for_empty_and_broken_files(
    sqlite_store: Database, tmp_path: Path
) -> None:
    data = folder(tmp_path, "x")
    lines(data / "good.jsonl", [function()])
    (data / "empty.jsonl").write_bytes(b"")
    (data / "blank.csv").write_bytes(b"\n")
    (data / "none.parquet").write_bytes(b"PAR1 and no more")
    (data / "notgz.jsonl.gz").write_bytes(b"plain text")
    packed = bytearray(gzip.compress(json.dumps(function()).encode() * 50))
    packed[30:60] = bytes(30)
    (data / "torn.jsonl.gz").write_bytes(packed)
    (data / "text.jsonl").write_text("some words\nand more\n")
    done = take(sqlite_store, data)
    empty = [e.partition(": ")[0] for e in done.examples["empty_file"]]
    assert empty == ["blank.csv", "empty.jsonl"]
    assert [e.partition(": ")[0] for e in done.errors] == [
        "none.parquet",
        "notgz.jsonl.gz",
        "torn.jsonl.gz",
    ]
    assert "broken Parquet" in done.errors[0]
    assert done.examples["broken_json"][0].startswith("text.jsonl line 1: broken JSON")
    assert "unknown_kind" not in done.refused
    assert done.rows == {"samples": 1}


def test_import_gives_no_column_advice_for_raw_code(sqlite_store: Database, tmp_path: Path) -> None:
    done = take(sqlite_store, lines(tmp_path / "raw.jsonl", [{"content": RAW}, {"text": RAW}]))
    assert done.refused == {"wrong_kind": 1}
    assert "--column" not in done.examples["wrong_kind"][0]
    assert done.examples["wrong_kind"][0].startswith("raw.jsonl line 2: a row of raw needs content")


def test_find_data_files_skips_hidden_files_and_folders(
    sqlite_store: Database, tmp_path: Path
) -> None:
    data = folder(tmp_path, ".git/x.jsonl")
    lines(data / "a.jsonl", [function()])
    lines(data / ".hidden.jsonl", [function("def main_solution(x): return x")])
    lines(data / ".git/x.jsonl", [function("def main_solution(x): return -x")])
    assert take(sqlite_store, data).files == {"a.jsonl": "samples"}


def packed(path: Path, form: str, members: dict[str, bytes]) -> Path:
    """Write an archive of these files."""
    if form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, "w:gz" if form == "tgz" else "w") as tar:
        for name, data in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))
    return path


@pytest.mark.parametrize("form", ["zip", "tar", "tgz"])
def test_import_reads_the_files_in_an_archive(
    sqlite_store: Database, tmp_path: Path, form: str
) -> None:
    """Files that others refer to first, whatever their order in the archive."""
    function_row = json.dumps(function()).encode() + b"\n"
    members = {
        "run/z_samples.jsonl.gz": gzip.compress(function_row),
        "run/raw.jsonl": json.dumps({"content": RAW}).encode() + b"\n[1]\n",
        "run/.hidden.jsonl": function_row,
        "run/__pycache__/x.jsonl": function_row,
        "run/notes.txt": b"nothing",
        "run/other.json": b'{"q": 1}',
    }
    data = folder(tmp_path, "x")
    path = packed(data / f"all.{form}", form, members)
    for given in (path, data):
        done = take(sqlite_store, given)
        assert done.files == {
            f"all.{form}/run/raw.jsonl": "raw",
            f"all.{form}/run/z_samples.jsonl.gz": "samples",
        }
        assert list(done.files) == sorted(done.files)
        assert done.refused == {"not_object": 1, "unknown_kind": 1}
        assert done.examples["not_object"][0].startswith(f"all.{form}/run/raw.jsonl line 2: ")
        assert done.rows == {"raw": 1, "samples": 1}
        assert not done.errors


def test_import_refuses_archives_without_data_and_broken_ones(
    sqlite_store: Database, tmp_path: Path
) -> None:
    empty = packed(tmp_path / "empty.zip", "zip", {"a.txt": b"x"})
    whole = packed(tmp_path / "cut.tgz", "tgz", {"a.jsonl": random.Random(1).randbytes(50_000)})
    whole.write_bytes(whole.read_bytes()[:20_000])
    done = take(sqlite_store, empty, whole)
    assert any("empty.zip" in error and "no data file" in error for error in done.errors)
    assert any("cut.tgz" in error for error in done.errors)
    assert done.files == {}
