"""Cards: what they say, and that Hugging Face `datasets` loads every format by them."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annoy_store.db.engine import Database
from annoy_store.db.insert import insert_rows
from annoy_store.db.migrate import open_store
from annoy_store.export.dataset_card import dataset_info, features
from annoy_store.export.export import export
from annoy_store.export.file_options import FileOptions
from annoy_store.export.format_file import bundled_formats, load_format
from annoy_store.export.record_schema import bind_format
from annoy_store.export.request import ExportRequest
from annoy_store.export.splits import SplitConfig
from tests.support import chains

FILE_OPTIONS = [
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


def test_dataset_card_counts_rows_and_leaks(filled: Database, tmp_path: Path) -> None:
    chains.fill(filled, [f"animal{i}" for i in range(12)])
    split = SplitConfig(0.5, 0.25, 0.25, "salt")
    report = export(filled, ExportRequest("sharegpt", tmp_path / "out", split_config=split))
    card = (tmp_path / "out" / "README.md").read_text()
    assert "clusters 0, samples 0, sources 0, prompts 0" in card
    for file in report.files:
        assert f"| {file.name} | {file.rows} | {file.bytes} | {file.sha256} |" in card
    for words in ('license: "mit"', "| tracer tracer |", "## Checkers", '"salt": "salt"'):
        assert words in card
    content = json.loads((tmp_path / "out" / "export.json").read_text())
    assert content["statistics"]["shared"] == {
        "cluster": 0,
        "sample_id": 0,
        "source_id": 0,
        "prompt_id": 0,
    }
    assert content["options"] == {"split": "train=0.5,validation=0.25,test=0.25", "salt": "salt"}


def test_dataset_card_info_has_one_data_set_per_split(filled: Database, tmp_path: Path) -> None:
    chains.fill(filled, [f"animal{i}" for i in range(12)])
    split = SplitConfig(0.5, 0.0, 0.5, "salt")
    export(filled, ExportRequest("messages", tmp_path / "out", split_config=split))
    content = json.loads((tmp_path / "out" / "dataset_info.json").read_text())
    assert {name: entry["file_name"] for name, entry in content.items()} == {
        "messages_train": "train.jsonl",
        "messages_test": "test.jsonl",
    }
    cut = FileOptions(shard_rows=3)
    report = export(filled, ExportRequest("messages", tmp_path / "cut", file_options=cut))
    entry = dataset_info(load_format("messages"), cut, report.files)["messages_train"]
    assert (tmp_path / "cut" / entry["file_name"]).is_dir()


def test_dataset_card_names_features_as_hugging_face_does() -> None:
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


@pytest.mark.slow_on(*sorted(set(bundled_formats()) - {"codeio", "rl"}))
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", bundled_formats())
def test_dataset_card_lets_datasets_load_every_format(
    hub: Any, filled: Database, tmp_path: Path, form: str
) -> None:
    rows = None
    choices = FILE_OPTIONS if form == "codeio" else [FILE_OPTIONS[0], FILE_OPTIONS[-1]]
    for n, options in enumerate(choices):
        folder = tmp_path / str(n)
        report = export(filled, ExportRequest(form, folder, file_options=options))
        loaded = hub.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
        assert loaded.num_rows == report.n_rows
        rows = rows or loaded.to_list()
        assert loaded.to_list() == rows
        streamed = hub.load_dataset(str(folder), split="train", streaming=True)
        assert list(streamed) == rows


@pytest.mark.filterwarnings("ignore")
def test_dataset_card_lets_datasets_load_splits(hub: Any, filled: Database, tmp_path: Path) -> None:
    chains.fill(filled, [f"animal{i}" for i in range(12)])
    split = SplitConfig(0.5, 0.25, 0.25, "salt")
    report = export(filled, ExportRequest("codeio", tmp_path / "out", split_config=split))
    loaded = hub.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: part.num_rows for name, part in loaded.items()} == dict(report.rows)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_dataset_card_lets_datasets_load_what_is_null_for_ten_megabytes(
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
