"""Files are told by their first bytes and their names."""

from __future__ import annotations

import io
import json
import pickle
import sqlite3
from pathlib import Path

import pytest

from annoy_store.ingest.codeio.file_kinds import read_records
from annoy_store.ingest.file_formats import open_file, split_name
from annoy_store.ingest.record_files import Location, Refusal
from tests.support.raw_files import FORMATS, PACKINGS, found

ROWS = [{"content": "a = 1", "path": "a.py"}, {"content": "b = 'é'", "path": "b.py"}]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("x.py", ("", "py")),
        ("a.b/X.JSONL.GZ", ("gz", "jsonl")),
        ("x.tar.zst", ("zst", "tar")),
        ("x.tgz", ("gz", "tar")),
        ("x.whl", ("", "zip")),
        ("gz", ("gz", "")),
        ("Makefile", ("", "")),
    ],
)
def test_split_name_tells_compression_and_format(name: str, parts: tuple[str, str]) -> None:
    assert split_name(name) == parts


@pytest.mark.parametrize("packing", [".gz", ".bz2", ".xz", ".zst"])
@pytest.mark.parametrize("form", ["jsonl", "parquet", "csv"])
def test_compression_under_a_plain_name_is_unpacked(
    tmp_path: Path, form: str, packing: str
) -> None:
    (tmp_path / f"x.{form}").write_bytes(PACKINGS[packing](FORMATS[form](ROWS)))
    good, bad = found(tmp_path / f"x.{form}")
    assert bad == []
    assert [row.content for row in good] == ["a = 1", "b = 'é'"]
    assert len(list(read_records(tmp_path / f"x.{form}", "x"))) == 2


@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "tsv"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_data_in_wide_encodings_is_recoded(tmp_path: Path, form: str, encoding: str) -> None:
    (tmp_path / f"x.{form}").write_bytes(FORMATS[form](ROWS).decode().encode(encoding))
    good, bad = found(tmp_path / f"x.{form}")
    assert bad == []
    assert [row.content for row in good] == ["a = 1", "b = 'é'"]


@pytest.mark.parametrize("indent", [None, 2])
def test_json_lines_may_be_one_array_or_values_over_lines(
    tmp_path: Path, indent: int | None
) -> None:
    (tmp_path / "x.jsonl").write_text("\n" + json.dumps(ROWS, indent=indent))
    assert len(found(tmp_path / "x.jsonl")[0]) == 2
    (tmp_path / "x.jsonl").write_text("\n".join(json.dumps(row, indent=1) for row in ROWS))
    assert len(found(tmp_path / "x.jsonl")[0]) == 2
    (tmp_path / "x.jsonl").write_text('[{"content": "a"}]\n[{"content": "b"}]\n')
    good, (bad,) = found(tmp_path / "x.jsonl")
    assert len(good) == 1
    assert bad.fatal
    assert "something follows the end of the array" in str(bad)


def a_database(tmp_path: Path) -> bytes:
    sqlite3.connect(tmp_path / "db").execute("CREATE TABLE t (x)").connection.close()
    return (tmp_path / "db").read_bytes()


@pytest.mark.parametrize("name", ["x.py", "x.jsonl", "x.parquet", "x"])
def test_other_files_are_refused_by_their_true_name(tmp_path: Path, name: str) -> None:
    for data, word, said in (
        (a_database(tmp_path), "binary:sqlite", "a SQLite database"),
        (pickle.dumps([1]), "binary:pickle", "a pickle"),
        (b"%PDF-1.7\n", "binary:pdf", "a PDF document"),
        (b"\n<!DOCTYPE html><html>", "binary:html", "a page of HTML"),
        (b"version https://git-lfs.github.com/spec/v1\n", "binary:git_lfs", "a pointer of Git LFS"),
        (b"\x89PNG\r\n\x1a\n\0\0", "binary:png", "a PNG image"),
    ):
        (tmp_path / name).write_bytes(data)
        good, (bad,) = found(tmp_path / name)
        assert (good, bad.reason) == ([], word)
        assert said in str(bad)


def test_other_files_are_refused_by_an_import_too(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b"<html>")
    (bad,) = read_records(tmp_path / "x.jsonl", "x")
    assert bad == Refusal("binary:html", Location("x"), "it is a page of HTML", fatal=True)


@pytest.mark.parametrize("start", ["PAR1", "ORC", "BZh", "GIF8", "MZ", "Obj", "ARROW1", "PK"])
def test_sources_may_begin_like_a_format(tmp_path: Path, start: str) -> None:
    (tmp_path / "x.py").write_text(f"{start} = 1\n")
    ((row,), bad) = found(tmp_path / "x.py")
    assert (row.content, bad) == (f"{start} = 1\n", [])


def test_a_data_format_under_another_name_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(FORMATS["parquet"](ROWS))
    assert len(found(tmp_path / "x.bin")[0]) == 2


def test_the_stacks_columns_are_repository_path_and_licence(tmp_path: Path) -> None:
    row = {
        "content": "x = 1",
        "max_stars_repo_path": "a/b.py",
        "max_stars_repo_name": "o/r",
        "max_stars_repo_licenses": ["MIT", "0BSD"],
    }
    (tmp_path / "x.parquet").write_bytes(FORMATS["parquet"]([row]))
    ((raw,), _) = found(tmp_path / "x.parquet")
    assert [raw.attribute(key) for key in ("path", "repo", "licence")] == [
        "a/b.py",
        "o/r",
        "MIT, 0BSD",
    ]


def test_notebooks_are_sources(tmp_path: Path) -> None:
    book = {"cells": [{"cell_type": "code", "source": "x = 1", "outputs": ["y" * 10_000]}]}
    (tmp_path / "x.ipynb").write_text(json.dumps(book))
    ((raw,), _) = found(tmp_path / "x.ipynb", max_bytes=100)
    assert (raw.content, raw.attribute("language")) == ("x = 1\n", "python")


def test_open_file_reads_a_stream_too() -> None:
    data = io.BufferedReader(io.BytesIO(PACKINGS[".gz"](b"x = 1")))  # type: ignore[arg-type]
    with open_file(data, "x.py") as opened:
        assert (opened.stream.read(), opened.kind, opened.other) == (b"x = 1", "py", None)
