"""Formats: the bundled ones as bytes, and formats of the user."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.errors import UsageError
from annoy_store.export.export import export
from annoy_store.export.file_options import FileOptions
from annoy_store.export.format_file import FOLDER, bundled_formats, load_format, parse_format
from annoy_store.export.record_schema import bind_format
from annoy_store.export.request import ExportRequest
from annoy_store.records.samples import new_origin
from tests.support import chains, factories
from tests.support.chains import checked

GOLDEN = Path(__file__).with_name("golden")


@pytest.fixture
def filled(sqlite_store: Database) -> Database:
    chains.fill(sqlite_store, ["ant", "bee", 'cow\n\t"é\u2028🐜'])
    return sqlite_store


@pytest.mark.parametrize("form", bundled_formats())
def test_format_file_golden(filled: Database, tmp_path: Path, form: str) -> None:
    """A format changes only on purpose: then copy the new file over the golden one."""
    if load_format(form).record == "preference":
        chains.add_siblings(filled)
    export(filled, ExportRequest(form, tmp_path / "out"))
    written = (tmp_path / "out" / "train.jsonl").read_bytes()
    golden = GOLDEN / f"{form}.jsonl"
    assert written == golden.read_bytes(), f"cp {tmp_path}/out/train.jsonl {golden}"
    assert all(json.loads(line) for line in written.decode().split("\n")[:-1])


@pytest.mark.parametrize("form", bundled_formats())
def test_format_file_describes_itself(form: str) -> None:
    loaded = load_format(form)
    assert loaded.help.endswith(".")
    assert (FOLDER / f"{form}.sql").read_text().startswith("-- ")
    assert bind_format(loaded, 2).schema.names


def own(tmp_path: Path, sql: str) -> str:
    (tmp_path / "own.sql").write_text(sql)
    return str(tmp_path / "own.sql")


def test_format_file_of_the_user(filled: Database, tmp_path: Path) -> None:
    sql = "-- Mine.\n-- only: revised\nSELECT repo, licence, refcode, steps[1].answer AS first,\n"
    sql += "  pass_rate, lines_executed, finish_reason, model FROM records;\n"
    report = export(filled, ExportRequest(own(tmp_path, sql), tmp_path / "out"))
    assert (report.format, report.n_rows) == ("own", 3)
    row = json.loads((tmp_path / "out" / "train.jsonl").read_text().splitlines()[0])
    assert (row["licence"], row["first"], row["lines_executed"]) == ("mit", "no idea", 40)
    assert row["pass_rate"] == 0.0
    assert row["model"] == "tracer"
    assert not (tmp_path / "out" / "dataset_info.json").exists()


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT nothing FROM records", "format own: Binder Error"),
        ("", "format own is empty; it must be one SELECT"),
        ("-- Only a comment.\n;", "format own is empty"),
        ("-- record: page\nSELECT 1", "unknown record 'page'; known are: chain, prompt"),
        ("-- only: some\nSELECT 1", "unknown only 'some'; known are: correct"),
        ("-- trainer: [\nSELECT 1", "trainer is not a JSON object"),
        ("SELECT prompt FROM records WHERE kind = 'x'", "made 0 rows of 6 records"),
        ("SELECT CAST(prompt AS INTEGER) AS n FROM records", "format own: Conversion Error"),
    ],
)
def test_format_file_that_is_wrong_leaves_nothing(
    filled: Database, tmp_path: Path, sql: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        export(filled, ExportRequest(own(tmp_path, sql), tmp_path / "out"))
    assert [p.name for p in tmp_path.iterdir() if "out" in p.name] == []


def test_format_file_that_is_not_there(filled: Database, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the format"):
        export(filled, ExportRequest(str(tmp_path / "none.sql"), tmp_path / "out"))


def test_format_file_comments_become_help_and_directives() -> None:
    form = parse_format("x", "-- One.\n\n--  Two.\n-- record: prompt\nSELECT 1 -- only: all\n;")
    assert (form.help, form.record, form.only) == ("One. Two.", "prompt", "correct")


def test_format_file_raw_native_has_the_published_shape(
    sqlite_store: Database, tmp_path: Path
) -> None:
    sample = factories.sample("def main_solution(x):\n    return x\n")
    values = [{"b": [1, None], "a": 2.5}, "a\n", 10**30, [1, "x", True], -0.0]
    pairs = [factories.io_pair(sample, {"x": x}, x, n) for n, x in enumerate(values)]
    with sqlite_store.write() as connection:
        rows = [new_origin(sample, "o", origin="o"), *(checked(connection, p) for p in pairs)]
        insert_rows(connection, rows)
    export(sqlite_store, ExportRequest("codeio_raw_native", tmp_path / "out"))
    [line] = (tmp_path / "out" / "train.jsonl").read_text().splitlines()
    row = json.loads(line)
    published = ["problem_description", "io_requirements", "refcode", "funcname", "ios"]
    assert list(row) == [*published, "source", "category", "meta"]
    assert row["ios"] == [{"input": {"x": x}, "output": x} for x in values]
    assert list(row["ios"][0]["output"]) == ["b", "a"]
    assert "features" not in (tmp_path / "out" / "README.md").read_text().split("---")[1]


def test_format_file_raw_native_fits_no_table(filled: Database, tmp_path: Path) -> None:
    request = ExportRequest(
        "codeio_raw_native", tmp_path / "out", file_options=FileOptions(container="parquet")
    )
    with pytest.raises(UsageError, match=r"parquet cannot hold; export it as jsonl, or codeio_raw"):
        export(filled, request)
