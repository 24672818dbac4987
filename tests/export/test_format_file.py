"""Every format as bytes, as its card says, and as Hugging Face `datasets` loads it."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.migrate import open_store
from annoy_store.errors import UsageError
from annoy_store.export.dataset_card import dataset_info, features
from annoy_store.export.export import export
from annoy_store.export.format_file import FOLDER, bundled_formats, load_format, parse_format
from annoy_store.export.record_schema import available_columns, bind_format
from annoy_store.export.request import ExportRequest
from annoy_store.export.splits import SplitConfig
from annoy_store.export.writer import FileOptions
from tests.support import chains

GOLDEN = Path(__file__).with_name("golden")
PACKINGS = [
    FileOptions(),
    FileOptions(compression="gzip"),
    FileOptions(compression="zstd"),
    FileOptions("parquet"),
    FileOptions(shard_rows=2),
    FileOptions("parquet", "gzip", 2),
]


@pytest.fixture
def filled(sqlite_store: Database) -> Database:
    chains.fill(sqlite_store, ["ant", "bee", 'cow\n\t"é\u2028🐜'])
    return sqlite_store


@pytest.mark.parametrize("form", bundled_formats())
def test_golden(filled: Database, tmp_path: Path, form: str) -> None:
    """A format changes only on purpose: then copy the new file over the golden one."""
    export(filled, ExportRequest(form, tmp_path / "out"))
    written = (tmp_path / "out" / "train.jsonl").read_bytes()
    golden = GOLDEN / f"{form}.jsonl"
    assert written == golden.read_bytes(), f"cp {tmp_path}/out/train.jsonl {golden}"
    assert all(json.loads(line) for line in written.decode().split("\n")[:-1])


@pytest.mark.parametrize("form", bundled_formats())
def test_every_format_says_what_it_is(form: str) -> None:
    loaded = load_format(form)
    assert loaded.help.endswith(".")
    assert (FOLDER / f"{form}.sql").read_text().startswith("-- ")
    assert bind_format(loaded, 2).schema.names


def test_a_format_reads_only_what_it_needs() -> None:
    assert bind_format(load_format("codeio"), 2).columns == (
        "opening",
        "turn_1",
        "feedback_1",
        "turn_2",
        "feedback_2",
    )
    assert bind_format(load_format("messages"), 3).columns == ("conversation", "answer")
    three = bind_format(load_format("codeio"), 3).schema.names
    assert three[-2:] == ["turn_3", "feedback_3"]


def test_three_turns_are_six_columns(sqlite_store: Database, tmp_path: Path) -> None:
    with sqlite_store.write() as connection:
        rows = chains.sampled("ant")
        tried = [("a", "wrong"), ("b", "wrong"), ("c", "correct")]
        rows += chains.chain(connection, chains.pairs_of(rows)[0], tried)
        insert_rows(connection, rows)
    export(sqlite_store, ExportRequest("codeio", tmp_path / "out"))
    row = json.loads((tmp_path / "out" / "train.jsonl").read_text())
    assert [row[f"turn_{n}"] for n in (1, 2, 3)] == ["a", "b", "c"]
    export(sqlite_store, ExportRequest("alpaca", tmp_path / "alpaca"))
    row = json.loads((tmp_path / "alpaca" / "train.jsonl").read_text())
    assert [answer for _, answer in row["history"]] == ["a", "b"]
    assert row["output"] == "c"


# A format of one's own -----------------------------------------------------------------------


def own(tmp_path: Path, sql: str) -> str:
    (tmp_path / "own.sql").write_text(sql)
    return str(tmp_path / "own.sql")


def test_a_format_of_ones_own(filled: Database, tmp_path: Path) -> None:
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
        ("-- record: page\nSELECT 1", "record is 'page', but must be one of chain, prompt"),
        ("-- only: some\nSELECT 1", "only is 'some', but must be one of correct"),
        ("-- trainer: [\nSELECT 1", "trainer is not a JSON object"),
        ("SELECT prompt FROM records WHERE kind = 'x'", "made 0 rows of 6 records"),
        ("SELECT CAST(prompt AS INTEGER) AS n FROM records", "format own: Conversion Error"),
    ],
)
def test_a_wrong_format_leaves_nothing(
    filled: Database, tmp_path: Path, sql: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        export(filled, ExportRequest(own(tmp_path, sql), tmp_path / "out"))
    assert [p.name for p in tmp_path.iterdir() if "out" in p.name] == []


def test_a_wrong_column_names_the_right_ones(filled: Database, tmp_path: Path) -> None:
    request = ExportRequest(own(tmp_path, "SELECT answr FROM records"), tmp_path / "out")
    with pytest.raises(UsageError, match=r"columns of records are: prompt, .*answer.*turn_1.*ios"):
        export(filled, request)


def test_the_readme_names_what_a_format_may_read() -> None:
    told = (Path(__file__).parent.parent.parent / "README.md").read_text()
    listed = told.partition("<!-- records -->")[2].partition("<!-- /records -->")[0]
    named = re.findall(r"`(\w+)`", listed.replace("_N`", "_1`"))
    assert sorted(named) == sorted(available_columns(1))


def test_a_format_that_is_not_there(filled: Database, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the format"):
        export(filled, ExportRequest(str(tmp_path / "none.sql"), tmp_path / "out"))


def test_comments_become_help_and_directives() -> None:
    form = parse_format("x", "-- One.\n\n--  Two.\n-- record: prompt\nSELECT 1 -- only: all\n;")
    assert (form.help, form.record, form.only) == ("One. Two.", "prompt", "correct")


# Cards ---------------------------------------------------------------------------------------


def test_the_card_tells_and_proves(filled: Database, tmp_path: Path) -> None:
    chains.fill(filled, [f"animal{i}" for i in range(12)])
    split = SplitConfig(0.5, 0.25, 0.25, "salt")
    report = export(filled, ExportRequest("sharegpt", tmp_path / "out", split_config=split))
    card = (tmp_path / "out" / "README.md").read_text()
    assert "clusters 0, samples 0, sources 0, prompts 0" in card
    for file in report.files:
        assert f"| {file.name} | {file.rows} | {file.bytes} | {file.sha256} |" in card
    for words in ('license: "mit"', "| tracer tracer |", "## Checkers", '"salt": "salt"'):
        assert words in card
    told = json.loads((tmp_path / "out" / "export.json").read_text())
    assert told["facts"]["shared"] == {"cluster": 0, "sample_id": 0, "source_id": 0, "prompt_id": 0}
    assert told["asked"] == {"split": "train=0.5,validation=0.25,test=0.25", "salt": "salt"}


def test_a_trainer_finds_one_data_set_per_split(filled: Database, tmp_path: Path) -> None:
    chains.fill(filled, [f"animal{i}" for i in range(12)])
    split = SplitConfig(0.5, 0.0, 0.5, "salt")
    export(filled, ExportRequest("messages", tmp_path / "out", split_config=split))
    told = json.loads((tmp_path / "out" / "dataset_info.json").read_text())
    assert {name: entry["file_name"] for name, entry in told.items()} == {
        "messages_train": "train.jsonl",
        "messages_test": "test.jsonl",
    }
    cut = FileOptions(shard_rows=3)
    report = export(filled, ExportRequest("messages", tmp_path / "cut", file_options=cut))
    entry = dataset_info(load_format("messages"), cut, report.files)["messages_train"]
    assert (tmp_path / "cut" / entry["file_name"]).is_dir()


def test_features_are_named_as_hugging_face_does() -> None:
    assert features(bind_format(load_format("alpaca"), 2).schema)[-1] == {
        "name": "history",
        "list": {"list": "string"},
    }
    assert features(bind_format(load_format("messages"), 2).schema) == [
        {
            "name": "messages",
            "list": [{"name": "role", "dtype": "string"}, {"name": "content", "dtype": "string"}],
        }
    ]


# Hugging Face datasets -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The `datasets` package, offline, with a cache of its own."""
    home = tmp_path_factory.mktemp("hub")
    before = {name: os.environ.get(name) for name in ("HF_HOME", "HF_HUB_OFFLINE")}
    os.environ |= {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    yield datasets
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", bundled_formats())
def test_datasets_loads_every_format(hub: Any, filled: Database, tmp_path: Path, form: str) -> None:
    rows = None
    packings = PACKINGS if form == "codeio" else [PACKINGS[0], PACKINGS[-1]]
    for n, packing in enumerate(packings):
        folder = tmp_path / str(n)
        report = export(filled, ExportRequest(form, folder, file_options=packing))
        loaded = hub.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
        assert loaded.num_rows == report.n_rows
        rows = rows or loaded.to_list()
        assert loaded.to_list() == rows
        streamed = hub.load_dataset(str(folder), split="train", streaming=True)
        assert list(streamed) == rows


@pytest.mark.filterwarnings("ignore")
def test_datasets_loads_splits(hub: Any, filled: Database, tmp_path: Path) -> None:
    chains.fill(filled, [f"animal{i}" for i in range(12)])
    split = SplitConfig(0.5, 0.25, 0.25, "salt")
    report = export(filled, ExportRequest("codeio", tmp_path / "out", split_config=split))
    loaded = hub.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: part.num_rows for name, part in loaded.items()} == dict(report.rows)


@pytest.mark.filterwarnings("ignore")
def test_datasets_loads_what_is_null_for_ten_megabytes(
    hub: Any, sqlite_store: Database, tmp_path: Path
) -> None:
    names = [f"animal{i}" for i in range(13)]

    def fill(store: Database, repaired: str) -> None:
        with store.write() as connection:
            for name in names:
                rows = chains.sampled(name)
                answers = [("x" * 1_000_000, "correct")]
                if name == repaired:
                    answers = [("no", "wrong"), ("yes", "correct")]
                rows += chains.chain(connection, chains.pairs_of(rows)[0], answers)
                insert_rows(connection, rows)

    fill(sqlite_store, "nobody")
    export(sqlite_store, ExportRequest("codeio", tmp_path / "a"))
    last = json.loads((tmp_path / "a" / "train.jsonl").read_text().splitlines()[-1])["prompt"]
    other = open_store(f"sqlite:///{tmp_path}/other.db", create=True)
    fill(other, last.split()[2])
    export(other, ExportRequest("codeio", tmp_path / "b"))
    other.close()
    loaded = hub.load_dataset(str(tmp_path / "b"), split="train", cache_dir=str(tmp_path / "c"))
    assert loaded["turn_2"][:] == [None] * 12 + ["yes"]
